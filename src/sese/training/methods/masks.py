"""Train a bitwise network towards ideal binary masks, while more and more of it becomes bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.backbones.bitwise import Bitwise
from sese.nn.enhancer import Enhancer
from sese.nn.features.codes import CodeFeatures
from sese.nn.features.log_power import LogPowerFeatures
from sese.nn.features.short_time import ShortTimeFeatures
from sese.nn.layers.bitwise import Binarisation
from sese.nn.state import fresh
from sese.training.methods.levels import last_score
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask

CODE_MIXTURES = 64
"""Number of mixtures that the quantiser of the codes is calibrated on."""


@dataclass(frozen=True)
class MasksConfig:
    """Configuration of the training of bits.

    Attributes:
        shares: Shares of the weights and activations that are bits, one after the other, each for equally
            many steps.
    """

    shares: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if not self.shares or not all(0 <= share <= 1 for share in self.shares):
            raise InputError(f"training.masks.shares is {list(self.shares)}; give shares from 0 to 1")

    def share_at(self, done: float) -> float:
        """Return the share of bits at a point of the training.

        Args:
            done: Share of the steps that are done, in [0, 1].

        Example:
            >>> MasksConfig((0.5, 1.0)).share_at(0.7)
            1.0
        """
        return self.shares[min(int(done * len(self.shares)), len(self.shares) - 1)]


def start(task: EnhancementTask) -> None:
    """Calibrate the quantiser of the codes on the first mixtures."""
    mixer = task.trainer.datamodule.mixer(task.device)  # type: ignore[attr-defined]
    calibrate(task.model, mixer(range(CODE_MIXTURES)).noisy)


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the error of the masks, with a share of the weights and activations as bits."""
    share = task.config.training.masks.share_at(task.done)
    task.log("train/share", share)
    return {"mask": mask_error(task.model, batch.noisy, batch.clean, Binarisation(share, generator))}


def mask_error(model: Enhancer, noisy: Tensor, clean: Tensor, how: Binarisation) -> Tensor:
    """Return the mean squared difference between the mask and the ideal binary mask, both from -1 to 1.

    Args:
        model: Model with a bitwise backbone.
        noisy, clean: Input and target (batch, 1, time).
        how: Share of the network that is bits.
    """
    assert isinstance(model.backbone, Bitwise)
    padded, speech = (F.pad(x, (0, model.padding(x.shape[2]))).squeeze(1) for x in (noisy, clean))
    state = fresh(model.state_shapes(), len(padded), padded)
    with torch.no_grad(), torch.autocast(noisy.device.type, enabled=False):
        given = {name.removeprefix("features."): value for name, value in state.items()}
        codes, spectrum, _ = model.features(padded, given)
        aim = 2.0 * ideal_masks(model, spectrum, speech) - 1.0
    given = {name.removeprefix("backbone."): value for name, value in state.items()}
    return (model.backbone.learn(codes, given, how)[0] - aim).square().mean()


def ideal_masks(model: Enhancer, spectrum: Tensor, speech: Tensor) -> Tensor:
    """Return 1 where speech is stronger than what is mixed with it, else 0: (batch, frame, bin).

    Args:
        model: Model whose features compute spectra.
        spectrum: Spectra (batch, frame * 2 * bin) of the mixtures.
        speech: Speech (batch, time).
    """
    features = model.features
    assert isinstance(features, ShortTimeFeatures)
    past = speech.new_zeros(len(speech), features.n_fft - features.hop_length)
    quiet = features.analyse(speech, past)[0]
    noise = spectrum.unflatten(1, (-1, 2, features.bins)) - quiet
    return (quiet.square().sum(2) > noise.square().sum(2)).to(speech.dtype)


@torch.no_grad()
def calibrate(model: Enhancer, noisy: Tensor) -> None:
    """Set the thresholds of a model's codes from mixtures.

    Args:
        model: Model with features of codes.
        noisy: Mixtures (batch, 1, time).
    """
    padded = F.pad(noisy, (0, model.padding(noisy.shape[2]))).squeeze(1)
    features = model.features
    assert isinstance(features, CodeFeatures)
    state = fresh(features.state_shapes(), len(padded), padded)
    powers = LogPowerFeatures.forward(features, padded, state)[0]
    found = lloyd_max(powers.flatten().cpu().numpy(), len(features.thresholds) + 1)
    features.thresholds.copy_(torch.from_numpy(found).to(features.thresholds))


def lloyd_max(values: NDArray[np.floating], components: int, rounds: int = 200) -> NDArray[np.float64]:
    """Return the thresholds of the quantiser with the least mean squared error.

    Components start at equal shares of the values. Each round moves them to the mean of the values that are
    nearest to them, as Lloyd and Max do.

    Args:
        values: Values of any shape.
        components: Number of values of the quantiser.
        rounds: Largest number of rounds.

    Returns:
        Thresholds (component - 1,), ascending.

    Example:
        >>> lloyd_max(np.array([0.0, 0.0, 1.0, 1.0]), 2)
        array([0.5])
    """
    ordered = np.sort(np.asarray(values, np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    means = np.quantile(ordered, (np.arange(components) + 0.5) / components)
    for _ in range(rounds):
        thresholds = (means[1:] + means[:-1]) / 2
        ends = np.concatenate([[0], np.searchsorted(ordered, thresholds, side="right"), [len(ordered)]])
        counts = np.diff(ends)
        moved = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), means)
        if np.allclose(moved, means, rtol=0, atol=1e-9):
            break
        means = moved
    return (means[1:] + means[:-1]) / 2


def check(config: RunConfig) -> None:
    """Check that the model has bits where the shares ask for them.

    Raises:
        InputError: the model has none, or the shares of bits and the model differ.
    """
    if not getattr(config.model, "code_bits", 0):
        raise InputError(
            f"training.method is 'masks', which trains bits, and {config.system} has none; use bitwise"
        )
    shares, binary = config.training.masks.shares, config.model.binary
    if any(shares) != binary:
        raise InputError(
            f"training.masks.shares is {list(shares)} and model.binary {str(binary).lower()}; "
            "a network of bits needs shares above 0, the other none"
        )


METHOD = Method(losses, last_score, {"masks": MasksConfig}, check, kinds=("bits",), start=start)
