"""The parts of a network as functions of tensors, traced into ONNX graphs.

Each runs the network's own code, except for the layers that have a form in `forms/`. All parts are traced in
one call, since each call takes seconds, and then cut apart.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from sese.export.forms.activity import decide_frame
from sese.export.forms.tracing import for_tracing
from sese.export.gates import Way, gather, joint_gate, open_gates
from sese.export.loops import with_loops
from sese.export.views import with_short_views
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, full
from sese.nn.policies.activity import MEMORY as ACTIVITY_MEMORY
from sese.nn.policies.activity import decide, speech_probability
from sese.nn.policies.budget import MEMORY, WINDOW_SECONDS, step
from sese.nn.policies.fixed import level_plans
from sese.runtime.artefact import SPEECH_PROBABILITY

OPSET = 18
BATCH, FRAMES = 2, 3
"""Sizes of the examples for tracing. They are not 1, which the tracer would treat as a constant."""


Input = tuple[Tensor, int]
"""An example, and the samples a frame if its last axis is any number of frames, else 0."""


@dataclass(frozen=True)
class Part:
    """A function of tensors to trace.

    Attributes:
        run: the function.
        inputs: name of an input -> example.
        outputs: names of the outputs.
        batched: whether the first axis of inputs with several axes is the batch.
        by_frame: names of inputs whose first axis is the frame.
    """

    run: Callable[..., tuple[Tensor, ...]]
    inputs: Mapping[str, Input]
    outputs: Sequence[str]
    batched: bool = True
    by_frame: tuple[str, ...] = ()

    def axes(self, name: str) -> list[dict[int, Any]]:
        """Return for each input the axes that may have any size; parts share none, so that each is alone."""
        batch = torch.export.Dim(f"{name}_batch", min=1)
        frames = torch.export.Dim(f"{name}_frames", min=2, max=256)
        return [
            ({0: batch} if self.batched and example.ndim > 1 else {})
            | ({example.ndim - 1: samples * frames} if samples else {})
            | ({0: frames} if named in self.by_frame and len(example) > 1 else {})
            for named, (example, samples) in self.inputs.items()
        ]


class Parts:
    """A network's parts as graphs, for one frame or for any number of frames.

    Args:
        model: network, ready for inference.
        utilizations: utilization of each level, lowest level first.
        many: whether it is traced for any number of frames; else for one.
        way: replaces the markers of gated blocks; None leaves the markers.
        only: the one level to trace; None for all.

    Attributes:
        features: audio -> signal, context, next state.
        networks: signal, context, state -> enhanced, next state, of backbone and head. With `frames_apart`
            there is one that keeps everything, in which the rows that enter and leave a slimmable product
            are marked; else there is one for each level. A model with gates has one that keeps everything,
            and one in which the gates decide, which returns the utilization (frame,) as well; in its calls
            with many frames, frames that have a ``level`` keep everything. A model that rests has the
            backbones alone: signal, state -> hidden, next state.
        head: hidden, context, state -> enhanced, next state, in a model that rests; for any number of frames
            it takes the gain at rest too.
        rest: context, gain, state -> enhanced, next state, of a frame at rest, in such a model.
        scores: audio, signal, context, state -> scores (frame, level), mean over the batch, next state of
            the GRU, in a model with a policy before the backbone.
        choice: score (level,) of a frame, memory, budget, ceiling -> picked, next_memory, for a batch of one,
            in such a model. In a model that rests it decides on all frames at once, and returns the gain at
            rest and the probability of speech of each as well.
    """

    def __init__(
        self,
        model: Enhancer,
        utilizations: Sequence[float],
        many: bool,
        way: Way | None = gather,
        only: int | None = None,
    ):
        self.model: Enhancer = for_tracing(model, many)
        self.utilizations, self.many = torch.tensor(utilizations), many
        self.gated = model.gated
        self.routed = model.policy is not None and not self.gated
        self.rests = model.rests
        plans: list[Plan | None] = [*level_plans(model)]
        if model.backbone.frames_apart:
            plans = [full(model.sites)]
        elif only is not None:
            plans = [plans[only]]
        if self.gated:
            plans.append(None)
        make = self._backbone if self.rests else self._network
        networks = {f"network{number}": make(plan) for number, plan in enumerate(plans)}
        parts = {"features": self._features(), **networks}
        if self.routed:
            parts |= {"scores": self._scores(), "choice": self._dial() if self.rests else self._choice()}
        if self.rests:
            parts["head"] = self._mixed_head() if many else self._head()
            if not many:
                parts["rest"] = self._rest()
        graphs = _trace(self.model, parts)
        self.features, self.networks = graphs["features"], [with_loops(graphs[name]) for name in networks]
        if self.gated and way is not None:
            self.networks[-1] = open_gates(self.networks[-1], way)
        if self.routed:
            self.scores, self.choice = graphs["scores"], graphs["choice"]
        if self.rests:
            self.head, self.rest = graphs["head"], graphs.get("rest")

    def _features(self) -> Part:
        names = list(self.model.features.state_shapes())

        def run(audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(names, state, strict=True))
            signal, context, after = self.model.features(audio.squeeze(1), given)
            return signal, context, *(after[name] for name in names)

        inputs = {"audio": self._time(self.model.hop_length, 1)} | self._state("features")
        return Part(run, inputs, ["signal", "context", *self._next("features")])

    def _network(self, plan: Plan | None) -> Part:
        """Return the part of backbone and head under a plan, or under the gates where it is None."""
        parts = {part: list(getattr(self.model, part).state_shapes()) for part in ("backbone", "head")}

        def run(signal: Tensor, context: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            values = iter(state)
            backbone, head = ({name: next(values) for name in names} for names in parts.values())
            if plan is None:
                assert self.model.policy is not None
                gate = joint_gate(self.model.policy, next(values, None))
                hidden, ran, backbone = self.model.backbone.gated(signal, gate, backbone)
                kept = torch.cat([keep for keep in ran.values() if isinstance(keep, Tensor)], dim=2)
                used = [kept.float().mean((0, 2))]
            else:
                hidden, backbone = self.model.backbone(signal, plan, backbone)
                used = []
            audio, head = self.model.head(hidden, context, head)
            after = {"backbone": backbone, "head": head}
            states = (after[part][name] for part in parts for name in parts[part])
            return audio.unsqueeze(1), *states, *used

        inputs = self._analysed() | self._state("backbone") | self._state("head")
        if plan is None and self.many:
            inputs["level"] = torch.zeros(FRAMES, dtype=torch.int64), 1
        utilization = ["utilization"] if plan is None else []
        return Part(run, inputs, ["enhanced", *self._next("backbone"), *self._next("head"), *utilization])

    def _backbone(self, plan: Plan | None) -> Part:
        """Return the part of the backbone under a plan: signal, state -> hidden, next state."""
        names = list(self.model.backbone.state_shapes())

        def run(signal: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            assert plan is not None
            hidden, after = self.model.backbone(signal, plan, dict(zip(names, state, strict=True)))
            return hidden, *(after[name] for name in names)

        inputs = {"signal": self._analysed()["signal"]} | self._state("backbone")
        return Part(run, inputs, ["hidden", *self._next("backbone")])

    def _head(self) -> Part:
        """Return the part of the head: hidden, context, state -> enhanced, next state."""
        names = list(self.model.head.state_shapes())

        def run(hidden: Tensor, context: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            audio, after = self.model.head(hidden, context, dict(zip(names, state, strict=True)))
            return audio.unsqueeze(1), *(after[name] for name in names)

        # Two tensors: the same one twice would be traced as one input.
        hidden, context = (self._analysed()["context"] for _ in range(2))
        return Part(run, {"hidden": hidden, "context": context} | self._state("head"), self._enhanced())

    def _mixed_head(self) -> Part:
        """Return the part of the head for frames of which some rest: it takes the gain (frame,) too."""
        names = list(self.model.head.state_shapes())

        def run(hidden: Tensor, context: Tensor, gain: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            hidden = self.model.backbone.at_rest(hidden, gain.unsqueeze(0))
            audio, after = self.model.head(hidden, context, dict(zip(names, state, strict=True)))
            return audio.unsqueeze(1), *(after[name] for name in names)

        hidden, context = (self._analysed()["context"] for _ in range(2))
        inputs = {"hidden": hidden, "context": context, "gain": self._frames()} | self._state("head")
        return Part(run, inputs, self._enhanced())

    def _rest(self) -> Part:
        """Return the part of the head for a frame at rest: context, gain, state -> enhanced, next state."""
        names = list(self.model.head.state_shapes())

        def run(context: Tensor, gain: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(names, state, strict=True))
            audio, after = self.model.head.scaled(context, gain.unsqueeze(0), given)
            return audio.unsqueeze(1), *(after[name] for name in names)

        inputs = {"context": self._analysed()["context"], "gain": self._frames()} | self._state("head")
        return Part(run, inputs, self._enhanced())

    def _enhanced(self) -> list[str]:
        return ["enhanced", *self._next("head")]

    def _dial(self) -> Part:
        window = round(WINDOW_SECONDS * self.model.sample_rate / self.model.hop_length)

        def run(score: Tensor, memory: Tensor, budget: Tensor, ceiling: Tensor) -> tuple[Tensor, ...]:
            if not self.many:
                made = decide_frame(score, memory, budget, self.utilizations, window, ceiling)
            else:
                made = decide(score.unsqueeze(0), memory, budget, self.utilizations, window, ceiling)
                made = made[0].squeeze(0), made[1].squeeze(0), made[2]
            level, gain, memory = made
            return level, gain, speech_probability(score), memory

        score = (self._frames()[0].unsqueeze(1).expand(-1, 2), 0)
        examples = {
            "score": score,
            "memory": (torch.zeros(1, ACTIVITY_MEMORY), 0),
            "budget": (torch.tensor(0.5), 0),
            "ceiling": (torch.tensor(0), 0),
        }
        outputs = ["picked", "gain", SPEECH_PROBABILITY, "next_memory"]
        return Part(run, examples, outputs, batched=False, by_frame=("score",))

    def _frames(self) -> Input:
        """Return an example with one value a frame."""
        return torch.ones(FRAMES if self.many else 1), int(self.many)

    def _scores(self) -> Part:
        def run(audio: Tensor, signal: Tensor, context: Tensor, gru: Tensor) -> tuple[Tensor, ...]:
            assert self.model.policy is not None
            evidence = self.model.features.evidence(audio.squeeze(1), signal, context)
            scores, gru = self.model.policy(evidence, {"gru": gru})
            return scores.amax(0) if self.rests else scores.mean(0), gru

        state = self._state("policy")
        del state["state.policy.memory"]
        inputs = {"audio": self._time(self.model.hop_length, 1)} | self._analysed() | state
        return Part(run, inputs, ["scores", "next_state.policy.gru"])

    def _choice(self) -> Part:
        window = round(WINDOW_SECONDS * self.model.sample_rate / self.model.hop_length)

        def run(score: Tensor, memory: Tensor, budget: Tensor, ceiling: Tensor) -> tuple[Tensor, ...]:
            level, memory = step(score.unsqueeze(0), memory, budget, self.utilizations, window, ceiling)
            return level.squeeze(0), memory

        examples = [torch.zeros(len(self.utilizations)), torch.zeros(1, MEMORY), torch.tensor(0.5)]
        names = ["score", "memory", "budget", "ceiling"]
        inputs = {
            name: (example, 0) for name, example in zip(names, [*examples, torch.tensor(0)], strict=True)
        }
        return Part(run, inputs, ["picked", "next_memory"], batched=False)

    def _analysed(self) -> dict[str, Input]:
        """Return examples of the features' signal and context."""
        signal, context = self.model.backbone.frame_samples, self.model.features.context_size
        return {"signal": self._time(signal), "context": self._time(context)}

    def _time(self, samples: int, *channels: int) -> Input:
        """Return an example (batch, [channel,] time) with this number of samples a frame."""
        return torch.ones(BATCH, *channels, samples * (FRAMES if self.many else 1)), samples * self.many

    def _state(self, part: str) -> dict[str, Input]:
        shapes = getattr(self.model, part).state_shapes()
        return {f"state.{part}.{name}": (torch.zeros(BATCH, *shape), 0) for name, shape in shapes.items()}

    def _next(self, part: str) -> list[str]:
        return [f"next_{name}" for name in self._state(part)]


class _Together(nn.Module):
    """Run parts side by side in a module that holds their network, so that the trace names the weights."""

    def __init__(self, model: Enhancer, parts: Mapping[str, Part]):
        super().__init__()
        self.model, self.parts = model, parts

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        given = iter(values)
        results: list[Tensor] = []
        for part in self.parts.values():
            results += part.run(*(next(given) for _ in part.inputs))
        return tuple(results)


def _trace(model: Enhancer, parts: Mapping[str, Part]) -> dict[str, onnx.GraphProto]:
    """Trace parts of a network, and return a graph for each."""
    inputs = {f"{at}/{name}": value for at, part in parts.items() for name, value in part.inputs.items()}
    logging.disable(logging.WARNING)  # the exporter warns about packages that this model does not use
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Together(model, parts).eval(),
                tuple(example for example, _ in inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=[f"{at}/{name}" for at, part in parts.items() for name in part.outputs],
                dynamic_shapes=(tuple(axes for at, part in parts.items() for axes in part.axes(at)),),
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    return {at: _cut(program.model_proto.graph, at, part) for at, part in parts.items()}


def _cut(traced: onnx.GraphProto, at: str, part: Part) -> onnx.GraphProto:
    """Return the graph of one part, from a graph of several side by side."""
    needed, nodes = {f"{at}/{name}" for name in part.outputs}, []
    for node in reversed(traced.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [name.removeprefix(f"{at}/") for name in node.input]
            copy.output[:] = [name.removeprefix(f"{at}/") for name in node.output]
            nodes.append(copy)
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
        for names in (part.inputs, part.outputs)
    )
    weights = [tensor for tensor in traced.initializer if tensor.name in needed]
    return with_short_views(helper.make_graph(nodes[::-1], at, inputs, outputs, weights))
