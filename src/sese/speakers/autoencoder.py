"""Selection by autoencoder error (Kim, ICASSP 2017): who makes what is most like clean speech?

An autoencoder learns to give clean speech back through a narrow layer. What it has not learnt, noise and
distortion, it gives back badly. Each expert enhances the first seconds of an input; that whose output the
autoencoder gives back best goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.speakers import saved


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes.

    Attributes:
        sample_rate: sample rate in Hz.
        n_fft, hop_length: window and hop of the spectra, in samples.
        compression: power that magnitudes are raised to.
        context: frames that go in side by side, and come back.
        hidden: units of the layers before and behind the narrow one.
        code: units of the narrow layer.
    """

    system: ClassVar[str] = "speech_autoencoder"

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    compression: float = 1.0
    context: int = 1
    hidden: int = 256
    code: int = 32

    def __post_init__(self) -> None:
        at_least(self, 1, "model", "sample_rate", "n_fft", "hop_length", "context", "hidden", "code")
        above_zero(self, "model", "compression")
        if self.hop_length > self.n_fft:
            raise InputError(f"model.hop_length is {self.hop_length}; use at most n_fft, {self.n_fft}")


class SpeechAutoencoder(nn.Module):
    """Magnitudes of a few frames in, the same out.

    Args:
        config: sizes.
    """

    window: Tensor

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        size = config.context * (config.n_fft // 2 + 1)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.encoder = nn.Sequential(
            nn.Linear(size, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.code), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            nn.Linear(config.code, config.hidden), nn.ReLU(), nn.Linear(config.hidden, size)
        )

    def macs(self) -> int:
        """Return the multiply-accumulates in a frame."""
        return sum(layer.weight.numel() for layer in self.modules() if isinstance(layer, nn.Linear))

    def windows(self, audio: Tensor) -> Tensor:
        """Return compressed magnitudes (batch, frame, context * bin) of audio (batch, time).

        A clip's magnitudes have a mean square of 1, so that its level decides nothing.

        Raises:
            InputError: the audio is shorter than the frames that go in side by side.
        """
        config = self.config
        needed = config.n_fft + (config.context - 1) * config.hop_length
        if audio.shape[1] < needed:
            raise InputError(f"got {audio.shape[1]} samples; an autoencoder of speech needs {needed}")
        frames = audio.unfold(1, config.n_fft, config.hop_length)
        magnitude = torch.fft.rfft(frames * self.window).abs().clamp_min(1e-5) ** config.compression
        level = magnitude.square().mean((1, 2), keepdim=True).sqrt()
        return (magnitude / level).unfold(1, config.context, 1).transpose(2, 3).flatten(2)

    def forward(self, audio: Tensor) -> Tensor:
        """Return the share of energy that is not reconstructed: audio (batch, time) -> (batch,)."""
        told = self.windows(audio)
        error = (self.decoder(self.encoder(told)) - told).square().sum((1, 2))
        return error / told.square().sum((1, 2))


@torch.no_grad()
def errors(net: SpeechAutoencoder, outputs: Sequence[Tensor], seconds: float) -> Tensor:
    """Measure how badly each expert's output is reconstructed: (clip, expert).

    Args:
        net: the autoencoder.
        outputs: output of each expert, (clip, time), in the order of the experts.
        seconds: length of the beginning that counts, in seconds; shorter clips count whole.
    """
    first = round(seconds * net.config.sample_rate)
    least = net.config.n_fft + (net.config.context - 1) * net.config.hop_length
    heard = [output[:, :first] for output in outputs]
    heard = [F.pad(part, (0, max(0, least - part.shape[1]))) for part in heard]
    return torch.stack([net(part) for part in heard], dim=1)


def load(folder: Path) -> SpeechAutoencoder:
    """Load the network of a folder, or of a run's best, ready for inference; see `saved.load`."""
    return saved.load(folder, SpeechAutoencoder, AutoencoderConfig, "a speech autoencoder")
