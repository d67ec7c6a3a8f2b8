"""The parts of a network as functions of plain tensors, traced into ONNX graphs.

Each is the network's own code, but for the layers in `operators.py`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from sese.export.operators import for_tracing
from sese.nn.enhancer import Enhancer
from sese.nn.plan import full
from sese.nn.policies.budget import MEMORY, WINDOW_SECONDS, step

OPSET = 18
BATCH, FRAMES = 2, 3
"""Sizes to trace with: any but 1, which the tracer would take for a constant."""

Inputs = Mapping[str, tuple[Tensor, dict[int, Any]]]
"""For each input an example, and its axes that may have any size."""


class Parts:
    """Traces of a network's parts, for one frame or for any number of frames.

    Args:
        model: ready for inference.
        utilizations: of each level, cheapest first.
        many: whether for any number of frames; else for one.
    """

    def __init__(self, model: Enhancer, utilizations: Sequence[float], many: bool):
        self.model: Enhancer = for_tracing(model, many)
        self.utilizations, self.many = torch.tensor(utilizations), many
        self.batch, self.frames = torch.export.Dim("batch", min=1), torch.export.Dim("frames", min=2, max=256)

    def features(self) -> onnx.GraphProto:
        """audio -> signal, loudness, next state."""
        names = list(self.model.features.state_shapes())

        def run(audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            signal, loudness, after = self.model.features(
                audio.squeeze(1), dict(zip(names, state, strict=True))
            )
            return signal, loudness, *(after[name] for name in names)

        inputs = {"audio": self._time(self.model.hop_length, 1)} | self._state("features")
        return self._trace(run, inputs, ["signal", "loudness", *self._next("features")])

    def scores(self) -> onnx.GraphProto:
        """audio, loudness -> scores (frame, level), mean over the batch; next state of the policy's GRU."""

        def run(audio: Tensor, loudness: Tensor, gru: Tensor) -> tuple[Tensor, ...]:
            scores, gru = self.model.policy(audio.squeeze(1) / loudness, {"gru": gru})
            return scores.mean(0), gru

        hop, state = self.model.hop_length, self._state("policy")
        del state["state.policy.memory"]
        inputs = {"audio": self._time(hop, 1), "loudness": self._time(hop)} | state
        return self._trace(run, inputs, ["scores", "next_state.policy.gru"])

    def choice(self) -> onnx.GraphProto:
        """One frame's score (level,), memory, budget, ceiling -> level, next memory, for a batch of one."""
        window = round(WINDOW_SECONDS * self.model.sample_rate / self.model.hop_length)

        def run(score: Tensor, memory: Tensor, budget: Tensor, ceiling: Tensor) -> tuple[Tensor, ...]:
            level, memory = step(score.unsqueeze(0), memory, budget, self.utilizations, window, ceiling)
            return level.squeeze(0), memory

        inputs: Inputs = {
            "score": (torch.zeros(len(self.utilizations)), {}),
            "memory": (torch.zeros(1, MEMORY), {}),
            "budget": (torch.tensor(0.5), {}),
            "ceiling": (torch.tensor(0), {}),
        }
        return self._trace(run, inputs, ["chosen", "next_memory"])

    def network(self) -> onnx.GraphProto:
        """signal, loudness, state -> enhanced, next state, of backbone and head with everything kept.

        The rows that enter and leave a slimmable product are marked.
        """
        parts = {part: list(getattr(self.model, part).state_shapes()) for part in ("backbone", "head")}
        plan = full(self.model.sites)

        def run(signal: Tensor, loudness: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            values = iter(state)
            backbone, head = ({name: next(values) for name in names} for names in parts.values())
            hidden, backbone = self.model.backbone(signal, plan, backbone)
            audio, head = self.model.head(hidden, loudness, head)
            after = {"backbone": backbone, "head": head}
            return audio.unsqueeze(1), *(after[part][name] for part in parts for name in parts[part])

        rate = self.model.backbone.frame_samples
        inputs = {"signal": self._time(rate), "loudness": self._time(self.model.hop_length)}
        inputs |= self._state("backbone") | self._state("head")
        return self._trace(run, inputs, ["enhanced", *self._next("backbone"), *self._next("head")])

    def _time(self, samples: int, *channels: int) -> tuple[Tensor, dict[int, Any]]:
        """A signal (batch, [channel,] time) with so many samples a frame."""
        axes = {0: self.batch} | ({1 + len(channels): samples * self.frames} if self.many else {})
        return torch.ones(BATCH, *channels, samples * (FRAMES if self.many else 1)), axes

    def _state(self, part: str) -> dict[str, tuple[Tensor, dict[int, Any]]]:
        shapes = getattr(self.model, part).state_shapes()
        return {
            f"state.{part}.{name}": (torch.zeros(BATCH, *shape), {0: self.batch})
            for name, shape in shapes.items()
        }

    def _next(self, part: str) -> list[str]:
        return [f"next_{name}" for name in self._state(part)]

    def _trace(
        self,
        run: Callable[..., tuple[Tensor, ...]],
        inputs: Inputs,
        outputs: list[str],
    ) -> onnx.GraphProto:
        """Trace a function of tensors."""
        logging.disable(logging.WARNING)  # the exporter remarks on packages that this model does not use
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.onnx.export(
                    _Traced(self.model, run).eval(),
                    tuple(example for example, _ in inputs.values()),
                    dynamo=True,
                    opset_version=OPSET,
                    input_names=list(inputs),
                    output_names=outputs,
                    dynamic_shapes=(tuple(axes for _, axes in inputs.values()),),
                    verbose=False,
                )
        finally:
            logging.disable(logging.NOTSET)
        assert program is not None
        return program.model_proto.graph


class _Traced(nn.Module):
    """A function that uses a network, as a module, so that the trace has the weights by name."""

    def __init__(self, model: Enhancer, run: Callable[..., tuple[Tensor, ...]]):
        super().__init__()
        self.model, self.run = model, run

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return self.run(*values)
