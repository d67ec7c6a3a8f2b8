"""Streaming state: named tensors, apart from the weights, passed in and returned.

A part declares `state_shapes()`: for each name the shape behind the batch axis. A fresh state is all zeros,
so that every runtime can create one. The batch axis is always the first.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]
"""Name -> (batch, ...) float32."""


def fresh(shapes: Mapping[str, tuple[int, ...]], batch: int, like: Tensor) -> dict[str, Tensor]:
    """Return the state before the first sample.

    Args:
        shapes: as from `state_shapes`.
        batch: number of rows.
        like: a tensor on the device and in the precision of the state.

    Example:
        >>> fresh({"past": (3,)}, 1, torch.zeros(()))
        {'past': tensor([[0., 0., 0.]])}
    """
    return {name: like.new_zeros((batch, *shape)) for name, shape in shapes.items()}


def push(history: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Append to a signal's history, and return the latest part of it as the next history.

    Args:
        history: (batch, past, ...) the last `past` steps.
        new: (batch, time, ...) the steps that follow.

    Returns:
        (batch, past + time, ...) all of them, and the last `past` of them: the next history.

    Example:
        >>> push(torch.tensor([[1, 2]]), torch.tensor([[3]]))
        (tensor([[1, 2, 3]]), tensor([[2, 3]]))
    """
    joined = torch.cat([history.to(new.dtype), new], dim=1)
    return joined, joined[:, new.shape[1] :].to(history.dtype)


def delay(history: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Delay a signal by the length of its history.

    Args:
        history: (batch, past, ...) the last `past` steps.
        new: (batch, time, ...) the steps that follow.

    Returns:
        (batch, time, ...) the signal, `past` steps late, and the last `past` steps: the next history.

    Example:
        >>> delay(torch.tensor([[1]]), torch.tensor([[2, 3]]))
        (tensor([[1, 2]]), tensor([[3]]))
    """
    past, time = history.shape[1], new.shape[1]
    if isinstance(time, int) and time == past:  # not while a graph for any number of frames is traced
        return history.to(new.dtype), new.to(history.dtype)
    joined = torch.cat([history.to(new.dtype), new], dim=1)
    late, history_next = joined.split([time, past], dim=1)
    return late, history_next.to(history.dtype)
