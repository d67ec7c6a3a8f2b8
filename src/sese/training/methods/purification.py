"""Train on noisy targets, frames weighted by how clean their target is (Sivaraman and Kim, 2022).

A user's recordings, taken as clean speech, are noisy in part. A small network predicts the SNR of each of
their frames, and the distance of a frame counts by a sigmoid of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn import label_network as network
from sese.training.losses import at_target_level
from sese.training.methods.levels import last_score
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask

FLOOR = 1e-3
"""Share of the target's mean frame that limits a distance: errors 30 dB below it gain nothing more, and
silent frames hardly count."""


@dataclass(frozen=True)
class PurificationConfig:
    """Configuration of the weights of frames.

    Attributes:
        predictor: Folder of a network that labels frames with their SNR, as `best` of a run of
            labels/frame_snr; distances are computed on its frames.
    """

    predictor: str = ""

    @property
    def in_use(self) -> bool:
        """Whether a predictor weights frames."""
        return bool(self.predictor)


class Purifier:
    """Weight the frames of targets.

    Args:
        config: Configuration with the predictor's folder.
        sample_rate: Sample rate of the targets in Hz.

    Raises:
        InputError: the folder holds no predictor of SNRs, or one for another rate.
    """

    def __init__(self, config: PurificationConfig, sample_rate: int):
        task, self.net = network.load(Path(config.predictor))
        if task != "frame_snr":
            raise InputError(
                f"training.purification.predictor: {config.predictor} was trained for {task}; "
                "train labels/frame_snr"
            )
        if self.net.config.sample_rate != sample_rate:
            raise InputError(
                f"training.purification.predictor hears {self.net.config.sample_rate} Hz and the model "
                f"{sample_rate} Hz; train one at the model's rate"
            )

    @torch.no_grad()
    def weights(self, target: Tensor) -> Tensor:
        """Return the weight of each frame, by the predicted SNR in dB.

        Args:
            target: Targets (batch, time).

        Returns:
            Weights (batch, frame) in [0, 1].
        """
        return torch.sigmoid(10 * self.net.to(target.device)(target))

    def distances(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Return minus the SNR of each frame in units of 10 dB: (batch, time) each -> (batch, frame)."""
        size, hop = self.net.config.n_fft, self.net.config.hop_length
        window = torch.hann_window(size, device=target.device)

        def power(signal: Tensor) -> Tensor:
            return (signal.unfold(1, size, hop) * window).square().sum(2)

        signal, error = power(target), power(estimate - target)
        floor = FLOOR * signal.detach().mean(1, keepdim=True) + 1e-6
        return torch.log10(error + floor) - torch.log10(signal + floor)

    def distance(self, estimate: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Return the mean weighted distance: (batch, time) each, weights (batch, frame) -> (batch,)."""
        return (weights * self.distances(estimate, target)).mean(1)


def purifier_of(task: EnhancementTask) -> Purifier | None:
    """Return what weights frames; None where no predictor is configured."""
    config: PurificationConfig = task.config.training.purification
    return Purifier(config, task.model.sample_rate) if config.in_use else None


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the weighted distance of the highest level's output from its noisy targets."""
    (output,) = task.model.enhance_levels(batch.noisy, [task.levels - 1])
    purifier: Purifier = task.helper
    with torch.autocast(output.device.type, enabled=False):
        made, aims = at_target_level(output.squeeze(1).float(), batch.clean.squeeze(1).float())
        weights = purifier.weights(batch.clean.squeeze(1))
        return {"purified": purifier.distance(made, aims, weights).mean()}


def check(config: RunConfig) -> None:
    """Check that there is a predictor.

    Raises:
        InputError: there is none.
    """
    if not config.training.purification.in_use:
        raise InputError(
            "training.method is 'purification' and nothing predicts SNRs; "
            "name training.purification.predictor"
        )


METHOD = Method(losses, last_score, {"purification": PurificationConfig}, check, helper=purifier_of)
