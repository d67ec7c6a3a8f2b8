"""Bitwise networks: dense (BNN, Kim and Smaragdis, ICASSP 2018) and recurrent (arXiv 1908.08898).

Bits go in and a mask of the spectrum comes out, through products of bits alone. The same network without
bits, with weights through tanh, is the start of their training and the comparison.
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
    """Configuration of a bitwise network; the default is the published bitwise GRU at our window of two hops.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        code_bits: Number of bits that the power of a bin is quantised to, 1 to 8.
        hidden, layers, recurrent, binary, sparsity, output: See `Bitwise`.
        level_seconds: Time constant of the running level in seconds.
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
            InputError: a value out of its range, or values that do not fit together.
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

    @property
    def kind(self) -> str:
        """Kind of network that only some training methods can train."""
        return "bits"

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
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
    """Compute masks from codes.

    Args:
        inputs: Number of bits of a frame's codes.
        bins: Number of bins of a spectrum.
        hidden: Width of the hidden layers.
        layers: Number of hidden layers, GRUs or dense.
        recurrent: Whether they are GRUs.
        binary: Whether weights and activations are bits; else their tanh.
        sparsity: See `BitwiseLinear`.
        output: Values of a mask: ``hard``, 0 or 1, as published, or ``soft``, from 0 to 1, which costs one
            table look-up for each bin.
    """

    frames_apart = False
    """Frames must run in order."""

    quantised = True
    """Inputs are rounded, so runtimes agree except for values at a threshold."""

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
        # Any: PyTorch does not know the type of a list's modules.
        self.layers: Any = nn.ModuleList(kind(widths[n], hidden, sparsity) for n in range(layers))
        self.mask = BitwiseLinear(hidden, bins, sparsity)

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame that go in."""
        return self.inputs

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame; with bits, each is an exclusive or and a count."""
        return 0, {"whole": [sum(layer.macs() for layer in self.layers) + self.mask.macs()]}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        return {f"gru{n}": (1, self.hidden) for n in range(len(self.layers))} if self.recurrent else {}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks as the trained network does.

        Args:
            x: Codes (batch, frame * bit) of -1 and +1.
            plan: Plan that keeps the only unit.
            state: Tensors with the shapes of `state_shapes`.

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
        """Return masks (batch, frame, bin) from the last hidden layer's bits (batch, frame, unit)."""
        bits = self.mask.bits()
        sums = nn.functional.linear(x, bits.weight)
        if self.output == "hard":
            return 0.5 * sign(sums + bits.offset) + 0.5
        return torch.sigmoid(2 * (bits.scale * sums + self.mask.bias.detach()))

    def learn(self, x: Tensor, state: State, how: Binarisation) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute bipolar masks (batch, frame, bin) in [-1, 1] as `forward` does, with gradients."""
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
