"""Data purification: what a network hears as noisy in its targets weighs less (Sivaraman and Kim, 2022).

A user's recordings, taken as clean, are noisy in part. A small network predicts the SNR of each of their
frames, and the distance of a frame counts by a sigmoid of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.nn import label_network as network

FLOOR = 1e-3
"""Of the target's mean frame: errors 30 dB below it gain nothing more, and silent frames hardly count."""


@dataclass(frozen=True)
class PurificationConfig:
    """What weighs frames.

    Attributes:
        predictor: folder of a network that labels frames with their SNR, as `best` of a run of
            labels/frame_snr; its frames are those of the distances.
    """

    predictor: str = ""


class Purifier:
    """Weighs the frames of targets.

    Args:
        config: names the predictor.
        sample_rate: of the targets, in Hz.

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
        """Weights in [0, 1] of frames, by the predicted SNR in dB: (batch, time) -> (batch, frame)."""
        return torch.sigmoid(10 * self.net.to(target.device)(target))

    def distances(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Minus the SNR of each frame in units of 10 dB: (batch, time) each -> (batch, frame)."""
        size, hop = self.net.config.n_fft, self.net.config.hop_length
        window = torch.hann_window(size, device=target.device)

        def power(signal: Tensor) -> Tensor:
            return (signal.unfold(1, size, hop) * window).square().sum(2)

        signal, error = power(target), power(estimate - target)
        floor = FLOOR * signal.detach().mean(1, keepdim=True) + 1e-6
        return torch.log10(error + floor) - torch.log10(signal + floor)

    def distance(self, estimate: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Mean over frames of the weighted distances: (batch, time) each, (batch, frame) -> (batch,)."""
        return (weights * self.distances(estimate, target)).mean(1)
