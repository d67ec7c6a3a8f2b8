"""The loop and the schedules that all small trainings share."""

from __future__ import annotations

import pytest
import torch

from sese.training.loop import Training, descend, run_steps


class Recorded(Training):
    def __init__(self, end: int = 100):
        self.steps: list[int] = []
        self.checkpoints: list[tuple[int, bool]] = []
        self.end = end

    def step(self, number: int) -> None:
        self.steps.append(number)

    def checkpoint(self, done: int, late: bool) -> None:
        self.checkpoints.append((done, late))

    def finished(self) -> bool:
        return len(self.steps) >= self.end


def test_checkpoints_come_at_every_so_many_steps_and_at_the_last() -> None:
    training = Recorded()
    assert run_steps(training, 0, 5, every=2) == 5
    assert training.steps == [0, 1, 2, 3, 4]
    assert training.checkpoints == [(2, False), (4, False), (5, False)]


def test_a_resumed_training_takes_the_steps_that_are_left() -> None:
    training = Recorded()
    assert run_steps(training, 3, 5, every=10) == 5
    assert training.steps == [3, 4]
    assert run_steps(training, 5, 5, every=1) == 5
    assert training.checkpoints == [(5, False)]


def test_time_allows_one_step_and_a_checkpoint() -> None:
    training = Recorded()
    assert run_steps(training, 0, 5, every=10, max_minutes=-1.0) == 1
    assert training.checkpoints == [(1, True)]


def test_a_training_may_finish_early() -> None:
    training = Recorded(end=2)
    assert run_steps(training, 0, 5, every=10) == 2
    assert not training.checkpoints


@pytest.mark.parametrize(("clip", "moved"), [(None, 10.0), (1.0, 1.0)])
def test_long_gradients_are_scaled_down(clip: float | None, moved: float) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    descend(10 * weight.sum(), torch.optim.SGD([weight], 0.1), 1.0, clip)
    assert weight.item() == pytest.approx(-moved, rel=1e-5)
