"""Smaller weights for a model file, accepted only where they cost neither time nor quality.

| kind | weights in the file | arithmetic |
| --- | --- | --- |
| ``fp16`` | half precision, each once; ONNX Runtime widens them when it opens the file | float32 |
| ``int8`` | 8 bits for the matrices of each level, a scale a column | 8 bits, ranges found in each frame |

ONNX Runtime has no 8-bit GRU, so with ``int8`` recurrences stay as they are. Ranges found beforehand are not
offered: ONNX Runtime does not calibrate the nested graphs of levels, and `benchmarks/quantised.py`, which
measures them on a graph for each level, found none that was worth it; see docs/guides/deploying.md.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sese.bits import bitwise
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.tables import table
from sese.export.folder import FILES, check_output, export_folder
from sese.runtime.artefact import open_artefact, session_options
from sese.runtime.budget import level_name
from sese.runtime.enhancer import Enhancer
from sese.runtime.step import Step

LARGE = 1000
"""Number of elements above which a tensor is stored smaller."""

MOST_TIME = 1.03
"""Largest accepted time, as a multiple of the float32 file's at the same level. It allows for noise:
``fp16``, which computes the same, was measured at 0.97 to 1.02."""

MOST_LOSS = 0.05
"""Largest accepted loss of mean PESQ-WB at any level."""

PRODUCER = "sese"
"""Producer's name in a float32 file, as `to_onnx` writes it; quantised files have another."""

MATRICES = ("MatMul", "Gemm")
"""Operators that get 8 bits: nearly all arithmetic of these networks, except for recurrences."""

ROUNDS = {1: 200, Step.LONGEST: 30}
"""Frames of a call -> rounds of timing at each level. First come streams, then files."""

CALLS = 5
"""Number of calls with one frame that are timed together."""


@dataclass(frozen=True)
class Compared:
    """Comparison of a level in the quantised file and in the float32 file.

    Attributes:
        name: See `level_name`.
        streaming: Time of one frame a call, as a multiple of the float32 file's.
        files: Time of calls with many frames, as such a multiple.
        loss: Loss of mean PESQ-WB.
    """

    name: str
    streaming: float
    files: float
    loss: float

    @property
    def accepted(self) -> bool:
        """Whether the level is neither slower nor worse."""
        return max(self.streaming, self.files) <= MOST_TIME and self.loss <= MOST_LOSS


def export_quantised(
    kind: str, data: Path, clips: int, run: Path, output: Path, *, force: bool = False, **options: Any
) -> None:
    """Export a run with quantised weights, if no level gets slower or worse; else write nothing.

    Progress is printed on standard error. A model folder whose facts do not change is copied, since tracing
    its network again takes a minute.

    Args:
        kind: One of `KINDS`.
        data: Folder with ``clean/`` and ``noisy/`` speech to measure on.
        clips: Number of pairs to measure on.
        run, output, force, options: See `sese.export.folder.export_folder`.

    Raises:
        InputError: As `export_folder`; the kind or the data cannot be used; or a level is slower or worse.
    """
    from sese.evaluation.pairs import find_pairs, read_pair

    if kind not in KINDS:
        raise InputError(f"--quantize is {kind!r}; give one of: {', '.join(KINDS)}")
    check_output(output, force, run, data)
    pairs = [read_pair(pair) for pair in find_pairs(data, clips)]
    with replacing(output, folder=True) as part, tempfile.TemporaryDirectory() as made:
        folder, original = Path(made) / output.name, Path(made) / "float32.onnx"
        if not any(options.values()) and is_exported(run):
            folder.mkdir()
            for name in (*FILES, *({bitwise.FILE} & set(os.listdir(run)))):
                shutil.copyfile(run / name, folder / name)
        else:
            tell("exporting in float32; tracing takes up to a minute")
            export_folder(run, folder, **options)
        os.replace(folder / "model.onnx", original)
        tell(f"quantising to {kind}")
        KINDS[kind](original, folder / "model.onnx")
        levels = compare(folder / "model.onnx", original, pairs)
        sizes = [path.stat().st_size / 1e6 for path in (folder / "model.onnx", original)]
        table = f"{sizes[0]:.2f} MB; {sizes[1]:.2f} MB in float32. {as_table(levels, len(pairs))}"
        print(table)
        refused = [level for level in levels if not level.accepted]
        if refused:
            worst = ", ".join(level.name for level in refused)
            raise InputError(
                f"{kind} takes over {MOST_TIME} times as long as float32, or loses more than {MOST_LOSS} "
                f"PESQ, at level(s) {worst}; {output} was not written; export without --quantize"
            )
        with (folder / "README.md").open("a") as card:
            card.write(f"\n## Weights in {kind}\n\n{table}\n")
        shutil.copytree(folder, part, dirs_exist_ok=True)
    print(f"{output}: written with weights in {kind}")


def is_exported(run: Path) -> bool:
    """Return whether a folder holds a float32 model as `export_folder` writes it."""
    if not all((run / name).is_file() for name in FILES):
        return False
    open_artefact(run / "model.onnx")  # raises an error that says what is wrong with it
    return onnx.load(run / "model.onnx").producer_name == PRODUCER


def tell(what: str) -> None:
    """Print progress on standard error."""
    print(what, file=sys.stderr, flush=True)


def half_weights(source: Path, target: Path) -> None:
    """Store large weights in half precision, each followed by a cast that runs when the file is opened."""
    model = onnx.load(source)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) <= LARGE:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise InputError(f"{source}: weights {name} do not fit half precision; export without --quantize")
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.producer_name = "sese fp16"
    onnx.save(model, target)


def int8_matrices(source: Path, target: Path) -> None:
    """Quantise the weights of every matrix product.

    Each level gets its own weights, since a slice cannot share the scale of the whole.
    """
    from onnxruntime.quantization import quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        sliced = Path(folder) / "sliced.onnx"
        options = session_options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(sliced)  # has the weights of each level
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        logger = logging.getLogger()
        level = logger.level
        logger.setLevel(logging.ERROR)  # it advises steps that were taken above
        try:
            quantize_dynamic(
                sliced,
                target,
                op_types_to_quantize=list(MATRICES),
                per_channel=True,
                extra_options={"EnableSubgraph": True},
            )
        finally:
            logger.setLevel(level)


KINDS: dict[str, Callable[[Path, Path], None]] = {"fp16": half_weights, "int8": int8_matrices}


def compare(
    quantised: Path, original: Path, pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> list[Compared]:
    """Time and score two files at every level.

    Args:
        quantised: Model file.
        original: Model file in float32.
        pairs: Clean and noisy speech ``[time]`` at 16 kHz.
    """
    from sese.evaluation.metrics import pesq_wb
    from sese.evaluation.pairs import SAMPLE_RATE

    card = open_artefact(original).card
    names = [level_name(card, index) for index in range(len(card.levels))]
    tell(f"timing {len(names)} levels")
    times = [times_of(quantised, original, frames) for frames in ROUNDS]
    results = []
    for name, streaming, files in zip(names, *times, strict=True):
        tell(f"scoring level {name} on {len(pairs)} clips")
        scores = []
        for path in (quantised, original):
            enhancer = Enhancer(path, f"fixed:{name}")
            scores.append(
                np.mean([pesq_wb(c, enhancer.enhance(n, SAMPLE_RATE), SAMPLE_RATE) for c, n in pairs])
            )
        results.append(Compared(name, streaming, files, float(scores[1] - scores[0])))
    return results


def times_of(quantised: Path, original: Path, frames: int) -> list[float]:
    """Measure the CPU time of a call at each level, as a multiple of the float32 file's.

    The multiple is the ratio of medians. The float32 file is opened twice and the slower session counts,
    since two sessions of one file differ by a tenth.

    Args:
        quantised: Model file.
        original: Model file in float32.
        frames: Frames of a call, a key of `ROUNDS`.
    """
    steps = [Step(open_artefact(path), 1) for path in (quantised, original, original)]
    card, calls = open_artefact(original).card, max(1, CALLS // frames)
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, frames * card.hop_length)).astype(np.float32)
    ratios = []
    for level in range(len(card.levels)):
        taken: list[list[float]] = [[], [], []]
        for _ in range(ROUNDS[frames]):
            for which in random.sample(range(3), 3):  # so that none is always the last
                steps[which](audio, level)
                started = time.process_time()
                for _ in range(calls):
                    steps[which](audio, level)
                taken[which].append(time.process_time() - started)
        ours, *theirs = map(statistics.median, taken)
        ratios.append(ours / max(theirs))
    return ratios


def as_table(levels: list[Compared], clips: int) -> str:
    """Return the measurements as Markdown.

    Args:
        levels: Results of each level.
        clips: Number of clips that were scored.

    Example:
        >>> print(as_table([Compared("1", 0.98, 1.01, 0.002)], 20).splitlines()[-1])
        | 1 | 0.98 | 1.01 | +0.002 |  |
    """
    header = ["level", "time of a frame", "time in files", "PESQ-WB lost", ""]
    rows = []
    for level in levels:
        verdict = "" if level.accepted else "refused"
        rows.append(
            [level.name, f"{level.streaming:.2f}", f"{level.files:.2f}", f"{level.loss:+.3f}", verdict]
        )
    return "\n".join([f"Against the float32 file, on {clips} clips:", "", *table(header, rows)])
