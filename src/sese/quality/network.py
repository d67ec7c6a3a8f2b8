"""The quality predictor as a PyTorch network: four convolutions, and three dense layers to one score.

Laid out after the DNSMOS-like network of "Binary activation maps" (arXiv 2407.04578): convolution 3 x 3,
activation, pooling 2 x 2, dropout, four times; a pooling over all that is left; dense layers. No batch
norm. With ``binary`` activations a map holds zeros and ones, pooling is a logical or, and a product with a
weight is a choice whether to add it.
"""

from __future__ import annotations

import copy
import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.checkpoint import write
from sese.nn.small_checkpoint import load_network
from sese.predictor.design import KERNEL, Design, design_of
from sese.predictor.spectrum import CENTRE, SPREAD

CONFIG, WEIGHTS = "design.json", "predictor.safetensors"


class Step(torch.autograd.Function):
    """1 above 0, else 0; backward 1 / (beta |a| + 1)^2, the surrogate of SuperSpike (Zenke, Ganguli 2018)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, beta: float) -> Tensor:
        """Return the step: 1 above 0, else 0."""
        ctx.save_for_backward(a)
        ctx.beta = beta
        return (a > 0).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the surrogate gradient."""
        (a,) = ctx.saved_tensors
        return gradients[0] / (ctx.beta * a.abs() + 1).square(), None


class QualityNetwork(nn.Module):
    """Log mel spectrogram (batch, band, frame) -> predicted PESQ (batch,).

    Args:
        design: sizes and activation.
        dropout: chance, behind the first three poolings, in training.
    """

    def __init__(self, design: Design, dropout: float = 0.0):
        super().__init__()
        self.design = design
        inputs = (1, *design.channels[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, KERNEL, padding=KERNEL // 2)
            for before, after in zip(inputs, design.channels, strict=True)
        )
        widths = (design.channels[-1], *design.hidden, 1)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, mel: Tensor) -> Tensor:
        """Return scores, which are not clipped to the range of PESQ."""
        vector = self.vector(self.maps(mel)[-1])
        with torch.autocast(mel.device.type, enabled=False):  # the dense layers are small and need precision
            return self.score(vector.float())

    def maps(self, mel: Tensor) -> list[Tensor]:
        """Return the map behind each convolution, pooled and activated: (batch, channel, band, frame)."""
        x = self.heard(mel)
        made: list[Tensor] = []
        for convolution in self.convolutions:
            made.append(self.activate(convolution(x)))
            x = self.dropout(made[-1])
        return made

    def heard(self, mel: Tensor) -> Tensor:
        """Return the input of the first convolution: (batch, 1, band, frame), about standardised."""
        return ((mel - CENTRE) / SPREAD)[:, None].contiguous(memory_format=torch.channels_last)

    def activate(self, sums: Tensor) -> Tensor:
        """Pool, and apply ReLU or the step; neither falls, so they may change places with the pooling.

        In this order the gradient goes to the largest of the four sums: of four ones, or four zeros, the
        maximum would pick whichever comes first.
        """
        a = F.max_pool2d(sums, 2)
        return torch.relu(a) if self.design.activation == "relu" else Step.apply(a, self.design.beta)

    def vector(self, last: Tensor) -> Tensor:
        """Return the last map (batch, channel, band, frame) as vectors (batch, channel)."""
        return last.amax((2, 3)) if self.design.pool == "max" else last.mean((2, 3))

    def score(self, vector: Tensor) -> Tensor:
        """Return scores (batch,) of vectors (batch, channel)."""
        x = vector
        for layer in self.dense[:-1]:
            x = torch.relu(layer(x))
        return self.dense[-1](x)[:, 0]


@torch.no_grad()
def settle(network: QualityNetwork, mel: Tensor) -> None:
    """Scale the fresh weights so that every pooled sum has mean 0 and deviation 1 on these clips.

    Layer by layer. Without it a channel of a deep layer is nearly always 1, or nearly always 0.

    Args:
        network: fresh.
        mel: (batch, band, frame), some dozens of clips.
    """
    network.eval()
    x = network.heard(mel)
    for layer in network.convolutions:
        _standardise(layer, F.max_pool2d(layer(x), 2), (0, 2, 3))
        x = network.activate(layer(x))
    x = network.vector(x)
    for layer in network.dense[:-1]:
        _standardise(layer, layer(x), (0,))
        x = torch.relu(layer(x))


@torch.no_grad()
def take_over(network: QualityNetwork, trained: QualityNetwork, mel: Tensor) -> None:
    """Give a network the weights of a trained one of its sizes, which may have ReLUs where it has steps.

    A one then stands for what a cell of its channel that is above 0 is worth on average: the weights that
    hear the channel are multiplied by that, so that their sums stay about as they were.

    Args:
        network: the network to start.
        trained: the network to start from.
        mel: (batch, band, frame), some dozens of clips.
    """
    network.load_state_dict(trained.state_dict())
    if (network.design.activation, trained.design.activation) != ("binary", "relu"):
        return
    maps = trained.eval().maps(mel)
    for made, hears in zip(maps, (*network.convolutions[1:], network.dense[0]), strict=True):
        worth = made.sum((0, 2, 3)) / (made > 0).sum((0, 2, 3)).clamp(min=1)
        hears.weight.mul_(worth.view(1, -1, *[1] * (hears.weight.ndim - 2)))


def _standardise(layer: Any, made: Tensor, over: tuple[int, ...]) -> None:
    mean, deviation = made.mean(over), made.std(over).clamp(min=1e-3)
    layer.bias.copy_((layer.bias - mean) / deviation)
    layer.weight.div_(deviation.view(-1, *[1] * (layer.weight.ndim - 1)))


def with_rounded_weights(network: QualityNetwork, bits: int = 8) -> QualityNetwork:
    """Return a copy with weights of 2^bits - 1 steps, symmetric, a scale for each output."""
    rounded = copy.deepcopy(network)
    top = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for layer in (*rounded.convolutions, *rounded.dense):
            weight = layer.weight
            scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / top
            scale = scale.view(-1, *[1] * (weight.ndim - 1))
            weight.copy_((weight / scale).round() * scale)
    return rounded


def save(folder: Path, design: Design, weights: dict[str, Tensor]) -> None:
    """Write a network into a folder, made where missing; each file appears whole or not at all."""
    write(folder, dataclasses.asdict(design), weights, names=(CONFIG, WEIGHTS))


def load(folder: Path) -> QualityNetwork:
    """Load the network of a folder, ready for inference.

    Raises:
        InputError: missing or corrupt files, or weights of another network.
    """
    return load_network(
        folder,
        lambda values: QualityNetwork(design_of(values)),
        "quality predictor",
        names=(CONFIG, WEIGHTS),
    )
