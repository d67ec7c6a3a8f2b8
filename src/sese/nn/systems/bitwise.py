"""Bitwise networks (BNN; bitwise GRU, arXiv 1908.08898), and the same without bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.bitwise import Bitwise, Output
from sese.nn.enhancer import Enhancer
from sese.nn.features.codes import CodeFeatures
from sese.nn.heads.gain import GainHead
from sese.nn.systems.common import check_window, level_frames


@dataclass(frozen=True)
class BitwiseConfig:
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
