"""Milliseconds a frame at each level, one thread, PyTorch and the artefact in turn.

    python benchmarks/frame_time.py MODEL_FOLDER [--rounds 200]

Streaming, one frame a call. The two are timed in turn within each round, so that a machine whose speed
drifts slows both; the ratios are the figures to quote.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from sese.nn import checkpoint
from sese.nn.policies.fixed import level_plan
from sese.nn.state import fresh
from sese.runtime.artefact import open_artefact

FRAMES = 5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = checkpoint.load(options.model)
    artefact = open_artefact(options.model)
    levels = artefact.card.levels
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, 1, model.hop_length)).astype(np.float32)
    tensor = torch.from_numpy(audio)
    state = fresh(model.state_shapes(), 1, tensor)
    zeros = {f"state.{name}": spec.zeros(1) for name, spec in artefact.state.items()}

    def by_torch(level: int) -> None:
        model(tensor, level_plan(model.sites, level), state)

    def by_onnx(level: int) -> None:
        artefact.session.run(None, {"audio": audio, "level": np.array(level, np.int64), **zeros})

    times: dict[tuple[str, int], list[float]] = {}
    with torch.inference_mode():
        for _ in range(options.rounds):
            for level in range(len(levels)):
                for name, step in (("torch", by_torch), ("onnx", by_onnx)):
                    times.setdefault((name, level), []).append(timed(step, level))

    median = {key: statistics.median(values) for key, values in times.items()}
    frame_ms = 1000 * model.hop_length / model.sample_rate
    top = len(levels) - 1
    print(
        f"{options.model.name}: frames of {frame_ms:.0f} ms; medians of {options.rounds} rounds, one thread\n"
    )
    print("| level | MACs, share | torch ms | ONNX ms | ONNX, share | torch / ONNX | RTF |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for number, level in enumerate(levels):
        onnx, pytorch = median["onnx", number], median["torch", number]
        cells = [
            f"{level.utilization:g}",
            f"{level.macs_per_second / levels[top].macs_per_second:.2f}",
            f"{pytorch:.3f}",
            f"{onnx:.3f}",
            f"{onnx / median['onnx', top]:.2f}",
            f"{pytorch / onnx:.1f}",
            f"{onnx / frame_ms:.3f}",
        ]
        print(f"| {' | '.join(cells)} |")


def timed(step, level: int) -> float:
    """Milliseconds of one step, mean of a few."""
    start = time.perf_counter()
    for _ in range(FRAMES):
        step(level)
    return (time.perf_counter() - start) / FRAMES * 1000


if __name__ == "__main__":
    main()
