"""Measure the cost of a model on this machine: time of a frame, time of a file, memory, at each budget.

Levels are timed in turn, a few frames each, so that a machine whose speed drifts slows all of them alike, and
yet each runs with its weights in the processor's cache, as it does where a level lasts.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import sese
from sese.core.errors import InputError
from sese.core.processors import available_cores
from sese.core.tables import NOTHING, table
from sese.evaluation.results import FileTimes, LevelProfile, Profile
from sese.evaluation.scoring import Budget, label, macs_of
from sese.evaluation.suite import default_budgets
from sese.runtime.budget import Fixed, level_name, parse_budget
from sese.runtime.card import Card

ROUNDS = 1000
RUN = 20  # frames of a stream at a time; as many before the clock runs
FILE_SECONDS, FILE_ROUNDS = 10, 5
NUMBERS = (0.3, 0.125)  # budgets beside the levels, where the model has a level within
SPEECH = Path(sese.__file__).parent / "export" / "noisy_speech.flac"

PEAK = """
import sys
import numpy as np
{open}
try:
    with open("/proc/self/status") as status:  # a process begins with its parent's peak in getrusage
        print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)
"""
OPEN = """
import sese
stream = sese.load(sys.argv[1], budget=1.0).stream()
stream.feed(np.zeros(stream.sample_rate, np.float32))
"""


def profile(model: str, rounds: int = ROUNDS) -> Profile:
    """Time a model at each of its levels, its router where it has one, and at numbers, with one thread.

    A number that runs one level has the row of that level.

    Args:
        model: name, folder or `.onnx` file.
        rounds: frames timed at each budget, streaming.

    Returns:
        Times of each budget for streams and for files of 10 s, and peak memory; see `Profile`.

    Raises:
        InputError: no such model, or `rounds` below 1.
    """
    if rounds < 1:
        raise InputError(f"--rounds: {rounds} frames asked for; give 1 or more")
    enhancer = sese.load(model)
    card = enhancer.card
    audio = noisy_speech(card.sample_rate)
    budgets = profile_budgets(card)
    rules = [parse_budget(card, budget) for budget in budgets]
    timed = {rule: budget for rule, budget in reversed(list(zip(rules, budgets, strict=True)))}
    streams = [enhancer.stream(budget=budget, trace_seconds=None) for budget in timed.values()]
    times = dict(zip(timed, time_frames(streams, audio, card.hop_length, rounds), strict=True))
    stream_of = dict(zip(timed, streams, strict=True))
    file_audio = np.resize(audio, FILE_SECONDS * card.sample_rate)
    files = dict(zip(timed, _time_files(enhancer, list(timed.values()), file_audio), strict=True))
    frame_s = card.hop_length / card.sample_rate
    levels: list[LevelProfile] = []
    for budget, rule in zip(budgets, rules, strict=True):
        stream = stream_of[rule]
        median, p95, p99 = np.percentile(times[rule], (50, 95, 99))
        level = rule.level if isinstance(rule, Fixed) else None
        levels.append(
            {
                "level": label(budget),
                "runs": None if level is None else level_name(card, level),
                "utilization": float(stream.utilization),
                "macs_per_second": macs_of(card, stream.trace, stream.routed),
                "parameters": None if level is None else card.levels[level].parameters,
                "stream": {
                    "median_ms": 1000 * median,
                    "p95_ms": 1000 * p95,
                    "p99_ms": 1000 * p99,
                    "real_time_factor": median / frame_s,
                },
                "file": files[rule],
            }
        )
    return {
        "model": model,
        "machine": machine_facts(),
        "rounds": rounds,
        "frame_ms": 1000 * frame_s,
        "latency_ms": card.latency_ms,
        "memory_bytes": _peak_memory(OPEN, model),
        "bare_memory_bytes": _peak_memory("", model),
        "levels": levels,
    }


def profile_budgets(card: Card) -> list[Budget]:
    """Return every level, the router where there is one, and the numbers that the model can stay within."""
    if card.alternatives or card.gates:
        return default_budgets(card)
    return [*default_budgets(card), *(n for n in NUMBERS if n >= card.levels[0].utilization)]


def to_text(result: Profile) -> str:
    """Return the profile for reading: two tables in Markdown, and how they were measured."""
    machine = result["machine"]
    stream_rows, file_rows = [], []
    for level in result["levels"]:
        stream, file = level["stream"], level["file"]
        stream_rows.append(
            [
                _name(level),
                f"{level['utilization']:.3f}",
                f"{level['macs_per_second'] / 1e6:.1f}",
                NOTHING if level["parameters"] is None else f"{level['parameters']:,}",
                *(f"{stream[key]:.3f}" for key in ("median_ms", "p95_ms", "p99_ms", "real_time_factor")),
            ]
        )
        file_rows.append(
            [
                _name(level),
                f"{file['utilization']:.3f}",
                f"{file['macs_per_second'] / 1e6:.1f}",
                f"{1000 * file['seconds']:.0f}",
                f"{file['real_time_factor']:.4f}",
            ]
        )
    compute = ["budget", "share of compute", "MMAC/s"]
    lines = [
        f"{result['model']} on {machine['cpu']}, {machine['cores']} cores, {machine['system']};"
        f" onnxruntime {machine['onnxruntime']}, one thread",
        "",
        f"Streaming: one frame of {result['frame_ms']:g} ms a call, {result['rounds']} frames at each budget",
        "",
        *table([*compute, "parameters", "median ms", "p95 ms", "p99 ms", "RTF"], stream_rows),
        "",
        f"Files: {FILE_SECONDS} s in one call, median of {FILE_ROUNDS}",
        "",
        *table([*compute, "ms", "RTF"], file_rows),
        "",
    ]
    if result["memory_bytes"] is not None and result["bare_memory_bytes"] is not None:
        lines.append(
            f"Peak memory of a process with the model open: {result['memory_bytes'] / 1e6:.0f} MB"
            f" (with NumPy alone: {result['bare_memory_bytes'] / 1e6:.0f} MB)"
        )
    return "\n".join(lines).rstrip() + "\n"


def time_frames(streams: list[Any], audio: np.ndarray, hop: int, rounds: int) -> np.ndarray:
    """Time one frame a call: seconds [stream, round]; the streams take turns of RUN frames."""
    whole = len(audio) // hop
    times = np.zeros((len(streams), rounds))
    for turn, first in enumerate(range(-RUN, rounds, RUN)):
        if first == 0:
            for stream in streams:
                stream.reset()
        for place in range(len(streams)):
            index = (place + turn) % len(streams)  # so that none always comes after the highest level
            for number in range(first, min(first + RUN, rounds)):
                frame = audio[number % whole * hop :][:hop]
                start = perf_counter()
                streams[index].feed(frame)
                times[index, max(number, 0)] = perf_counter() - start
    return times


def _name(level: LevelProfile) -> str:
    """Return the budget of a row, and the level that it runs where its name does not say so."""
    name = level["level"].removeprefix("budget ")
    return name if level["runs"] is None or name.startswith("fixed:") else f"{name} (fixed:{level['runs']})"


def _time_files(enhancer: Any, budgets: list[Budget], audio: np.ndarray) -> list[FileTimes]:
    """Return the median time of enhancing `audio` at each budget, in turn, and the compute that it used."""
    rate = enhancer.card.sample_rate
    streams = [enhancer.stream(rate, budget=budget, trace_seconds=None, latency="high") for budget in budgets]
    times = np.zeros((len(budgets), FILE_ROUNDS))
    for number in range(-1, FILE_ROUNDS):
        for index, stream in enumerate(streams):
            stream.reset()
            start = perf_counter()
            stream.feed(audio)
            stream.flush()
            times[index, max(number, 0)] = perf_counter() - start
    medians = [float(seconds) for seconds in np.median(times, axis=1)]
    return [
        {
            "seconds": seconds,
            "real_time_factor": seconds / FILE_SECONDS,
            "utilization": float(stream.utilization),
            "macs_per_second": macs_of(enhancer.card, stream.trace, stream.routed),
        }
        for seconds, stream in zip(medians, streams, strict=True)
    ]


def noisy_speech(sample_rate: int) -> np.ndarray:
    """Read the noisy speech of the package, float32 [time]: routers decide by the sound."""
    import soundfile
    import soxr

    audio, rate = soundfile.read(SPEECH, dtype="float32")
    return audio if rate == sample_rate else soxr.resample(audio, rate, sample_rate)


def _peak_memory(opening: str, model: str) -> int | None:
    """Return the most bytes that a fresh process held; None on systems that do not tell."""
    command = [sys.executable, "-c", PEAK.format(open=opening), model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else None


def machine_facts() -> dict[str, Any]:
    """Return the processor, its cores, the system, and versions of Python, ONNX Runtime and sese."""
    import onnxruntime

    return {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "sese": sese.__version__,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "an unnamed processor"
