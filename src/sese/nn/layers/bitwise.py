"""Layers whose weights and activations are bits, and how they are learned.

A weight is a real number while it is learned. Its soft value is its tanh. Its hard value is its sign times
the mean size of all kept weights, or 0 where it is among the smallest. In every step each weight and each
activation is soft or hard at random, and the share of hard ones grows until all are hard.

A hard layer compares the count of agreeing bits with a whole number. Its scale is one number for the whole
matrix, so it only changes the bias, and the bias becomes that whole number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Binarisation:
    """Share of a network that is used as bits in a forward pass of training.

    Attributes:
        share: share of the weights and of the activations that are hard, in [0, 1].
        generator: chooses which ones.
    """

    share: float = 0.0
    generator: torch.Generator | None = None

    def mix(self, soft: Tensor, hard: Tensor) -> Tensor:
        """Take the hard value of a random share of the elements, and the soft value of the others."""
        if self.share in (0.0, 1.0):
            return hard if self.share else soft
        drawn = torch.rand(soft.shape, generator=self.generator) < self.share
        return torch.where(drawn.to(soft.device), hard, soft)

    def bipolar(self, x: Tensor) -> Tensor:
        """Return the sign (hard) or the tanh (soft) of each element."""
        soft = torch.tanh(x)
        return self.mix(soft, soft + (sign(x) - soft).detach())

    def gate(self, x: Tensor) -> Tensor:
        """Return the step (hard) or the sigmoid (soft) of each element.

        The gradient of the step is twice that of the sigmoid.
        """
        soft = torch.sigmoid(x)
        return self.mix(soft, 2 * soft + (step(x) - 2 * soft).detach())

    def weight(self, weight: Tensor, sparsity: float) -> Tensor:
        """Return bits times their scale (hard), or the tanh (soft), of each weight (out, in)."""
        soft = torch.tanh(weight)
        if not self.share:
            return soft
        kept, scale = kept_and_scale(soft.detach(), sparsity)
        bits = soft + (sign(weight) - soft).detach()
        return self.mix(soft, bits * kept * scale)


@dataclass(frozen=True)
class Bits:
    """Weights and offsets of a hard layer.

    Attributes:
        weight: (out, in) of -1, 0 and +1.
        offset: (out,) whole numbers plus a half, added to the products: no sum is 0.
        scale: factor from these sums to those of the weights as they were learned.
    """

    weight: Tensor
    offset: Tensor
    scale: Tensor


class BitwiseLinear(nn.Module):
    """Multiply by a matrix of bits.

    Args:
        inputs, outputs: widths.
        sparsity: share of the weights, the smallest ones, that are 0 in the hard layer.
    """

    def __init__(self, inputs: int, outputs: int, sparsity: float = 0.0):
        super().__init__()
        self.sparsity = sparsity
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return self.weight.numel()

    def bits(self) -> Bits:
        """Return the hard layer, which runs after training."""
        weight = self.weight.detach()
        kept, scale = kept_and_scale(torch.tanh(weight), self.sparsity)
        # A sum at or above this number is at or above zero with the bias.
        least = torch.ceil(-self.bias.detach().double() / scale.double())
        reach = float(weight.shape[1] + 1)
        return Bits(sign(weight) * kept, 0.5 - least.clamp(-reach, reach).to(weight.dtype), scale)

    def forward(self, x: Tensor, how: Binarisation) -> Tensor:
        """Multiply x (..., input) by the weights of training: (..., output)."""
        return F.linear(x, how.weight(self.weight, self.sparsity), self.bias)


class BitwiseGRU(nn.Module):
    """Run a GRU of bits: h' = (1 - u) h + u c; the reset gate acts on the state before its product.

    In the hard layer gates are 0 or 1 and candidates -1 or +1, so that the state is -1, +1, or 0 in units
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
        with torch.no_grad():  # so that fresh units hold their state for some frames
            self.gates.bias[size:] = -1.0

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return self.gates.macs() + self.candidate.macs()

    def forward(self, x: Tensor, hidden: Tensor, how: Binarisation) -> tuple[Tensor, Tensor]:
        """Run frames with the weights of training.

        Args:
            x: (batch, frame, input).
            hidden: (batch, 1, unit).
            how: share of bits.

        Returns:
            (batch, frame, unit), and the next hidden state.
        """
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
        """Run frames with the hard layer, exactly: every sum is a whole number plus a half.

        Args:
            x: (batch, frame, input) of -1 and +1.
            hidden: (batch, 1, unit).

        Returns:
            (batch, frame, unit), and the next hidden state.
        """
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
    """Return -1 for elements below zero, else +1.

    Example:
        >>> sign(torch.tensor([-0.5, 0.0, 2.0]))
        tensor([-1.,  1.,  1.])
    """
    return torch.where(x < 0, -1.0, 1.0).to(x.dtype)


def step(x: Tensor) -> Tensor:
    """Return 0 for elements below zero, else 1."""
    return torch.where(x < 0, 0.0, 1.0).to(x.dtype)


def kept_and_scale(soft: Tensor, sparsity: float) -> tuple[Tensor, Tensor]:
    """Return 1 for kept weights and 0 for the smallest ones, and the mean size of the kept ones.

    Args:
        soft: (out, in) weights through tanh.
        sparsity: share of the weights that are not kept, in [0, 1).
    """
    size = soft.abs()
    left_out = int(sparsity * size.numel())
    if not left_out:
        return torch.ones_like(size), size.mean()
    kept = (size > size.flatten().kthvalue(left_out).values).to(size.dtype)
    return kept, (size * kept).sum() / kept.sum().clamp_min(1)
