"""Bits, eight to a byte: how dictionaries and weights of bits are kept."""

from __future__ import annotations

import torch
from torch import Tensor


def pack(bits: Tensor) -> Tensor:
    """(..., bit) of 0 and 1, or false and true -> (..., byte) uint8, the first bit lowest."""
    padded = torch.nn.functional.pad(bits.to(torch.uint8), (0, -bits.shape[-1] % 8))
    places = 2 ** torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (padded.unflatten(-1, (-1, 8)) * places).sum(-1).to(torch.uint8)


def unpack(packed: Tensor, count: int) -> Tensor:
    """(..., byte) uint8 -> (..., bit) float32 of 0 and 1, the first `count` bits."""
    places = 2 ** torch.arange(8, dtype=torch.int32, device=packed.device)
    bits = torch.div(packed.to(torch.int32).unsqueeze(-1), places, rounding_mode="floor") % 2
    return bits.flatten(-2)[..., :count].float()
