"""Small predictors that the tests of the quality package share."""

from __future__ import annotations

import numpy as np
import torch

from sese.predictor.design import Design
from sese.quality.network import QualityNetwork

PUBLISHED = Design(activation="binary")
ODD = Design(  # nothing fits into whole bytes, words or poolings
    seconds=2.03, bands=33, channels=(5, 7, 12, 9), hidden=(8, 9), activation="binary", pool="mean"
)


def network(design: Design, seed: int = 0) -> QualityNetwork:
    """Random weights, with biases that let about half of the cells be ones."""
    torch.manual_seed(seed)
    made = QualityNetwork(design).eval()
    with torch.no_grad():
        for number, layer in enumerate(made.convolutions):
            torch.nn.init.normal_(layer.bias, 0.0, 0.1)
            if number:
                layer.bias -= layer.weight.sum((1, 2, 3)) / 2
        made.get_parameter("dense.2.bias").fill_(2.5)  # within the range of PESQ
        made.get_parameter("dense.2.weight").mul_(5)
    return made


def spectrogram(design: Design, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-4, 4, (design.bands, design.frames)).astype(np.float32)
