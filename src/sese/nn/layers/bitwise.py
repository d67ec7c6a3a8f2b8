"""Layers whose weights and activations are bits, and how they come to be.

A weight is a real number while it is learned. Used softly it is its tanh; used as a bit it is its sign times
the mean size of all that are kept, or nothing where it is among the smallest. Between the two, each weight
and each activation is drawn, soft or hard, in every step: the share of hard ones grows until all are.

A hard layer is a count of agreeing bits against a whole number: its scale is one number for the whole
matrix, so it decides nothing but the bias, and that becomes the number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Binarisation:
    """How much of a network is used as bits in a forward pass that learns.

    Attributes:
        share: of weights and of activations that are hard, in [0, 1].
        generator: draws which.
    """

    share: float = 0.0
    generator: torch.Generator | None = None

    def mix(self, soft: Tensor, hard: Tensor) -> Tensor:
        """A share of hard values among soft ones, drawn for each element."""
        if self.share in (0.0, 1.0):
            return hard if self.share else soft
        drawn = torch.rand(soft.shape, generator=self.generator) < self.share
        return torch.where(drawn.to(soft.device), hard, soft)

    def bipolar(self, x: Tensor) -> Tensor:
        """Sign or tanh."""
        soft = torch.tanh(x)
        return self.mix(soft, soft + (sign(x) - soft).detach())

    def gate(self, x: Tensor) -> Tensor:
        """Step or sigmoid; the step's gradient is twice that of the sigmoid."""
        soft = torch.sigmoid(x)
        return self.mix(soft, 2 * soft + (step(x) - 2 * soft).detach())

    def weight(self, weight: Tensor, sparsity: float) -> Tensor:
        """Bits times their scale, or tanh."""
        soft = torch.tanh(weight)
        if not self.share:
            return soft
        kept, scale = kept_and_scale(soft.detach(), sparsity)
        bits = soft + (sign(weight) - soft).detach()
        return self.mix(soft, bits * kept * scale)


@dataclass(frozen=True)
class Bits:
    """A hard layer.

    Attributes:
        weight: (out, in) of -1, 0 and +1.
        offset: (out,) whole numbers and a half, to be added to the products: none of those sums is 0.
        scale: what the sums are to be multiplied with to be those of the weights as they were learned.
    """

    weight: Tensor
    offset: Tensor
    scale: Tensor


class BitwiseLinear(nn.Module):
    """A product with bits.

    Args:
        inputs, outputs: its widths.
        sparsity: share of the weights, the smallest, that are left out as bits.
    """

    def __init__(self, inputs: int, outputs: int, sparsity: float = 0.0):
        super().__init__()
        self.sparsity = sparsity
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.weight.numel()

    def bits(self) -> Bits:
        """The layer as it runs when it has learned."""
        weight = self.weight.detach()
        kept, scale = kept_and_scale(torch.tanh(weight), self.sparsity)
        # A sum at or above this number is at or above zero with the bias.
        least = torch.ceil(-self.bias.detach().double() / scale.double())
        reach = float(weight.shape[1] + 1)
        return Bits(sign(weight) * kept, 0.5 - least.clamp(-reach, reach).to(weight.dtype), scale)

    def forward(self, x: Tensor, how: Binarisation) -> Tensor:
        """Products with weights as they learn."""
        return F.linear(x, how.weight(self.weight, self.sparsity), self.bias)


class BitwiseGRU(nn.Module):
    """A GRU of bits: h' = (1 - u) h + u c; the reset gate acts on the state before its product.

    Where all is hard, gates are 0 or 1 and candidates -1 or +1, so that the state is -1, +1, or 0 in units
    that no frame has updated yet.

    Args:
        inputs: width of the input.
        size: hidden units.
        sparsity: see `BitwiseLinear`.
    """

    def __init__(self, inputs: int, size: int, sparsity: float = 0.0):
        super().__init__()
        self.inputs, self.size = inputs, size
        self.gates = BitwiseLinear(inputs + size, 2 * size, sparsity)
        self.candidate = BitwiseLinear(inputs + size, size, sparsity)
        with torch.no_grad():  # states that hold for some frames are learned from the start
            self.gates.bias[size:] = -1.0

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.gates.macs() + self.candidate.macs()

    def forward(self, x: Tensor, hidden: Tensor, how: Binarisation) -> tuple[Tensor, Tensor]:
        """Run frames as they learn: x (batch, frame, input), hidden (batch, 1, unit) -> as wide as it."""
        layers = (self.gates, self.candidate)
        weights = [how.weight(layer.weight, layer.sparsity) for layer in layers]
        (from_x, from_h), (new_x, new_h) = (
            (weight[:, : self.inputs], weight[:, self.inputs :]) for weight in weights
        )
        steps, news = (
            F.linear(x, weight, layer.bias).float().unbind(1)
            for weight, layer in zip((from_x, new_x), layers, strict=True)
        )
        outputs, h = [], hidden[:, 0]
        with torch.autocast(x.device.type, enabled=False):
            for step_x, new in zip(steps, news, strict=True):
                reset, update = how.gate(step_x + F.linear(h, from_h)).chunk(2, dim=-1)
                h = h + update * (how.bipolar(new + F.linear(reset * h, new_h)) - h)
                outputs.append(h)
        return torch.stack(outputs, dim=1), h.unsqueeze(1)

    def hard(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The same as it runs when it has learned, exactly: every sum is of whole numbers and a half."""
        gates, candidate = self.gates.bits(), self.candidate.bits()
        inputs = self.inputs
        outputs, h = [], hidden[:, 0]
        with torch.autocast(x.device.type, enabled=False):
            steps, news = (
                F.linear(x.float(), layer.weight[:, :inputs], layer.offset).unbind(1)
                for layer in (gates, candidate)
            )
            for step_x, new in zip(steps, news, strict=True):
                reset, update = step(step_x + F.linear(h, gates.weight[:, inputs:])).chunk(2, dim=-1)
                made = sign(new + F.linear(reset * h, candidate.weight[:, inputs:]))
                h = (1 - update) * h + update * made
                outputs.append(h)
        return torch.stack(outputs, dim=1), h.unsqueeze(1)


def sign(x: Tensor) -> Tensor:
    """-1 below zero, else +1."""
    return torch.where(x < 0, -1.0, 1.0).to(x.dtype)


def step(x: Tensor) -> Tensor:
    """0 below zero, else 1."""
    return torch.where(x < 0, 0.0, 1.0).to(x.dtype)


def kept_and_scale(soft: Tensor, sparsity: float) -> tuple[Tensor, Tensor]:
    """Which weights are kept (1) and which left out (0), and the mean size of those that are kept."""
    size = soft.abs()
    left_out = int(sparsity * size.numel())
    if not left_out:
        return torch.ones_like(size), size.mean()
    kept = (size > size.flatten().kthvalue(left_out).values).to(size.dtype)
    return kept, (size * kept).sum() / kept.sum().clamp_min(1)
