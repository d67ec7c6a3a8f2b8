"""Interface of a training method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Generator, Tensor

from sese.data.mixing import Mixture

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


@dataclass(frozen=True)
class Method:
    """One training method.

    Attributes:
        losses: (task, batch, generator) -> the losses of a step by name, which are summed. The generator is
            on the CPU, and the same whenever the step is run.
        score: (task, means of the validation by name) -> what chooses the best weights; lower is better.
        start: (task) -> None, once before the first step of a run that starts from nothing, if any.
        validate: (task, batch) -> values (row,), or (1,), by name, which validation notes besides, if any.
    """

    losses: Callable[[EnhancementTask, Mixture, Generator], dict[str, Tensor]]
    score: Callable[[EnhancementTask, Mapping[str, Tensor]], Tensor]
    start: Callable[[EnhancementTask], None] | None = None
    validate: Callable[[EnhancementTask, Mixture], dict[str, Tensor]] | None = None
