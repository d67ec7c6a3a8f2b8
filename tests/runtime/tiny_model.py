"""A tiny model that keeps the contract, and audio to feed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HOP = 64
LOOKAHEAD = 40
UTILIZATIONS = (0.125, 0.25, 0.5, 1.0)
GAINS = (0.25, 0.5, 0.75, 1.0)


def metadata(**changes: Any) -> dict[str, Any]:
    """The facts that the tiny model carries."""
    facts: dict[str, Any] = {
        "format": 1,
        "name": "tiny",
        "version": "1",
        "sample_rate": 16000,
        "hop_length": HOP,
        "lookahead_samples": LOOKAHEAD,
        "latency_samples": HOP + LOOKAHEAD,
        "levels": [
            {"utilization": u, "macs_per_second": 1e6 * u, "parameters": int(1000 * u)} for u in UTILIZATIONS
        ],
        "parameters": 1000,
        "router": False,
        "licence": {"code": "MIT", "weights": "CC0-1.0", "data": "none"},
        "quality": {"1": {"pesq": 2.5, "si_sdr": 15.0}, "noisy": {"pesq": 2.0, "si_sdr": 8.0}},
        "description": "A delay line with a gain.",
    }
    return facts | changes


def write_model(
    path: Path, *, memory: float = 0.0, facts: dict[str, Any] | None = None, drop_output: str = ""
) -> Path:
    """Write a delay line of LOOKAHEAD samples, times the level's gain, to `path`.

    With `memory`, the frames' running mean power is added, so that every sample depends on all before it.
    `facts` None leaves out the metadata; `drop_output` is the name of an output to leave out.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: Any, dtype: Any = np.float32) -> Any:
        return numpy_helper.from_array(np.asarray(value, dtype), name)

    nodes = [
        helper.make_node("Less", ["level", "zero"], ["automatic"]),
        helper.make_node("Where", ["automatic", "routed", "level"], ["chosen"]),
        helper.make_node("Gather", ["gains", "chosen"], ["gain"]),
        helper.make_node("Gather", ["utilizations", "chosen"], ["used"]),
        helper.make_node("Concat", ["state.delay", "audio"], ["line"], axis=2),
        helper.make_node("Slice", ["line", "start", "hop", "time"], ["delayed"]),
        helper.make_node("Slice", ["line", "hop", "end", "time"], ["next_state.delay"]),
        helper.make_node("Mul", ["audio", "audio"], ["square"]),
        helper.make_node("ReduceMean", ["square", "time"], ["power"], keepdims=1),
        helper.make_node("Transpose", ["power"], ["power_now"], perm=[1, 0, 2]),
        helper.make_node("Mul", ["state.power", "keep"], ["kept"]),
        helper.make_node("Add", ["kept", "power_now"], ["next_state.power"]),
        helper.make_node("Transpose", ["next_state.power"], ["power_sum"], perm=[1, 0, 2]),
        helper.make_node("Mul", ["power_sum", "memory"], ["offset"]),
        helper.make_node("Mul", ["delayed", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["enhanced"]),
        helper.make_node("Shape", ["audio"], ["batch_size"], start=0, end=1),
        helper.make_node("Expand", ["used", "batch_size"], ["utilization"]),
    ]
    constants = [
        constant("zero", 0, np.int64),
        constant("routed", len(GAINS) - 1, np.int64),
        constant("gains", GAINS),
        constant("utilizations", UTILIZATIONS),
        constant("start", [0], np.int64),
        constant("hop", [HOP], np.int64),
        constant("end", [HOP + LOOKAHEAD], np.int64),
        constant("time", [2], np.int64),
        constant("keep", 0.9),
        constant("memory", memory),
    ]

    def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    audio, delay, power = ["batch", 1, HOP], ["batch", 1, LOOKAHEAD], [1, "batch", 1]
    outputs = [
        value("enhanced", audio),
        value("utilization", ["batch"]),
        value("next_state.delay", delay),
        value("next_state.power", power),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            value("audio", audio),
            value("level", [], TensorProto.INT64),
            value("state.delay", delay),
            value("state.power", power),
        ],
        [output for output in outputs if output.name != drop_output],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if facts is not None:
        helper.set_model_props(model, {"sese": json.dumps(facts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def tone(frames: int, channels: int = 1, rate: int = 16000) -> np.ndarray:
    """``[frame, channel]`` float64 tones, another pitch for each channel, well below half the lowest rate."""
    time = np.arange(frames)[:, None] / rate
    return 0.4 * np.sin(2 * np.pi * (200 + 150 * np.arange(channels)) * time)
