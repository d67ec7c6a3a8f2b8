"""Fits the quantiser of codes to mixtures, as Lloyd and Max do: a component's value is its mean."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sese.nn.enhancer import Enhancer
from sese.nn.features.codes import CodeFeatures
from sese.nn.features.log_power import LogPowerFeatures
from sese.nn.state import fresh


@torch.no_grad()
def fit(model: Enhancer, noisy: Tensor) -> None:
    """Set the thresholds of a model's codes by mixtures (batch, 1, time)."""
    padded = torch.nn.functional.pad(noisy, (0, model.padding(noisy.shape[2]))).squeeze(1)
    features = model.features
    assert isinstance(features, CodeFeatures)
    state = fresh(features.state_shapes(), len(padded), padded)
    powers = LogPowerFeatures.forward(features, padded, state)[0]
    found = lloyd_max(powers.flatten().cpu().numpy(), len(features.thresholds) + 1)
    features.thresholds.copy_(torch.from_numpy(found).to(features.thresholds))


def lloyd_max(values: NDArray[np.floating], components: int, rounds: int = 200) -> NDArray[np.float64]:
    """Thresholds (component - 1,), ascending, of the quantiser with the least mean square error.

    Components start at equal shares of the values; each round moves them to the means of what is nearest.
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
