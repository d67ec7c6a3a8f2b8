"""Sparse mixture of local experts (arXiv 2005.08128)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.local_experts import LocalExperts
from sese.nn.enhancer import Enhancer
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.heads.real_mask import RealMaskHead
from sese.nn.policies.gate import Gate
from sese.nn.systems.common import check_window, level_frames


@dataclass(frozen=True)
class LocalExpertsConfig:
    """GRU networks that make a mask, one of which runs, picked by a gate; one expert is a plain such network.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        hidden, layers: of each expert's GRU.
        experts: 1 or more.
        level_seconds: time constant of the running level.
        compression: power that magnitudes are raised to.
        gate_hidden: width of the GRU of the gate that picks an expert; 0 has no gate. Published: 1 to 128.
        gate_layers: of that GRU. Published: 2 and 3.
        gate_bands: values a frame that the gate hears, means of even bands; 0 for every bin, as published.
        gate_seconds: time constant of the running mean of the gate's logits.
    """

    description: ClassVar[str] = "Causal recurrent experts, one of which runs, that remove noise from speech."

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    hidden: int = 64
    layers: int = 2
    experts: int = 1
    level_seconds: float = 2.0
    compression: float = 0.5
    gate_hidden: int = 0
    gate_layers: int = 2
    gate_bands: int = 0
    gate_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        at_least(self, 1, "model", "sample_rate", "hop_length", "hidden", "layers", "experts", "gate_layers")
        check_window(self, 64)
        above_zero(self, "model", "level_seconds", "compression", "gate_seconds")
        if self.gate_hidden < 0:
            raise InputError(f"model.gate_hidden is {self.gate_hidden}; use 0 (no gate) or more")
        if self.gate_hidden and self.experts < 2:
            raise InputError("model.gate_hidden makes a gate, and model.experts is 1; use 2 or more experts")
        if self.gate_bands < 0 or (self.gate_bands and self.n_fft // 2 % self.gate_bands):
            raise InputError(
                f"model.gate_bands is {self.gate_bands}; use 0 (every bin) or a divisor of {self.n_fft // 2}"
            )

    @property
    def levels(self) -> int:
        """Number of levels: the experts."""
        return self.experts

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        rate, hop = self.sample_rate, self.hop_length
        bands = self.gate_bands or self.n_fft // 2
        features = MagnitudeFeatures(self.n_fft, hop, level_frames(self, hop), self.compression, bands)
        backbone = LocalExperts(self.n_fft // 2 + 1, self.hidden, self.layers, self.experts)
        head = RealMaskHead(self.n_fft, hop)
        gate = None
        if self.gate_hidden:
            mean_frames = max(2, round(self.gate_seconds * rate / hop))
            gate = Gate(features.evidence_size, self.experts, self.gate_hidden, self.gate_layers, mean_frames)
        return Enhancer(features, backbone, head, rate, hop, head.lookahead_samples, gate)
