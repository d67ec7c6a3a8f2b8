"""A speaker embedding that noise does not disturb (as in arXiv 2105.03542): GRUs on noisy magnitudes.

The magnitudes are those that an enhancer's policy sees, and an input's embedding is the running mean of the
last layer's states, so that the same recurrent layers, with a linear layer behind, are a gate that streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.state import fresh
from sese.speakers import saved


@dataclass(frozen=True)
class SpeakerNetConfig:
    """Sizes.

    Attributes:
        sample_rate: sample rate in Hz.
        n_fft, hop_length: window and hop of the spectra, in samples; a window is two hops long.
        level_seconds: time constant of the running level that magnitudes are divided by.
        compression: power that magnitudes are raised to.
        bands: number of bands of equal width that average the magnitudes; n_fft / 2 for a bin each.
        hidden: width of the GRU layers, and of the embedding.
        layers: GRU layers.
    """

    system: ClassVar[str] = "speaker_embedding"

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    level_seconds: float = 2.0
    compression: float = 0.5
    bands: int = 256
    hidden: int = 32
    layers: int = 2

    def __post_init__(self) -> None:
        at_least(self, 1, "model", "sample_rate", "hop_length", "bands", "hidden", "layers")
        above_zero(self, "model", "level_seconds", "compression")
        if self.n_fft != 2 * self.hop_length or self.hop_length % self.bands:
            raise InputError(
                f"model.n_fft is {self.n_fft} with a hop of {self.hop_length} and {self.bands} bands; "
                "use two hops, and bands that divide the hop"
            )


class SpeakerNet(nn.Module):
    """Audio in, an embedding out.

    Args:
        config: sizes.
    """

    def __init__(self, config: SpeakerNetConfig):
        super().__init__()
        self.config = config
        level_frames = max(2, round(config.level_seconds * config.sample_rate / config.hop_length))
        self.features = MagnitudeFeatures(
            config.n_fft, config.hop_length, level_frames, config.compression, config.bands
        )
        self.gru = nn.GRU(config.bands, config.hidden, config.layers, batch_first=True)

    def macs(self) -> int:
        """Return the multiply-accumulates in a frame."""
        return sum(weight.numel() for name, weight in self.gru.named_parameters() if "weight" in name)

    def frames(self, audio: Tensor) -> Tensor:
        """Return the last layer's states (batch, frame, unit) of audio (batch, time) in [-1, 1]."""
        audio = F.pad(audio, (0, -audio.shape[1] % self.config.hop_length))
        state = fresh(self.features.state_shapes(), len(audio), audio)
        signal, context, _ = self.features(audio, state)
        evidence = self.features.evidence(audio, signal, context)
        return self.gru(evidence.unflatten(1, (-1, self.config.bands)))[0]

    def forward(self, audio: Tensor) -> Tensor:
        """Return embeddings (batch, unit), each component in (-1, 1), of audio (batch, time) in [-1, 1]."""
        return self.frames(audio).mean(1)


def same_speaker_logits(embeddings: Tensor) -> Tensor:
    """Return inner products (clip, clip) of embeddings (clip, unit): above 0 for one speaker."""
    return embeddings @ embeddings.T


def pair_loss(embeddings: Tensor, speakers: Tensor) -> Tensor:
    """Return the cross-entropy over all pairs of a batch; pairs of one speaker weigh half in all.

    Args:
        embeddings: (clip, unit).
        speakers: (clip,) numbers.

    Returns:
        Nats a pair, a scalar.
    """
    logits = same_speaker_logits(embeddings)
    same = (speakers.unsqueeze(0) == speakers.unsqueeze(1)).to(logits.dtype)
    errors = F.binary_cross_entropy_with_logits(logits, same, reduction="none")
    apart = 1 - torch.eye(len(logits), device=logits.device, dtype=logits.dtype)
    together, other = same * apart, 1 - same
    of_one = (errors * together).sum() / together.sum().clamp_min(1)
    return 0.5 * (of_one + (errors * other).sum() / other.sum().clamp_min(1))


def load(folder: Path) -> SpeakerNet:
    """Load the network of a folder, or of a run's best, ready for inference; see `saved.load`."""
    return saved.load(folder, SpeakerNet, SpeakerNetConfig, "a speaker embedding")
