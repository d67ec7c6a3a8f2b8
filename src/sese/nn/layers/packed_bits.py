"""Bits, eight to a byte: the form in which dictionaries and weights of bits are stored."""

from __future__ import annotations

import torch
from torch import Tensor


def pack(bits: Tensor) -> Tensor:
    """Pack (..., bit) of 0 and 1, or false and true, to (..., byte) uint8, the first bit lowest.

    Example:
        >>> pack(torch.tensor([1, 1, 0, 1]))
        tensor([11], dtype=torch.uint8)
    """
    padded = torch.nn.functional.pad(bits.to(torch.uint8), (0, -bits.shape[-1] % 8))
    places = 2 ** torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (padded.unflatten(-1, (-1, 8)) * places).sum(-1).to(torch.uint8)


def unpack(packed: Tensor, count: int) -> Tensor:
    """Unpack (..., byte) uint8 to the first `count` bits (..., bit), float32 of 0 and 1.

    Example:
        >>> unpack(torch.tensor([11], dtype=torch.uint8), 4)
        tensor([1., 1., 0., 1.])
    """
    places = 2 ** torch.arange(8, dtype=torch.int32, device=packed.device)
    bits = torch.div(packed.to(torch.int32).unsqueeze(-1), places, rounding_mode="floor") % 2
    return bits.flatten(-2)[..., :count].float()
