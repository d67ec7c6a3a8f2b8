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
        "format": 2,
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
    path: Path,
    *,
    memory: float = 0.0,
    routed: int = len(GAINS) - 1,
    facts: dict[str, Any] | None = None,
    drop_output: str = "",
) -> Path:
    """Write a delay line of LOOKAHEAD samples, times the level's gain, to `path`.

    With `memory`, the frames' running mean power is added, so that every sample depends on all before it. The
    router always asks for the level `routed`; it holds no budget.
    `facts` None leaves out the metadata; `drop_output` is the name of an output to leave out.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: Any, dtype: Any = np.float32) -> Any:
        return numpy_helper.from_array(np.asarray(value, dtype), name)

    nodes = [
        helper.make_node("Less", ["level", "zero"], ["automatic"]),
        helper.make_node("Min", ["routed", "ceiling"], ["allowed"]),
        helper.make_node("Where", ["automatic", "allowed", "level"], ["chosen"]),
        helper.make_node("Gather", ["utilizations", "chosen"], ["utilization"]),
        helper.make_node("Gather", ["gains", "chosen"], ["gain"]),
        helper.make_node("Concat", ["state.delay", "audio"], ["line"], axis=2),
        helper.make_node("Slice", ["line", "start", "early", "time"], ["delayed"]),
        helper.make_node("Slice", ["line", "early", "end", "time"], ["next_state.delay"]),
        # The running power p[n] = keep * p[n - 1] + power[n] of all frames, as a sum over their past.
        helper.make_node("Reshape", ["audio", "by_frame"], ["frames"]),
        helper.make_node("Mul", ["frames", "frames"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "time"], ["power"], keepdims=0),
        helper.make_node("Shape", ["level"], ["count"]),
        helper.make_node("Squeeze", ["count"], ["count_scalar"]),
        helper.make_node("Range", ["zero", "count_scalar", "one"], ["at"]),
        helper.make_node("Unsqueeze", ["at", "last"], ["at_column"]),
        helper.make_node("Sub", ["at", "at_column"], ["age"]),
        helper.make_node("Max", ["age", "zero"], ["age_past"]),
        helper.make_node("Pow", ["keep", "age_past"], ["kept"]),
        helper.make_node("Less", ["age", "zero"], ["later"]),
        helper.make_node("Where", ["later", "nothing", "kept"], ["weights"]),
        helper.make_node("MatMul", ["power", "weights"], ["new_power"]),
        helper.make_node("Add", ["at", "one"], ["steps"]),
        helper.make_node("Pow", ["keep", "steps"], ["left"]),
        helper.make_node("Mul", ["state.power", "left"], ["old_power"]),
        helper.make_node("Add", ["old_power", "new_power"], ["running"]),
        helper.make_node("Gather", ["running", "last"], ["next_state.power"], axis=1),
        helper.make_node("Mul", ["running", "memory"], ["offset"]),
        helper.make_node("Reshape", ["delayed", "by_frame"], ["delayed_frames"]),
        helper.make_node("Unsqueeze", ["gain", "last"], ["gain_column"]),
        helper.make_node("Mul", ["delayed_frames", "gain_column"], ["scaled"]),
        helper.make_node("Unsqueeze", ["offset", "last"], ["offset_column"]),
        helper.make_node("Add", ["scaled", "offset_column"], ["enhanced_frames"]),
        helper.make_node("Reshape", ["enhanced_frames", "by_time"], ["enhanced"]),
    ]
    constants = [
        constant("zero", 0, np.int64),
        constant("one", 1, np.int64),
        constant("routed", routed, np.int64),
        constant("gains", GAINS),
        constant("utilizations", UTILIZATIONS),
        constant("start", [0], np.int64),
        constant("early", [-LOOKAHEAD], np.int64),
        constant("end", [2**62], np.int64),
        constant("time", [2], np.int64),
        constant("last", [-1], np.int64),
        constant("by_frame", [0, -1, HOP], np.int64),
        constant("by_time", [0, 1, -1], np.int64),
        constant("keep", 0.9),
        constant("nothing", 0.0),
        constant("memory", memory),
    ]

    def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    audio, delay, power = ["batch", 1, "time"], ["batch", 1, LOOKAHEAD], ["batch", 1]
    outputs = [
        value("enhanced", audio),
        value("utilization", ["frames"]),
        value("next_state.delay", delay),
        value("next_state.power", power),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            value("audio", audio),
            value("level", ["frames"], TensorProto.INT64),
            value("budget", []),
            value("ceiling", [], TensorProto.INT64),
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
