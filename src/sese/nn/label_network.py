"""A network that labels speech: log powers of mel bands, GRUs, one score a frame.

The bands are standardised by what training saw. A score above 0 means yes; for ``frame_snr`` it is the SNR in
units of 10 dB. The network is causal, a frame a hop.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sese.audio.mel import bin_frequencies, htk_edges, triangles
from sese.core.checks import at_least
from sese.core.errors import InputError, brief
from sese.core.untrusted import from_json
from sese.nn.checkpoint import CONFIG, write
from sese.nn.small_checkpoint import load_network

SYSTEM = "labels"
"""Value of `system` in the `config.json` of such a network."""

TASKS = ("voice_activity", "speaker_sex", "frame_snr")
FLOOR = 1e-10  # of the power of a band, -100 dB of full scale


@dataclass(frozen=True)
class LabelNetConfig:
    """Sizes.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples.
        bands: of the mel scale, from 60 Hz to the Nyquist frequency.
        units: of each GRU.
        layers: GRUs on top of each other.
    """

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    bands: int = 40
    units: int = 32
    layers: int = 2

    def __post_init__(self) -> None:
        at_least(self, 1, "model", "sample_rate", "n_fft", "hop_length", "bands", "units", "layers")


class LabelNet(nn.Module):
    """Audio in, a score a frame out.

    Args:
        config: sizes.
    """

    mean: Tensor
    deviation: Tensor
    window: Tensor
    filters: Tensor

    def __init__(self, config: LabelNetConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.bands))
        self.register_buffer("deviation", torch.ones(config.bands))
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(config)), persistent=False)
        self.gru = nn.GRU(config.bands, config.units, config.layers, batch_first=True)
        self.score = nn.Linear(config.units, 1)

    def log_bands(self, audio: Tensor) -> Tensor:
        """Audio (batch, time) -> natural logarithms of powers (batch, frame, band), not standardised."""
        frames = audio.unfold(1, self.config.n_fft, self.config.hop_length)
        power = torch.fft.rfft(frames * self.window).abs().square()
        return (power @ self.filters).clamp_min(FLOOR).log()

    def features(self, audio: Tensor) -> Tensor:
        """Audio (batch, time) -> what goes into the GRUs, (batch, frame, band)."""
        return (self.log_bands(audio) - self.mean) / self.deviation

    def forward(self, audio: Tensor) -> Tensor:
        """Audio (batch, time) in [-1, 1] -> scores (batch, frame)."""
        return self.score(self.gru(self.features(audio))[0]).squeeze(2)


def mel_filters(config: LabelNetConfig) -> np.ndarray:
    """Return triangles of height 1, equally spaced on the mel scale from 60 Hz, float32 [bin, band]."""
    edges = htk_edges(60.0, config.sample_rate / 2, config.bands)
    bins = bin_frequencies(config.n_fft, config.sample_rate)
    filters = triangles(edges, bins).T.copy()
    # The lowest bands are narrower than a bin: each gets at least the bin that is nearest to its middle.
    nearest = np.abs(bins[:, None] - edges[1:-1]).argmin(0)
    filters[nearest, np.arange(config.bands)] = np.maximum(filters[nearest, np.arange(config.bands)], 0.1)
    return filters.astype(np.float32)


def save(folder: Path, task: str, config: LabelNetConfig, weights: dict[str, Tensor]) -> None:
    """Write a network into a folder; each file appears whole or not at all."""
    write(folder, {"system": SYSTEM, "task": task, **dataclasses.asdict(config)}, weights)


def is_label_net(folder: Path) -> bool:
    """Return whether a folder's configuration is that of a network that labels speech."""
    try:
        return from_json((folder / CONFIG).read_text()).get("system") == SYSTEM
    except (OSError, ValueError, AttributeError):
        return False


def load(folder: Path) -> tuple[str, LabelNet]:
    """Load the task and the network of a folder, ready for inference.

    Raises:
        InputError: missing or corrupt files, or weights of another network.
    """

    def build(values: dict[str, Any]) -> LabelNet:
        del values["system"]
        task = values.pop("task")
        if task not in TASKS:
            raise InputError(f"task is {brief(task)}; one of {list(TASKS)} is needed")
        tasks.append(task)
        return LabelNet(LabelNetConfig(**values))

    tasks: list[str] = []
    network = load_network(folder, build, "network that labels speech")
    return tasks[0], network
