"""Bitwise networks (BNN; bitwise GRU, arXiv 1908.08898), and the same without bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.errors import InputError
from sese.nn.backbones.bitwise import Bitwise, Output
from sese.nn.enhancer import Enhancer
from sese.nn.features.codes import CodeFeatures
from sese.nn.heads.gain import GainHead


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
        for name in ("sample_rate", "hop_length", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} is {getattr(self, name)}; use 1 or more")
        if self.n_fft != 2 * self.hop_length or self.n_fft % 64:
            raise InputError(
                f"model.n_fft is {self.n_fft}; use a multiple of 64 and two hops, {2 * self.hop_length}"
            )
        if not 1 <= self.code_bits <= 8:
            raise InputError(f"model.code_bits is {self.code_bits}; use 1 to 8")
        if not 0 <= self.sparsity < 1:
            raise InputError(f"model.sparsity is {self.sparsity}; use a share from 0, below 1")
        if self.output not in ("soft", "hard"):
            raise InputError(f"model.output is {self.output!r}; choose from soft, hard")
        if not self.level_seconds > 0:
            raise InputError(f"model.level_seconds is {self.level_seconds}; use a number above 0")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return 1

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        rate, hop = self.sample_rate, self.hop_length
        level_frames = max(2, round(self.level_seconds * rate / hop))
        features = CodeFeatures(self.n_fft, hop, level_frames, self.code_bits)
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
