"""Frames of any plan run in pieces of one count each, in order, each frame once."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.plan import counts_to_mask
from sese.nn.runs import runs
from sese.nn.state import State

UNITS = 4


class Recorder:
    """A recurrent network of one number that remembers what it was run on."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[list[int]], int]] = []

    def __call__(self, x: Tensor, units: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        assert set(state) == {"mean", "row"}
        self.calls.append((x[..., 0].int().tolist(), units))
        mean, made = state["mean"], []
        for frame in x.unbind(1):
            mean = 0.5 * mean + units * frame
            made.append(mean)
        return torch.stack(made, dim=1), {"mean": mean, "row": state["row"]}


def example(batch: int, frames: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Frames that hold their number, 100 * row + frame, and a state."""
    x = (100.0 * torch.arange(batch).view(-1, 1, 1) + torch.arange(frames).view(1, -1, 1)).expand(-1, -1, 2)
    return x, {"mean": torch.ones(batch, 2), "row": torch.arange(batch).view(-1, 1)}


def expected(x: Tensor, counts: Tensor, state: State) -> tuple[Tensor, Tensor]:
    mean, made = state["mean"], []
    for frame, count in zip(x.unbind(1), counts.unbind(1), strict=True):
        mean = 0.5 * mean + count.unsqueeze(1) * frame
        made.append(mean)
    return torch.stack(made, dim=1), mean


PLANS = {
    "changes everywhere": torch.tensor([[1, 1, 2, 4, 4], [3, 3, 3, 1, 1], [1, 1, 2, 2, 4]]),
    "changes by row": torch.tensor([[4] * 5, [1] * 5, [4] * 5, [2] * 5]),
    "changes by frame": torch.tensor([[2, 1, 1, 3, 2]] * 3),
    "steady": torch.full((2, 5), 3),
    "one frame": torch.tensor([[2], [1]]),
}


@pytest.mark.parametrize("counts", PLANS.values(), ids=PLANS)
def test_each_frame_runs_once_in_order_with_its_own_count(counts: Tensor) -> None:
    x, state = example(*counts.shape)
    run = Recorder()
    made, after = runs(run, x, counts_to_mask(counts, UNITS), state)
    wanted, last = expected(x, counts, state)
    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(after["mean"], last)
    assert torch.equal(after["row"], state["row"]), "rows come back in their order"

    ran: dict[int, list[int]] = {}
    for rows, units in run.calls:
        for frames in rows:
            row = frames[0] // 100
            ran.setdefault(row, []).extend(frame - 100 * row for frame in frames)
            assert {int(counts[row, frame - 100 * row]) for frame in frames} == {units}
    assert ran == {row: list(range(counts.shape[1])) for row in range(counts.shape[0])}

    pieces = [list(group) for _, group in groupby(counts.T.tolist())]
    assert len(run.calls) == sum(len(set(piece[0])) for piece in pieces), "no piece is cut further"


def test_a_count_runs_as_it_is() -> None:
    x, state = example(2, 5)
    run = Recorder()
    made, _ = runs(run, x, 3, state)
    assert [units for _, units in run.calls] == [3]
    torch.testing.assert_close(made, expected(x, torch.full((2, 5), 3), state)[0])


@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (1, 1)])
def test_masks_of_one_row_or_frame_serve_all(shape: tuple[int, int]) -> None:
    x, state = example(3, 5)
    counts = torch.arange(15).view(3, 5)[: shape[0], : shape[1]] % UNITS + 1
    made, _ = runs(Recorder(), x, counts_to_mask(counts, UNITS), state)
    torch.testing.assert_close(made, expected(x, counts.expand(3, 5), state)[0])


@pytest.mark.parametrize("mask", [[0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0], [1, 0.5, 0, 0]], ids=str)
def test_masks_that_are_no_prefix_are_refused(mask: list[float]) -> None:
    x, state = example(2, 5)
    keep = counts_to_mask(torch.full((2, 5), 2), UNITS)
    keep[1, 3] = torch.tensor(mask)
    run = Recorder()
    with pytest.raises(InputError, match="no prefix"):
        runs(run, x, keep, state)
    assert run.calls == []


def test_frames_that_keep_nothing_are_for_networks_that_rest() -> None:
    x, state = example(3, 5)
    counts = torch.tensor([[2, 0, 0, 1, 1], [0, 0, 3, 3, 3], [1, 1, 1, 1, 0]])
    run = Recorder()
    made, after = runs(run, x, counts_to_mask(counts, UNITS), state, rests=True)
    wanted, last = expected(x, counts, state)
    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(after["mean"], last)
    assert 0 in [units for _, units in run.calls]
    with pytest.raises(InputError, match="k >= 1"):
        runs(run, x, counts_to_mask(counts, UNITS), state)
    keep = counts_to_mask(counts, UNITS)
    keep[0, 1, 2] = 1.0
    with pytest.raises(InputError, match="k >= 0"):
        runs(run, x, keep, state, rests=True)
