"""The loop of every training that does not run on Lightning: steps, checkpoints and a time limit."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor

from sese.core.stopping import StopRequest
from sese.training.progress import Progress


class Training(ABC):
    """Base of what the loop runs; a subclass holds the network, the optimiser and the data.

    A step may depend on its number, the seed and the weights alone. Then a training that was stopped and
    resumed ends with the weights of one that was not.
    """

    @abstractmethod
    def step(self, number: int) -> Tensor | float | None:
        """Update the weights once.

        Args:
            number: of the step, counted from 0.

        Returns:
            The loss, for the progress; None where there is nothing to show.
        """

    @abstractmethod
    def checkpoint(self, done: int, late: bool) -> None:
        """Measure, and write what a resumed training starts from.

        Args:
            done: number of steps done.
            late: whether the loop ends here before its last step: time is up, or a signal came.
        """

    def finished(self) -> bool:
        """Return whether to end before the last step; the loop asks before each step."""
        return False


STOPPING = "stopping after this step, with a checkpoint (Ctrl-C again: at once, without)"
"""Line that is printed when a signal comes."""


def run_steps(
    training: Training,
    done: int,
    steps: int,
    every: int,
    max_minutes: float | None = None,
    progress: Progress | None = None,
) -> int:
    """Run the steps that are left, with a checkpoint every so often, at the last step and when time is up.

    SIGINT and SIGTERM end the loop too, after the step that is under way and a checkpoint, and are sent again
    then.

    Args:
        training: the training.
        done: number of steps done before, 0 for a fresh training.
        steps: number of steps in the whole training.
        every: number of steps from one checkpoint to the next.
        max_minutes: time limit in minutes from now, with the last checkpoint; at least one step is taken.
            None for no limit.
        progress: counts the steps, and shows them.

    Returns:
        Number of steps done; fewer than `steps` when the training finished early or time was up.

    Example:
        >>> class Counting(Training):
        ...     def step(self, number):
        ...         print("step", number)
        ...     def checkpoint(self, done, late):
        ...         print("checkpoint", done)
        >>> run_steps(Counting(), 0, 3, every=2)
        step 0
        step 1
        checkpoint 2
        step 2
        checkpoint 3
        3
    """
    deadline, longest = None if max_minutes is None else time.monotonic() + 60 * max_minutes, 0.0
    with StopRequest(STOPPING) as stop, progress or nullcontext():
        while done < steps and not training.finished():
            loss = training.step(done)
            done += 1
            if progress is not None:
                progress.step(loss)
            late = bool(stop.number) or (deadline is not None and time.monotonic() + longest > deadline)
            if late or done == steps or done % every == 0:
                begun = time.monotonic()
                with progress.pause("measuring") if progress is not None else nullcontext():
                    training.checkpoint(done, late)
                longest = max(longest, time.monotonic() - begun)
            if late:
                break
    return done


def descend(
    loss: Tensor,
    optimiser: torch.optim.Optimizer,
    learning_rate: float,
    clip_norm: float | None = None,
) -> None:
    """Take one step of an optimiser down the gradient of a loss.

    Args:
        loss: a scalar.
        optimiser: of the weights.
        learning_rate: of this step, for all weights.
        clip_norm: longest gradient, over all weights together; longer ones are scaled down. None: any length.
    """
    set_learning_rate(optimiser, learning_rate)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(weights_of(optimiser), clip_norm)
    optimiser.step()


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all weights of an optimiser."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate


def weights_of(optimiser: torch.optim.Optimizer) -> Iterable[Tensor]:
    """Return the weights that an optimiser updates."""
    return [weight for group in optimiser.param_groups for weight in group["params"]]
