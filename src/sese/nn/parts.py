"""The four parts of an enhancer: features, policy, backbone and head.

`Enhancer` calls them in this order; each is a module that inherits from its class here. A part's state is a
dictionary of named tensors, batch axis first, all zeros before the first sample. It is an argument and a
result of every call, never an attribute.

Signals lie in one row for each example, (batch, frame * value), so that a part may have any number of values
a frame. Only the features and the head know what the values mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor, nn

from sese.nn.plan import Keep, Plan, Site, choice_to_mask
from sese.nn.policies.budget import budget
from sese.nn.policies.choice import Choose, best
from sese.nn.state import State

Shapes = dict[str, tuple[int, ...]]
"""Name of a state -> its shape behind the batch axis."""

Gate = Callable[[int, Tensor], Tensor]
"""(number of a block, its input (batch, frame, channel)) -> mask (batch, frame, unit) of 0 and 1."""


class Part(nn.Module, ABC):
    """A part of an enhancer that runs frame by frame.

    Each kind of part declares `__call__` for type checkers, since PyTorch's own accepts any arguments.
    """

    @abstractmethod
    def state_shapes(self) -> Shapes:
        """Return the shapes of the state behind the batch axis."""


class Features(Part):
    """Compute what the other parts get of a waveform."""

    if TYPE_CHECKING:

        def __call__(self, audio: Tensor, state: State, /) -> tuple[Tensor, Tensor, dict[str, Tensor]]: ...

    @property
    @abstractmethod
    def context_size(self) -> int:
        """Number of values a frame that the head gets."""

    @property
    @abstractmethod
    def evidence_size(self) -> int:
        """Number of values a frame that a policy gets."""

    @abstractmethod
    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""

    @abstractmethod
    def forward(self, audio: Tensor, state: State, /) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Analyse a chunk.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            The signal (batch, frame * value) for the backbone, the context (batch, frame * value) for the
            head, and the next state.
        """

    @abstractmethod
    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor, /) -> Tensor:
        """Return what a policy gets, (batch, frame * value), of a chunk and of what `forward` returned."""


class Policy(Part):
    """Decide what runs.

    A policy decides at one of two places. Before the backbone, it scores the levels of each frame
    (`forward`), a choice is made of the scores, and the choice becomes a plan (`plan`). Inside the backbone,
    it opens and closes the units of each block while the backbone runs (`gate`).
    """

    if TYPE_CHECKING:

        def __call__(self, evidence: Tensor, state: State, /) -> tuple[Tensor, Tensor]: ...

    inside_backbone: bool = False
    """Whether it decides inside the backbone. Such a model has one level, in which everything runs."""

    rests: bool = False
    """Whether it may let a frame rest, in which nothing is kept. Then levels begin at -1, rest."""

    @abstractmethod
    def macs(self) -> int:
        """Return the multiply-accumulates of a frame in which it decides."""

    def forward(self, evidence: Tensor, state: State, /) -> tuple[Tensor, Tensor]:
        """Score the levels of each frame.

        Args:
            evidence: (batch, frame * value) from `Features.evidence`.
            state: ``gru``, the policy's own, and ``memory``, which belongs to the choice.

        Returns:
            Scores (batch, frame, level), and the next ``gru``.

        Raises:
            NotImplementedError: it decides inside the backbone.
        """
        raise NotImplementedError("this policy decides inside the backbone")

    def gate(self, block: int, x: Tensor) -> Tensor:
        """Decide on the units of one block: x (batch, frame, channel) -> (batch, frame, unit) of 0 and 1.

        Raises:
            NotImplementedError: it decides before the backbone.
        """
        raise NotImplementedError("this policy decides before the backbone")

    def joint_gate(self, block: int, x: Tensor) -> Tensor:
        """Decide as `gate`, once for the whole batch: (1, frame, unit), true where a unit is kept.

        Raises:
            NotImplementedError: it decides before the backbone.
        """
        raise NotImplementedError("this policy decides before the backbone")

    def free_choice(self, levels: int) -> Choose:
        """Return the choice without a budget, of a model with this number of levels."""
        return best

    def held_choice(
        self, target: float, utilizations: Tensor, window: int, ceiling: int | None = None
    ) -> Choose:
        """Return the choice under a budget.

        Args:
            target: mean utilization, in (0, 1]; 0 for no budget.
            utilizations: (level,) growing.
            window: frames over which the average counts.
            ceiling: highest level that may be chosen.
        """
        return budget(target, utilizations, window, ceiling)

    def plan(self, choice: Tensor, sites: Sequence[Site]) -> dict[str, Keep]:
        """Return the plan of a choice (batch, frame, level), one-hot or relaxed."""
        return {site.name: choice_to_mask(choice, site) for site in sites}


class Backbone(Part):
    """Enhance the signal of the features, at whatever a plan keeps."""

    if TYPE_CHECKING:

        def __call__(self, x: Tensor, plan: Plan, state: State, /) -> tuple[Tensor, dict[str, Tensor]]: ...

    sites: tuple[Site, ...]
    """Places where compute can be left out."""

    frames_apart: bool = False
    """Whether frames of one level may be gathered and run together: what a frame keeps changes no state."""

    quantised: bool = False
    """Whether the input is rounded to codes. Then two runtimes may differ where a value lies at a limit."""

    rest_states: tuple[str, ...] = ()
    """Names of the states that `at_rest` needs. All others are held in frames at rest."""

    @property
    @abstractmethod
    def frame_samples(self) -> int:
        """Number of values a frame of the signal."""

    @abstractmethod
    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and by site each unit's."""

    @abstractmethod
    def forward(self, x: Tensor, plan: Plan, state: State, /) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance a chunk.

        Args:
            x: (batch, frame * value), the signal of the features.
            plan: what runs, by the name of the site.
            state: tensors as in `state_shapes`.

        Returns:
            What the head gets, (batch, frame * value), and the next state.
        """

    def awake(self, x: Tensor, plan: Plan, state: State, /) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance a chunk as `forward`, in which no frame rests; neither state has `rest_states`."""
        return self(x, plan, state)

    def gated(
        self, x: Tensor, gate: Gate, state: State, /
    ) -> tuple[Tensor, dict[str, Keep], dict[str, Tensor]]:
        """Enhance a chunk as `forward`, under a gate that decides on each block while it runs.

        Returns:
            What the head gets, (batch, frame * value), the plan that ran, and the next state.

        Raises:
            NotImplementedError: its blocks cannot be gated.
        """
        raise NotImplementedError(f"{type(self).__name__} has no blocks that gates decide on")

    def at_rest(
        self, hidden: Tensor, signal: Tensor, gain: Tensor, state: State, /
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Replace the network's output by the signal at a lower level in frames at rest.

        Args:
            hidden: (batch, frame * value), for the head.
            signal: (batch, frame * value), of the features.
            gain: (batch or 1, frame), above 0 where a frame rests, else 0.
            state: tensors of `rest_states`.

        Returns:
            What the head gets, and the next state.

        Raises:
            NotImplementedError: it cannot rest.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot rest")

    def grow(self, new: Collection[str]) -> None:
        """Set the new weights of a partly trained network to values that match the trained ones.

        The default keeps their initial values.

        Args:
            new: names of the weights, in this network.
        """
        return None


@runtime_checkable
class EveryLevel(Protocol):
    """A backbone in which one pass gives the outputs of all levels."""

    def every_level(self, x: Tensor, state: State, /) -> list[Tensor]:
        """Return the output of each level, lowest first, as `Backbone.forward` returns one."""
        ...


class Head(Part):
    """Turn a backbone's output into a waveform."""

    if TYPE_CHECKING:

        def __call__(
            self, hidden: Tensor, context: Tensor, state: State, /
        ) -> tuple[Tensor, dict[str, Tensor]]: ...

    @abstractmethod
    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""

    @abstractmethod
    def forward(self, hidden: Tensor, context: Tensor, state: State, /) -> tuple[Tensor, dict[str, Tensor]]:
        """Synthesise a chunk.

        Args:
            hidden: (batch, frame * value) from the backbone.
            context: (batch, frame * value) from the features.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time) in float32, late by the lookahead, and the next state.
        """

    def scaled(self, context: Tensor, gain: Tensor, state: State, /) -> tuple[Tensor, dict[str, Tensor]]:
        """Synthesise frames at rest: the input at a lower level.

        Args:
            context: (batch, frame * value) from the features.
            gain: (batch or 1, frame).
            state: tensors as in `state_shapes`.

        Returns:
            As `forward`.

        Raises:
            NotImplementedError: it cannot do without the output of a network.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot do without the output of a network")
