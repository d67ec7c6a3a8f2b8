"""Static quantisation of benchmarks/quantised.py, on a graph with products of every sort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")
BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
SIZE = 32


def test_products_with_weights_on_the_right_are_quantised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    quantised = __import__("quantised")
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((4, SIZE)).astype(np.float32) for _ in range(8)]
    write(tmp_path / "plain.onnx", random)

    class Reader(quantised.CalibrationDataReader):
        """All inputs, once."""

        def __init__(self) -> None:
            self.left = [{"x": x} for x in inputs]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    method = quantised.CalibrationMethod.MinMax
    quantised.quantise_statically(tmp_path / "plain.onnx", tmp_path / "static.onnx", Reader(), method)

    plain, static = (onnxruntime.InferenceSession(tmp_path / f"{name}.onnx") for name in ("plain", "static"))
    for x in inputs:
        expected, got = (graph.run(None, {"x": x})[0] for graph in (plain, static))
        assert 0 < np.abs(got - expected).max() < 0.05 * np.abs(expected).max()
    weights = onnx.load(tmp_path / "static.onnx").graph.initializer
    kept = {
        tensor.name for tensor in weights if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
    }
    assert kept == {"left"}


def write(path: Path, random: np.random.Generator) -> None:
    """A product with a bias, one with a computed sum, one whose weights stand on the left."""
    weights = {name: random.standard_normal((SIZE, SIZE)) / 6 for name in ("first", "second")}
    weights |= {"bias": random.standard_normal(SIZE), "left": random.standard_normal((4, 4)) / 2}
    nodes = [
        helper.make_node("Gemm", ["x", "first", "bias"], ["a"], transB=1),
        helper.make_node("Gemm", ["a", "second", "x"], ["b"]),
        helper.make_node("Gemm", ["left", "b", "x"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, SIZE]) for name in ("x", "y")]
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "products", values[:1], values[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
