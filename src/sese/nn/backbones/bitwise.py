"""Bitwise networks: dense (BNN, Kim and Smaragdis, ICASSP 2018) and recurrent (arXiv 1908.08898).

Bits in, a mask of the spectrum out; between them products of bits alone. The network without bits, weights
through tanh, is what they are learned from and compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_window, level_frames
from sese.nn.enhancer import Enhancer
from sese.nn.features.codes import CodeFeatures
from sese.nn.heads.gain import GainHead
from sese.nn.layers.bitwise import Binarisation, BitwiseGRU, BitwiseLinear, sign
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.state import State

Output = Literal["soft", "hard"]


@dataclass(frozen=True)
class BitwiseConfig(SystemConfig):
    """A bitwise network; the published bitwise GRU is the default, at our window of two hops.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        code_bits: bits that a bin's power is quantised to.
        hidden, layers, recurrent, binary, sparsity, output: see `Bitwise`.
        level_seconds: time constant of the running level.
    """

    description: ClassVar[str] = "Causal network of bits that removes noise from speech."

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_length: int = 512
    code_bits: int = 4
    hidden: int = 1000
    layers: int = 1
    recurrent: bool = True
    binary: bool = True
    sparsity: float = 0.8
    output: Output = "hard"
    level_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        at_least(self, 1, "model", "sample_rate", "hop_length", "hidden", "layers")
        check_window(self, 64)
        if not 1 <= self.code_bits <= 8:
            raise InputError(f"model.code_bits is {self.code_bits}; use 1 to 8")
        if not 0 <= self.sparsity < 1:
            raise InputError(f"model.sparsity is {self.sparsity}; use a share from 0, below 1")
        if self.output not in ("soft", "hard"):
            raise InputError(f"model.output is {self.output!r}; choose from soft, hard")
        above_zero(self, "model", "level_seconds")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return 1

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        rate, hop = self.sample_rate, self.hop_length
        features = CodeFeatures(self.n_fft, hop, level_frames(self, hop), self.code_bits)
        backbone = Bitwise(
            features.signal_size,
            features.bins,
            self.hidden,
            self.layers,
            self.recurrent,
            self.binary,
            self.sparsity,
            self.output,
        )
        head = GainHead(self.n_fft, hop)
        return Enhancer(features, backbone, head, rate, hop, head.lookahead_samples)


class Bitwise(Backbone):
    """From codes to masks.

    Args:
        inputs: bits of a frame's codes.
        bins: of a spectrum.
        hidden: width of the layers.
        layers: hidden ones, GRUs or dense.
        recurrent: whether they are GRUs.
        binary: whether weights and activations are bits, else the tanh of what they are.
        sparsity: see `BitwiseLinear`.
        output: a mask's values: ``hard``, 0 or 1, as published, or ``soft``, from 0 to 1, which costs one
            table look-up a bin.
    """

    frames_apart = False
    """Frames must run in order."""

    quantised = True
    """What is heard is rounded, so runtimes agree but for what lies at a threshold."""

    sites = (Site("whole", (1.0,), "prefix"),)

    def __init__(
        self,
        inputs: int,
        bins: int,
        hidden: int,
        layers: int,
        recurrent: bool,
        binary: bool,
        sparsity: float,
        output: Output,
    ):
        super().__init__()
        self.inputs, self.bins, self.hidden = inputs, bins, hidden
        self.recurrent, self.binary, self.output = recurrent, binary, output
        kind = BitwiseGRU if recurrent else BitwiseLinear
        widths = [inputs, *[hidden] * layers]
        # Any: PyTorch's type of what is in a list says nothing.
        self.layers: Any = nn.ModuleList(kind(widths[n], hidden, sparsity) for n in range(layers))
        self.mask = BitwiseLinear(hidden, bins, sparsity)

    @property
    def frame_samples(self) -> int:
        """Values a frame that come in."""
        return self.inputs

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Multiply-accumulates of a frame; as bits, each is an exclusive or and a share of a count."""
        return 0, {"whole": [sum(layer.macs() for layer in self.layers) + self.mask.macs()]}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        return {f"gru{n}": (1, self.hidden) for n in range(len(self.layers))} if self.recurrent else {}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Make masks as the network runs when it has learned.

        Args:
            x: (batch, frame * bit) of -1 and +1.
            plan: keeps the one unit that there is.
            state: tensors as in `state_shapes`.

        Returns:
            Masks (batch, frame * bin) in [0, 1], and the next state.
        """
        if not self.binary:
            y, after = self.learn(x, state, Binarisation())
            return (0.5 * y + 0.5).flatten(1), after
        x, after = x.unflatten(1, (-1, self.inputs)), {}
        for n, layer in enumerate(self.layers):
            if self.recurrent:
                x, after[f"gru{n}"] = layer.hard(x, state[f"gru{n}"])
            else:
                bits = layer.bits()
                x = sign(nn.functional.linear(x, bits.weight, bits.offset))
        return self.masked(x).flatten(1), after

    def masked(self, x: Tensor) -> Tensor:
        """Masks (batch, frame, bin) of the last hidden layer's bits (batch, frame, unit)."""
        bits = self.mask.bits()
        sums = nn.functional.linear(x, bits.weight)
        if self.output == "hard":
            return 0.5 * sign(sums + bits.offset) + 0.5
        return torch.sigmoid(2 * (bits.scale * sums + self.mask.bias.detach()))

    def learn(self, x: Tensor, state: State, how: Binarisation) -> tuple[Tensor, dict[str, Tensor]]:
        """As `forward`, with gradients: bipolar masks (batch, frame, bin) in [-1, 1]."""
        x, after = x.unflatten(1, (-1, self.inputs)), {}
        for n, layer in enumerate(self.layers):
            if self.recurrent:
                x, after[f"gru{n}"] = layer(x, state[f"gru{n}"], how)
            else:
                x = how.bipolar(layer(x, how).float())
        sums = self.mask(x, how).float()
        if self.output == "soft":  # as it runs: only its weights are bits
            return torch.tanh(sums), after
        return how.bipolar(sums), after
