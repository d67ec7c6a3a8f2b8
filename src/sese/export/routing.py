"""The router's part of the exported graph: which level runs in each frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from sese.export.graph import Scope, embed
from sese.export.parts import Parts

GRU, MEMORY = "policy.gru", "policy.memory"


class Routing:
    """Decide on the levels of the frames of a call that have none.

    Args:
        parts: traced parts of a network with a router, for one frame or for any number of frames.
    """

    def __init__(self, parts: Parts):
        self.many, self.scores, self.choice = parts.many, parts.scores, parts.choice
        model = parts.model
        sizes = (model.hop_length, model.backbone.frame_samples, model.features.context_size)
        used = {name for node in self.scores.node for name in node.input}
        self.sizes = {
            name: size
            for name, size in zip(("audio", "signal", "context"), sizes, strict=True)
            if name in used
        }

    def levels(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Add the levels, ``chosen`` (frame,), and the router's next state, which moves where it decides."""
        asked, given = scope.inner("asked"), scope.inner("given")
        lowest = scope.add("ReduceMin", "level", keepdims=0) if self.many else "level"
        kept = {f"next_state.{name}": f"state.{name}" for name in (GRU, MEMORY)}
        return scope.choose(
            scope.add("Less", lowest, scope.constant(0)),
            (asked, self._ask_some(asked, values) if self.many else self._ask(asked, values)),
            (given, {"chosen": "level"} | kept),
        )

    def _ask_some(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Decide on the frames that have no level; the router sees them as if they followed each other."""
        where = scope.add("NonZero", scope.add("Less", "level", scope.constant(0)))
        where = scope.add("Reshape", where, scope.constant([-1]))
        picked = {}
        for name, size in self.sizes.items():
            frames = scope.add("Reshape", values[name], scope.constant([0, -1, size]))
            frames = scope.add("Gather", frames, where, axis=1)
            back = [0, 1, -1] if name == "audio" else [0, -1]
            picked[name] = scope.add("Reshape", frames, scope.constant(back))
        results = self._ask(scope, {**values, **picked})
        return results | {"chosen": scope.add("ScatterElements", "level", where, results["chosen"], axis=0)}

    def _ask(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Decide on every frame of ``audio``: by the best score, or by a budget."""
        made = embed(scope, self.scores, {f"state.{GRU}": f"state.{GRU}", **values})
        held, free = scope.inner("held"), scope.inner("free")
        best = free.add("Min", free.add("ArgMax", made["scores"], axis=1, keepdims=0), "ceiling")
        results = scope.choose(
            scope.add("Greater", "budget", scope.constant(0, np.float32)),
            (held, self._hold(held, made["scores"])),
            (free, {"chosen": best, f"next_state.{MEMORY}": f"state.{MEMORY}"}),
        )
        return results | {f"next_state.{GRU}": made[f"next_state.{GRU}"]}

    def _hold(self, scope: Scope, scores: str) -> dict[str, str]:
        """Decide by the budget, frame by frame, with one memory for the whole batch."""
        memory = scope.add("Slice", f"state.{MEMORY}", scope.constant([0]), scope.constant([1]))
        if self.many:
            memory, chosen = scope.add_many(
                "Scan", [memory, scores], 2, body=self._frame(scope), num_scan_inputs=1
            )
        else:
            score = scope.add("Squeeze", scores, scope.constant([0]))
            made = embed(scope, self.choice, CONTROLS | {"score": score, "memory": memory})
            memory, chosen = made["next_memory"], scope.add("Unsqueeze", made["picked"], scope.constant([0]))
        shape = scope.add("Shape", f"state.{MEMORY}")
        return {"chosen": chosen, f"next_state.{MEMORY}": scope.add("Expand", memory, shape)}

    def _frame(self, scope: Scope) -> onnx.GraphProto:
        """Return the body of a loop over frames."""
        body = scope.inner("frame")
        inputs = {"memory": "memory", "score": "score"}
        made = embed(body, self.choice, CONTROLS | inputs)
        return body.graph({"memory": made["next_memory"], "picked": made["picked"]}, inputs)


CONTROLS = {"budget": "budget", "ceiling": "ceiling"}
