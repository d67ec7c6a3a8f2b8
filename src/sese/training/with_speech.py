"""Which clips of a batch have speech: ratios to the clean signal, and what is heard of it, need some."""

from __future__ import annotations

from torch import Tensor

SILENT = 1e-7
"""Mean square of a clean clip up to which it counts as silent."""


def with_speech(clean: Tensor) -> Tensor:
    """Return whether clips have speech: (batch, time) -> (batch,)."""
    return clean.square().mean(-1) > SILENT


def mean_with_speech(values: Tensor, clean: Tensor) -> Tensor:
    """Return the mean of the values (batch,) of the clips with speech; 0 without such a clip."""
    active = with_speech(clean)
    return (values * active).sum() / active.sum().clamp_min(1)
