"""The exported graph of a network that can rest: its choice, and calls in which some frames rest.

A frame's branch is its level, or -1 at rest. States are held during rests, so that in a call with many frames
the frames that are awake run together, as if they followed each other. The head runs over all frames; at rest
it gets the gain in place of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from sese.export.graph import Scope, embed
from sese.export.level_graphs import LevelGraphs
from sese.export.levels import Levels
from sese.export.parts import Parts
from sese.runtime.artefact import SPEECH_PROBABILITY

GRU, MEMORY = "policy.gru", "policy.memory"
CONTROLS = {"budget": "budget", "ceiling": "ceiling"}


class RestingCalls:
    """Build the graph for calls with one frame, or for calls with any number of frames.

    Args:
        parts: traced parts of the network.
        network: its backbone at all levels.
    """

    gated = False

    def __init__(self, parts: Parts, network: Levels | LevelGraphs):
        self.parts, self.many, self.network = parts, parts.many, network
        self.count = len(parts.utilizations)
        self.states = [name for name in network.inputs if name.startswith("state.")]
        model = parts.model
        on_samples = bool(model.backbone.rest_states)
        self.like = "signal" if on_samples else "context"  # what a frame of the network's output looks like
        self.size = model.backbone.frame_samples if on_samples else model.features.context_size

    def begin(self, scope: Scope) -> dict[str, str]:
        """Add everything before the network: the signal, the levels, the gains, and each frame's branch."""
        made = embed(scope, self.parts.features, {v.name: v.name for v in self.parts.features.input})
        asked, given = scope.inner("asked"), scope.inner("given")
        lowest = scope.add("ReduceMin", "level", keepdims=0) if self.many else "level"
        kept = {f"next_state.{name}": f"state.{name}" for name in (GRU, MEMORY)}
        if self.many:
            awake, unknown = self._every(given, 0), self._every(given, np.nan)
        else:
            awake, unknown = (given.constant([value], np.float32) for value in (0, np.nan))
        made |= scope.choose(
            scope.add("Less", lowest, scope.constant(0)),
            (asked, self._ask(asked, made)),
            (given, {"chosen": "level", "gain": awake, SPEECH_PROBABILITY: unknown} | kept),
        )
        return made

    def whole(self, scope: Scope, inputs: Mapping[str, str], utilizations: Sequence[float]) -> dict[str, str]:
        """Add everything, and return the file's outputs by name; `inputs` are those of the file."""
        values = {**inputs, **self.begin(scope)}
        values |= self.at_any(scope, values) if self.many else self.at_one(scope, values)
        used = scope.constant([*utilizations, 0.0], np.float32)  # the last for -1
        return values | {"utilization": scope.add("Gather", used, values["chosen"])}

    def _ask(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Decide on the frames that have no level; the policy sees them as if they followed each other."""
        if not self.many:
            return self._decide_frame(scope, values)
        where = scope.add("NonZero", scope.add("Less", "level", scope.constant(0)))
        where = scope.add("Reshape", where, scope.constant([-1]))
        size = self.parts.model.features.evidence_size
        frames = scope.add("Reshape", values["evidence"], scope.constant([0, -1, size]))
        frames = scope.add("Gather", frames, where, axis=1)
        results = self._decide(scope, scope.add("Reshape", frames, scope.constant([0, -1])))
        wholes = {"chosen": "level", "gain": self._every(scope, 0)}
        wholes[SPEECH_PROBABILITY] = self._every(scope, np.nan)
        for name, whole in wholes.items():
            results[name] = scope.add("ScatterElements", whole, where, results[name], axis=0)
        return results

    def _every(self, scope: Scope, value: float) -> str:
        """Add a value for each frame."""
        zeros = scope.add("Cast", scope.add("Mul", "level", scope.constant(0)), to=1)
        return scope.add("Add", zeros, scope.constant(value, np.float32))

    def _decide(self, scope: Scope, evidence: str) -> dict[str, str]:
        """Decide on any number of frames."""
        made = embed(scope, self.parts.scores, {f"state.{GRU}": f"state.{GRU}", "evidence": evidence})
        # One decision, and one memory, holds for the whole batch: what was heard in any of its rows.
        memory = scope.add("ReduceMax", f"state.{MEMORY}", scope.constant([0]), keepdims=1)
        done = embed(scope, self.parts.choice, CONTROLS | {"score": made["scores"], "memory": memory})
        shape = scope.add("Shape", f"state.{MEMORY}")
        return {
            "chosen": done["picked"],
            "gain": done["gain"],
            SPEECH_PROBABILITY: done[SPEECH_PROBABILITY],
            f"next_state.{GRU}": made[f"next_state.{GRU}"],
            f"next_state.{MEMORY}": scope.add("Expand", done["next_memory"], shape),
        }

    def _decide_frame(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Decide on one frame, and on its level only where the network is awake."""
        states = {f"state.{name}": f"state.{name}" for name in (GRU, MEMORY)}
        made = embed(scope, self.parts.scores, states | {"evidence": values["evidence"]})
        run, rest = scope.inner("awake"), scope.inner("asleep")
        given = CONTROLS | {"sure": made["sure"], "memory": made[f"next_state.{MEMORY}"]}
        level = embed(run, self.parts.choice, given)["picked"]
        awake = scope.add("Cast", made["awake"], to=9)
        chosen = scope.choose(awake, (run, {"chosen": level}), (rest, {"chosen": rest.constant([-1])}))
        states = {name: made[name] for name in (f"next_state.{GRU}", f"next_state.{MEMORY}")}
        return chosen | {name: made[name] for name in ("gain", SPEECH_PROBABILITY)} | states

    def at_one(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Add the network for one frame: at rest, which has the shortest way, or at a level."""
        assert self.parts.rest is not None
        rest, run = scope.inner("rest"), scope.inner("run")
        levels = [partial(self._whole, level=level, values=values) for level in range(self.count)]
        return scope.choose(
            scope.add("Less", values["chosen"], scope.constant(0)),
            (rest, self._held(values) | embed(rest, self.parts.rest, values)),
            (run, run.pick(values["chosen"], levels)),
        )

    def _whole(self, scope: Scope, level: int, values: Mapping[str, str]) -> dict[str, str]:
        """Add everything at a level."""
        made = self._at(scope, level, values)
        given = {**values, "hidden": made.pop("hidden")}
        if self.parts.settled is None:
            return made | embed(scope, self.parts.head, given)
        settled, begun = scope.inner("settled"), scope.inner("begun")
        first, last, axis = (scope.constant([value]) for value in (0, 2, 1))
        gains = scope.add("Slice", "state.backbone.rest", first, last, axis)
        resting = scope.add("ReduceMax", gains, keepdims=0)  # of the frame before, and of its output
        return made | scope.choose(
            scope.add("Greater", resting, scope.constant(0, np.float32)),
            (begun, embed(begun, self.parts.head, given)),
            (settled, embed(settled, self.parts.settled, given)),
        )

    def _rest(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Hold all states; the head ignores the mask."""
        return self._held(values) | {"hidden": values[self.like]}

    def _held(self, values: Mapping[str, str]) -> dict[str, str]:
        return {f"next_{name}": values[name] for name in self.states}

    def _at(self, scope: Scope, level: int, values: Mapping[str, str]) -> dict[str, str]:
        return self.network.at(scope, level, values)

    def _head(self, scope: Scope, hidden: str, values: Mapping[str, str]) -> dict[str, str]:
        return embed(scope, self.parts.head, {**values, "hidden": hidden})

    def at_any(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Add the network for frames with any levels."""
        awake = scope.add("Not", scope.add("Less", values["chosen"], scope.constant(0)))
        any_awake = scope.add(
            "Cast", scope.add("ReduceMax", scope.add("Cast", awake, to=7), keepdims=0), to=9
        )
        run, rest = scope.inner("run"), scope.inner("rest")
        hidden, resting = self._awake(run, awake, values), self._rest(rest, values)
        several = scope.choose(any_awake, (run, hidden), (rest, resting))
        made = several | self._head(scope, several.pop("hidden"), values)
        return made

    def _awake(self, scope: Scope, awake: str, values: Mapping[str, str]) -> dict[str, str]:
        """Run the frames that are awake: together where their levels are the same, else in stretches."""
        where = scope.add("Reshape", scope.add("NonZero", awake), scope.constant([-1]))
        levels = scope.add("Gather", values["chosen"], where)
        size = self.parts.model.backbone.frame_samples
        frames = scope.add("Reshape", values["signal"], scope.constant([0, -1, size]))
        frames = scope.add("Gather", frames, where, axis=1)
        lowest, highest = (scope.add(kind, levels, keepdims=0) for kind in ("ReduceMin", "ReduceMax"))
        steady, changing = scope.inner("steady"), scope.inner("changing")
        made = scope.choose(
            scope.add("Equal", lowest, highest),
            (steady, self._together(steady, lowest, frames, values)),
            (changing, self._in_stretches(changing, levels, frames, values)),
        )
        # A frame at rest gets the mask of a frame before it, which the head ignores.
        number = scope.add("CumSum", scope.add("Cast", awake, to=7), scope.constant(0))
        number = scope.add("Max", scope.add("Sub", number, scope.constant(1)), scope.constant([0]))
        masks = scope.add("Reshape", made["hidden"], scope.constant([0, -1, self.size]))
        masks = scope.add("Gather", masks, number, axis=1)
        return made | {"hidden": scope.add("Reshape", masks, scope.constant([0, -1]))}

    def _together(self, scope: Scope, level: str, frames: str, values: Mapping[str, str]) -> dict[str, str]:
        """Run frames of one level."""
        own = {**values, "signal": scope.add("Reshape", frames, scope.constant([0, -1]))}
        return scope.pick(
            level, [partial(self._at, level=number, values=own) for number in range(self.count)]
        )

    def _in_stretches(
        self, scope: Scope, levels: str, frames: str, values: Mapping[str, str]
    ) -> dict[str, str]:
        """Run the frames of each stretch of one level together, one stretch after the other."""
        first, last = scope.constant([0]), scope.constant([np.iinfo(np.int64).max])
        later = scope.add("Slice", levels, scope.constant([1]), last)
        earlier = scope.add("Slice", levels, first, scope.constant([-1]))
        changes = scope.add("NonZero", scope.add("Not", scope.add("Equal", later, earlier)))
        changes = scope.add("Add", scope.add("Reshape", changes, scope.constant([-1])), scope.constant([1]))
        starts = scope.add("Concat", first, changes, axis=0)
        ends = scope.add("Concat", changes, scope.add("Shape", levels), axis=0)

        body = scope.inner("stretch")
        called = {name: f"stretch.{name}" for name in ["number", "more", *self.states, "done"]}
        number = body.add("Reshape", called["number"], body.constant([1]))
        start, end = (body.add("Gather", places, number) for places in (starts, ends))
        part = body.add("Slice", frames, start, end, body.constant([1]))
        level = body.add("Gather", levels, start)
        made = self._together(body, level, part, {**values, **{name: called[name] for name in self.states}})
        made["done"] = body.add("Concat", called["done"], made.pop("hidden"), axis=1)
        order = [*(f"next_{name}" for name in self.states), "done"]
        graph = body.graph({"more": called["more"]} | {name: made[name] for name in order}, called)
        none = scope.add("Slice", values[self.like], first, first, scope.constant([1]))
        carried = [*(values[name] for name in self.states), none]
        results = scope.add_many("Loop", [scope.add("Size", starts), "", *carried], len(order), body=graph)
        after = dict(zip(order, results, strict=True))
        return after | {"hidden": after.pop("done")}
