"""Measure time and size of a search for the nearest frames: packed bits in NumPy and faiss, and floats.

    python benchmarks/hashing_time.py [--frames 20000] [--bits 25 50 100 200] [--bins 257]

Queries run one at a time in one thread. The dictionary is random, since time does not depend on it. `bits as
floats` is the search of the ONNX file, and `spectra` the search without a hash. Searches are timed in turn
within one run, so the ratios are the figures to quote.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sese.bits.hamming import HammingIndex
from sese.evaluation.report import table
from sese.runtime.artefact import session_options
from turns import in_turn

NEIGHBOURS, QUERIES, ROUNDS = 10, 10, 20

Search = Callable[[int], Any]
"""Number of a query -> its neighbours."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--bits", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--bins", type=int, default=257)
    options = parser.parse_args()
    print(as_table(measure(options.frames, options.bits, options.bins)))


def measure(frames: int, bits: list[int], bins: int, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Return a row for each search and number of bits: bytes searched, and microseconds per query."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 256, (frames, -(-max(bits) // 8)), dtype=np.uint8)
    queries = generator.integers(0, 256, (QUERIES, codes.shape[1]), dtype=np.uint8)
    spectra, heard = (generator.random((rows, bins), np.float32) for rows in (frames, QUERIES))
    rows: list[dict[str, Any]] = [{"way": "spectra", "bits": "", "bytes": spectra.nbytes}]
    ways = [in_onnx(spectra, heard)]
    for count in bits:
        for search in ("numpy", "faiss"):
            if search == "faiss" and importlib.util.find_spec("faiss") is None:
                continue
            index = HammingIndex(codes, count, search)  # type: ignore[arg-type]
            packed = 8 * -(-count // 64) if search == "numpy" else -(-count // 8)
            rows.append({"way": f"packed, {search}", "bits": count, "bytes": frames * packed})
            ways.append(lambda n, index=index: index.nearest(queries[n : n + 1], NEIGHBOURS))
        floats = [
            2 * np.unpackbits(c, axis=1, count=count, bitorder="little").astype(np.float32) - 1
            for c in (codes, queries)
        ]
        rows.append({"way": "bits as floats", "bits": count, "bytes": floats[0].nbytes})
        ways.append(in_onnx(*floats))
    runs = {number: partial(search_all, way) for number, way in enumerate(ways)}
    for number, seconds in in_turn(runs, rounds, calls=1).items():
        rows[number]["microseconds"] = 1e6 * seconds / QUERIES
    return rows


def search_all(search: Search) -> None:
    """Run all queries, one by one."""
    for query in range(QUERIES):
        search(query)


def in_onnx(dictionary: np.ndarray, queries: np.ndarray) -> Search:
    """Return a search for the largest products in ONNX Runtime."""
    nodes = [
        helper.make_node("MatMul", ["query", "dictionary"], ["alike"]),
        helper.make_node("TopK", ["alike", "count"], ["best", "nearest"], axis=1),
    ]
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(dictionary.T), "dictionary"),
        numpy_helper.from_array(np.array([NEIGHBOURS]), "count"),
    ]
    query = helper.make_tensor_value_info("query", TensorProto.FLOAT, [1, dictionary.shape[1]])
    nearest = helper.make_tensor_value_info("nearest", TensorProto.INT64, [1, NEIGHBOURS])
    graph = helper.make_graph(nodes, "search", [query], [nearest], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    return lambda n: session.run(["nearest"], {"query": queries[n : n + 1]})


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return sizes and times as a Markdown table, with ratios to the search of spectra."""
    whole = rows[0]
    cells = [
        [
            row["way"],
            f"{row['bits']}",
            f"{row['bytes'] / 1000:.0f}",
            f"{row['bytes'] / whole['bytes']:.3f}",
            f"{row['microseconds']:.0f}",
            f"{row['microseconds'] / whole['microseconds']:.3f}",
        ]
        for row in rows
    ]
    return "\n".join(table(["search", "bits", "kB", "of spectra", "microseconds", "of spectra"], cells))


if __name__ == "__main__":
    main()
