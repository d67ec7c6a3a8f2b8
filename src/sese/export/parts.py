"""The parts of a network as functions of tensors, traced into ONNX graphs.

Each runs the network's own code, except for the layers that have a form in `forms/`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sese.export.forms.activity import activity_step, decide_frame, level_of_frame
from sese.export.forms.rests import Mix, after_rest, at_rest, resting, settled
from sese.export.forms.spectra import rest_frame
from sese.export.forms.tracing import for_tracing
from sese.export.gates import Way, gather, joint_gate, open_gates
from sese.export.loops import with_loops
from sese.export.traced import Input, Part, trace
from sese.nn.enhancer import Enhancer
from sese.nn.features.short_time import ShortTimeFeatures
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.plan import Plan, full
from sese.nn.policies.activity import MEMORY as ACTIVITY_MEMORY
from sese.nn.policies.activity import Activity, decide, speech_probability
from sese.nn.policies.budget import MEMORY, WINDOW_SECONDS, step
from sese.nn.policies.fixed import level_plans
from sese.runtime.artefact import SPEECH_PROBABILITY

BATCH, FRAMES = 2, 3
"""Sizes of the examples for tracing. They are not 1, which the tracer would treat as a constant."""


class Parts:
    """A network's parts as graphs, for one frame or for any number of frames.

    Args:
        model: network, ready for inference.
        utilizations: utilization of each level, lowest level first.
        many: whether it is traced for any number of frames; else for one.
        way: replaces the markers of gated blocks; None leaves the markers.
        only: the one level to trace; None for all.

    Attributes:
        features: audio -> signal, context, next state; in a model that rests the evidence too.
        networks: signal, context, state -> enhanced, next state, of backbone and head. With `frames_apart`
            there is one that keeps everything, in which the rows that enter and leave a slimmable product
            are marked; else there is one for each level. A model with gates has one that keeps everything,
            and one in which the gates decide, which returns the utilization (frame,) as well; in its calls
            with many frames, frames that have a ``level`` keep everything. A model that rests has the
            backbones alone: signal, state -> hidden, next state.
        head: hidden, context, state -> enhanced, next state, in a model that rests; for any number of frames
            it takes the gain at rest too. In a model on samples it takes the signal as well, and for one
            frame it is the head of a frame that is awake.
        settled: as `head`, for one frame that is awake as the two before it, in a model on samples.
        rest: gain, state -> enhanced, next state, of a frame at rest, in such a model, from both halves of
            the frame, from the context where features and head do not work on samples, or from signal and
            context in a model on samples.
        scores: audio, signal, context, state -> scores (frame, level), mean over the batch, next state of
            the GRU, in a model with a policy before the backbone. In a model that rests it takes the evidence
            in place of the first three. For one frame it also decides on rest there: evidence, state ->
            awake, sure, gain at rest, probability of speech, next state of the policy.
        choice: score (level,) of a frame, memory, budget, ceiling -> picked, next_memory, for a batch of one,
            in such a model. In a model that rests it decides on all frames at once, and returns the gain at
            rest and the probability of speech of each as well; for one frame it is the level of a frame that
            is awake: sure, memory, budget, ceiling -> picked.
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
            if not self.rests:
                parts |= {"scores": self._scores(), "choice": self._choice()}
            elif many:
                parts |= {"scores": self._detected(), "choice": self._dial()}
            else:
                parts |= {"scores": self._detected_frame(), "choice": self._level_of_frame()}
        if self.rests:
            on_samples = bool(model.backbone.rest_states)
            ends = {"head": at_rest} if many else {"head": after_rest, "settled": settled, "rest": resting}
            if not many and not on_samples:
                ends = {"head": settled}
                parts["rest"] = self._rest()
            parts |= {name: self._end(mix) for name, mix in ends.items()}
        graphs = trace(self.model, parts)
        self.features, self.networks = graphs["features"], [with_loops(graphs[name]) for name in networks]
        if self.gated and way is not None:
            self.networks[-1] = open_gates(self.networks[-1], way)
        if self.routed:
            self.scores, self.choice = graphs["scores"], graphs["choice"]
        if self.rests:
            self.head, self.rest, self.settled = graphs["head"], graphs.get("rest"), graphs.get("settled")

    def _features(self) -> Part:
        names = list(self.model.features.state_shapes())

        def run(audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(names, state, strict=True))
            signal, context, after = self.model.features(audio.squeeze(1), given)
            made = [signal, context]
            if self.rests:
                made.append(self.model.features.evidence(audio.squeeze(1), signal, context))
            return *made, *(after[name] for name in names)

        inputs = {"audio": self._time(self.model.hop_length, 1)} | self._state("features")
        outputs = ["signal", "context", *["evidence"] * self.rests]
        return Part(run, inputs, [*outputs, *self._next("features")])

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
        states = self._backbone_state(at_rest=False)

        def run(signal: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            assert plan is not None
            given = {_last(name): value for name, value in zip(states, state, strict=True)}
            hidden, after = self.model.backbone.awake(signal, plan, given)
            return hidden, *(after[_last(name)] for name in states)

        inputs = {"signal": self._analysed()["signal"]} | states
        return Part(run, inputs, ["hidden", *(f"next_{name}" for name in states)])

    def _end(self, mix: Mix) -> Part:
        """Return the part of the head, behind a mix of the network's output with its input at rest.

        Of its inputs, hidden, signal, context, gain and state, a graph has those that `mix` uses.
        """
        backbone, head = self.model.backbone, self.model.head
        mixed, heads = self._backbone_state(at_rest=True), self._state("head")
        # The output of a network on samples looks like its input, else like what the head applies it to.
        size = backbone.frame_samples if mixed else self.model.features.context_size
        inputs = {"hidden": self._time(size)} | self._analysed() | {"gain": self._frames()}

        def run(
            hidden: Tensor, signal: Tensor, context: Tensor, gain: Tensor, *state: Tensor
        ) -> tuple[Tensor, ...]:
            values = dict(zip([*mixed, *heads], state, strict=True))
            before = {_last(name): values[name] for name in mixed}
            hidden, after = mix(backbone, hidden, signal, gain.unsqueeze(0), before)
            audio, ended = head(hidden, context, {_last(name): values[name] for name in heads})
            states = (*(ended[_last(name)] for name in heads), *(after[_last(name)] for name in mixed))
            return audio.unsqueeze(1), *states

        outputs = [*self._enhanced(), *(f"next_{name}" for name in mixed)]
        return Part(run, inputs | mixed | heads, outputs)

    def _backbone_state(self, at_rest: bool) -> dict[str, Input]:
        """Return examples of the states of the backbone that change at rest, or of those that are held."""
        names, states = self.model.backbone.rest_states, self._state("backbone")
        return {name: value for name, value in states.items() if (_last(name) in names) == at_rest}

    def _rest(self) -> Part:
        """Return the part of the head for a frame at rest, see `Parts.rest`."""
        features, head = self.model.features, self.model.head
        names = list(head.state_shapes())
        if isinstance(features, ShortTimeFeatures) and isinstance(head, OverlapAddHead):
            halves = {
                f"{when}state.features.past": self._time(self.model.hop_length) for when in ("", "next_")
            }

            def run(before: Tensor, latest: Tensor, gain: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
                given = dict(zip(names, state, strict=True))
                audio, after = rest_frame(features, head, before, latest, gain, given)
                return audio, *(after[name] for name in names)

            return Part(run, halves | {"gain": self._frames()} | self._state("head"), self._enhanced())

        def run_on_context(context: Tensor, gain: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            audio, after = head.scaled(context, gain.unsqueeze(0), dict(zip(names, state, strict=True)))
            return audio.unsqueeze(1), *(after[name] for name in names)

        inputs = {"context": self._analysed()["context"], "gain": self._frames()} | self._state("head")
        return Part(run_on_context, inputs, self._enhanced())

    def _enhanced(self) -> list[str]:
        return ["enhanced", *self._next("head")]

    def _detected(self) -> Part:
        """Return the part of the scores of any number of frames, in a model that rests."""

        def run(evidence: Tensor, gru: Tensor) -> tuple[Tensor, ...]:
            assert self.model.policy is not None
            scores, gru = self.model.policy(evidence, {"gru": gru})
            return scores.amax(0), gru

        inputs = {"evidence": self._time(self.model.features.evidence_size)} | self._state("policy")
        del inputs["state.policy.memory"]
        return Part(run, inputs, ["scores", "next_state.policy.gru"])

    def _dial(self) -> Part:
        """Return the part of the choice for any number of frames, in a model that rests."""

        def run(score: Tensor, memory: Tensor, budget: Tensor, ceiling: Tensor) -> tuple[Tensor, ...]:
            made = decide(score.unsqueeze(0), memory, budget, self.utilizations, self._window(), ceiling)
            return made[0].squeeze(0), made[1].squeeze(0), speech_probability(score), made[2]

        score = (self._frames()[0].unsqueeze(1).expand(-1, 2), 0)
        inputs = {"score": score, "memory": (torch.zeros(1, ACTIVITY_MEMORY), 0)} | self._limits()
        outputs = ["picked", "gain", SPEECH_PROBABILITY, "next_memory"]
        return Part(run, inputs, outputs, batched=False, by_frame=("score",))

    def _detected_frame(self) -> Part:
        """Return the part of all decisions on one frame but its level, in a model that rests."""

        def run(evidence: Tensor, gru: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
            policy = self.model.policy
            assert isinstance(policy, Activity)
            gru = activity_step(policy, evidence, gru)
            *decided, memory = decide_frame(policy, gru, memory, self._window())
            return *decided, gru, memory

        inputs = {"evidence": self._time(self.model.features.evidence_size)} | self._state("policy")
        outputs = ["awake", "sure", "gain", SPEECH_PROBABILITY, *self._next("policy")]
        return Part(run, inputs, outputs)

    def _level_of_frame(self) -> Part:
        """Return the part of the level of a frame that is awake."""

        def run(sure: Tensor, memory: Tensor, budget: Tensor, ceiling: Tensor) -> tuple[Tensor, ...]:
            return (level_of_frame(sure, memory, budget, self.utilizations, ceiling),)

        memory = {"memory": (torch.zeros(BATCH, ACTIVITY_MEMORY), 0)}
        return Part(run, {"sure": self._frames()} | memory | self._limits(), ["picked"])

    def _limits(self) -> dict[str, Input]:
        """Return examples of what a policy must keep to."""
        return {"budget": (torch.tensor(0.5), 0), "ceiling": (torch.tensor(0), 0)}

    def _window(self) -> int:
        """Return the number of frames over which a policy averages."""
        return round(WINDOW_SECONDS * self.model.sample_rate / self.model.hop_length)

    def _frames(self) -> Input:
        """Return an example with one value a frame."""
        return torch.ones(FRAMES if self.many else 1), int(self.many)

    def _scores(self) -> Part:
        def run(audio: Tensor, signal: Tensor, context: Tensor, gru: Tensor) -> tuple[Tensor, ...]:
            assert self.model.policy is not None
            evidence = self.model.features.evidence(audio.squeeze(1), signal, context)
            scores, gru = self.model.policy(evidence, {"gru": gru})
            return scores.mean(0), gru

        state = self._state("policy")
        del state["state.policy.memory"]
        inputs = {"audio": self._time(self.model.hop_length, 1)} | self._analysed() | state
        return Part(run, inputs, ["scores", "next_state.policy.gru"])

    def _choice(self) -> Part:
        def run(score: Tensor, memory: Tensor, budget: Tensor, ceiling: Tensor) -> tuple[Tensor, ...]:
            limits = budget, self.utilizations, self._window(), ceiling
            level, memory = step(score.unsqueeze(0), memory, *limits)
            return level.squeeze(0), memory

        score, memory = torch.zeros(len(self.utilizations)), torch.zeros(1, MEMORY)
        inputs = {"score": (score, 0), "memory": (memory, 0)} | self._limits()
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


def _last(name: str) -> str:
    """Return the name of a state in its part: state.backbone.skip.0 -> skip.0."""
    return name.split(".", 2)[2]
