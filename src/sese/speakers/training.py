"""Runs that train what tells speakers, or speech, apart: the embedding, and the autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sese.core.checks import at_least
from sese.core.errors import InputError
from sese.speakers import saved
from sese.speakers.autoencoder import AutoencoderConfig, SpeechAutoencoder
from sese.speakers.clips import SpeakerClips, SpeakerDataConfig, speaker_clips
from sese.speakers.embedding import SpeakerNet, SpeakerNetConfig, pair_loss, same_speaker_logits
from sese.speakers.verification import equal_error_rate
from sese.training import run_folder
from sese.training.config_file import build, dump, read_values
from sese.training.process import prepare
from sese.training.small_networks import SmallTrainingConfig, train_network

KINDS: dict[str, Any] = {kind.system: kind for kind in (SpeakerNetConfig, AutoencoderConfig)}
"""Value of `system` -> the network's configuration."""

Parts = tuple[torch.nn.Module, Callable[[range], Tensor], Callable[[], Mapping[str, float]]]
"""A network, its loss by the numbers of clips, and what is measured."""


@dataclass(frozen=True)
class SpeakerTrainingConfig(SmallTrainingConfig):
    """Settings of training on pairs of clips: `batch_size` and `validation_clips` are even.

    Attributes:
        threads: CPU threads of PyTorch; 0 leaves its choice.
    """

    batch_size: int = 64
    steps: int = 600
    validate_steps: int = 100
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "validation_clips"):
            if getattr(self, name) < 2 or getattr(self, name) % 2:
                raise InputError(f"training.{name} is {getattr(self, name)}; use an even number from 2")
        at_least(self, 0, "training", "threads")
        super().__post_init__()


@dataclass(frozen=True)
class SpeakerRunConfig:
    """One run.

    Attributes:
        name: name of the run's folder.
        seed: seed of the initial weights, of the clips, and of the choice of held-out speakers.
        system: ``speaker_embedding`` or ``speech_autoencoder``.
        model: sizes of that network.
    """

    name: str = "speaker-embedding"
    seed: int = 0
    system: str = SpeakerNetConfig.system
    model: Any = None
    data: SpeakerDataConfig = field(default_factory=SpeakerDataConfig)
    training: SpeakerTrainingConfig = field(default_factory=SpeakerTrainingConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; use a whole number from 0")


def read(path: Path, overrides: Sequence[str] = ()) -> SpeakerRunConfig:
    """Read a configuration file and overrides.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    values = read_values(path, overrides)
    system = values.get("system", SpeakerRunConfig.system)
    if not isinstance(system, str) or system not in KINDS:
        raise InputError(f"system is {system!r}; choose from {sorted(KINDS)}")
    model = build(KINDS[system], values.pop("model", None) or {}, "model")
    return replace(build(SpeakerRunConfig, values, ""), model=model)


def train(
    config: SpeakerRunConfig, folder: Path, resume: bool = False, max_minutes: float | None = None
) -> bool:
    """Train, or go on training; the folder holds what `train_network` writes, and `config.yaml`.

    Args:
        config: the run.
        folder: folder of the run.
        resume: go on from the last checkpoint.
        max_minutes: stop cleanly with a checkpoint after this long.

    Returns:
        Whether every step is done.

    Raises:
        InputError: a run lies there and is not to be resumed, or nothing lies there to resume.
    """
    run_folder.check(folder, config, resume)
    settings, rate = config.training, config.model.sample_rate
    prepare(settings.threads)
    banks = config.data.banks(rate)
    clips, held_out = (
        speaker_clips(banks, config.data.mix, rate, config.seed, part, config.data.held_out)
        for part in ("train", "held_out")
    )
    torch.manual_seed(config.seed)
    parts = {SpeakerNetConfig.system: _embedding, AutoencoderConfig.system: _autoencoder}[config.system]
    net, loss, validate = parts(config, clips, held_out)
    run_folder.write_config(folder, dump(config))
    return train_network(
        net, settings, folder, loss, validate, lambda place: saved.save(place, net), resume, max_minutes
    )


def _embedding(config: SpeakerRunConfig, clips: SpeakerClips, held_out: SpeakerClips) -> Parts:
    """Build an embedding with its loss: a batch has two or more clips of each speaker, in other noises.

    The equal error rate over all pairs of the held-out speakers' clips is noted beside the loss.
    """
    net = SpeakerNet(config.model)
    mixture, known = held_out(range(config.training.validation_clips))
    first, second = torch.triu_indices(len(known), len(known), 1)
    same = (known[first] == known[second]).numpy()

    def loss(numbers: range) -> Tensor:
        mixture, speakers = clips(numbers)
        return pair_loss(net(mixture.noisy[:, 0]), speakers)

    def validate() -> dict[str, float]:
        embeddings = net(mixture.noisy[:, 0])
        scores = same_speaker_logits(embeddings)[first, second].numpy()
        return {
            "val/loss": pair_loss(embeddings, known).item(),
            "val/eer": equal_error_rate(scores, same),
        }

    return net, loss, validate


def _autoencoder(config: SpeakerRunConfig, clips: SpeakerClips, held_out: SpeakerClips) -> Parts:
    """Build an autoencoder with its loss, which hears clean speech alone.

    Beside the loss is noted what of the same clips' noisy sides does not come back, and how often that is
    more than of the clean side.
    """
    net = SpeechAutoencoder(config.model)
    chosen_by, _ = held_out(range(config.training.validation_clips))

    def loss(numbers: range) -> Tensor:
        return net(clips(numbers)[0].clean[:, 0]).mean()

    def validate() -> dict[str, float]:
        clean, noisy = net(chosen_by.clean[:, 0]), net(chosen_by.noisy[:, 0])
        return {
            "val/loss": clean.mean().item(),
            "val/noisy": noisy.mean().item(),
            "val/told_apart": (noisy > clean).float().mean().item(),
        }

    return net, loss, validate
