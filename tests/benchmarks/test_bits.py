"""The benchmarks of bits: every way makes the same masks, tables are whole, differences are paired."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from sese.nn.backbones.bitwise import BitwiseConfig

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def benchmark(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__(request.param)


def of(name: str):
    return pytest.mark.parametrize("benchmark", [name], indirect=True)


@pytest.mark.parametrize(
    "values",
    [
        {"hidden": 70, "sparsity": 0.0, "output": "soft"},
        {"hidden": 64, "sparsity": 0.8},
        {"hidden": 40, "layers": 2, "recurrent": False, "sparsity": 0.0},
    ],
)
@of("bitwise_time")
def test_every_way_makes_the_same_masks(values, benchmark: ModuleType):
    rows = benchmark.measure(BitwiseConfig(n_fft=64, hop_length=32, **values), rounds=1)
    ways = [row["way"] for row in rows]
    assert ways[:3] == ["ONNX Runtime, float32", "ONNX Runtime, int8", "packed, numpy"]
    assert rows[1]["memory"] * 4 == rows[0]["memory"]
    assert all(row["memory"] < rows[1]["memory"] for row in rows[2:])
    assert len(benchmark.as_table(rows).splitlines()) == 2 + len(rows)


@of("hashing_time")
def test_searches_are_timed(benchmark: ModuleType):
    rows = benchmark.measure(200, [10, 70], 20, rounds=1)
    assert {row["way"] for row in rows} >= {"spectra", "packed, numpy", "bits as floats"}
    assert all(row["microseconds"] > 0 for row in rows)
    assert "spectra" in benchmark.as_table(rows)


@of("masking")
def test_differences_are_paired_by_file(benchmark: ModuleType):
    def scores(values):
        return {metric: values for metric in benchmark.METRICS}

    table = benchmark.as_table({"noisy": scores([1.0, 5.0, 9.0]), "a": scores([2.0, 6.0, 10.0])})
    assert "+1.00 (+1.00 to +1.00)" in table
    assert "| noisy | 5.00 |  | 5.00 |" in table
    table = benchmark.as_table({"noisy": scores([1.0, 5.0]), "a": scores([2.0, 6.0])}, "a")
    assert "-1.00 (-1.00 to -1.00)" in table
    left = benchmark.only({"a": scores([2.0, 6.0, 7.0])}, [True, False, True])
    assert left == {"a": scores([2.0, 7.0])}
