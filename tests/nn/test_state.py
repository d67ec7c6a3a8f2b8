from __future__ import annotations

import pytest
import torch

from sese.nn.state import delay, push


@pytest.mark.parametrize("past", [1, 4])
@pytest.mark.parametrize("sizes", [[12], [1] * 12, [4, 4, 4], [3, 1, 6, 2]])
def test_delay_is_the_signal_late(past: int, sizes: list[int]):
    x = torch.randn(2, 12, 3)
    history, parts = torch.zeros(2, past, 3), []
    for part in x.split(sizes, dim=1):
        late, history = delay(history, part)
        assert late.shape == part.shape
        parts.append(late)
    assert torch.equal(torch.cat(parts, 1), torch.cat([torch.zeros(2, past, 3), x[:, :-past]], 1))
    assert torch.equal(history, x[:, -past:])


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 1, 6]])
def test_push_joins_and_remembers(sizes: list[int]):
    x, history, at = torch.randn(2, 12), torch.zeros(2, 5), 0
    whole = torch.cat([history, x], 1)
    for part in x.split(sizes, dim=1):
        joined, history = push(history, part)
        at += part.shape[1]
        assert torch.equal(joined, whole[:, at - part.shape[1] : at + 5])
        assert torch.equal(history, whole[:, at : at + 5])
