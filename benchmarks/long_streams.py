"""Test long streams and many streams at a time: memory, delay, values and speed from hour to hour.

    python benchmarks/long_streams.py day --hours 24       # one stream: speech, hiss, tones, silence,
    denormals python benchmarks/long_streams.py crowd --streams 100  # bursts and stalls from four threads
    python benchmarks/long_streams.py dial --minutes 60    # random changes of the budget: clicks?

The tests run faster than real time. They print a table and exit with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import sese
from resident_memory import resident_kb
from sese.core.tables import row, table

EXAMPLE = Path(__file__).parents[1] / "examples" / "playground.wav"
RATE = 16000


def main() -> int:
    """Run one of the tests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", choices=("day", "crowd", "dial"))
    parser.add_argument("--model")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rate", type=int, default=RATE, help="of the day's stream, Hz")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    problems = {"day": day, "crowd": crowd, "dial": dial}[options.trial](options)
    for problem in problems:
        print("PROBLEM", problem)
    return bool(problems)


def day(options: argparse.Namespace) -> list[str]:
    """Run one stream for a day, and return what failed."""
    problems: list[str] = []
    rate = options.rate
    stream = sese.load(options.model, budget="auto").stream(rate)
    rng = np.random.default_rng(options.seed)
    fed = given = 0
    speeds: list[float] = []
    sizes: list[float] = []
    names = ["hour", "resident, MB", "samples behind", "real-time factor", "share of compute"]
    print("\n".join(table(names, [])))
    blocks = 12  # a row each, printed when it is there: a day takes long
    for _ in range(blocks):
        begun, seconds, before = time.process_time(), options.hours * 3600 / blocks, fed
        for chunk in weather(rng, seconds, rate):
            ready = stream.feed(chunk)
            fed, given = fed + len(chunk), given + len(ready)
            if not np.isfinite(ready).all() or np.abs(ready).max(initial=0.0) > 2:
                problems.append(f"values in hour {fed / rate / 3600:.2f}")
            if fed - given > stream.latency_samples:
                problems.append(f"{fed - given} samples behind in hour {fed / rate / 3600:.2f}")
        speeds.append((time.process_time() - begun) * rate / (fed - before))
        sizes.append(resident_kb() * 1024 / 1e6)
        behind, used = fed - given, float(stream.trace.mean())
        hours = f"{fed / rate / 3600:.1f}"
        print(row([hours, f"{sizes[-1]:.0f}", str(behind), f"{speeds[-1]:.4f}", f"{used:.2f}"]), flush=True)
    # A model forgets slowly (levels, recurrent states), so the two get five minutes to agree.
    speech = np.resize(soundfile.read(EXAMPLE, dtype="float32")[0], 300 * rate)
    fresh = sese.load(options.model, budget="auto").stream(rate)
    pause = np.zeros(-fed % (16 * rate), np.float32)  # so that frames lie on the speech as they do at a start
    given += len(stream.feed(pause))
    fed += len(pause) + len(speech)
    late, early = [np.concatenate([one.feed(speech), one.flush()]) for one in (stream, fresh)]
    given += len(late)
    aged = np.abs(late[-4 * rate :] - early[-4 * rate :]).max()
    print(f"the same {len(speech) / rate:.0f} s in a fresh stream: its last 4 s differ by {aged:.1e}")
    if aged > 1e-2:
        problems.append(f"after a day speech comes out otherwise, by {aged:.4f}")
    if given != fed:
        problems.append(f"{given} samples out of {fed}")
    if sizes[-1] > 1.02 * sizes[0] + 2:
        problems.append(f"memory grew from {sizes[0]:.0f} to {sizes[-1]:.0f} MB")
    quiet = silence_factor(options.model)
    print(f"time for silence and for denormals, times that for speech: {quiet[0]:.2f}, {quiet[1]:.2f}")
    if max(quiet) > 1.5:
        problems.append("silence or denormals run slowly")
    return problems[:20]


def weather(rng: np.random.Generator, seconds: float, rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield chunks of 10 to 400 ms: minutes of speech, hiss, a tone, silence and denormals in turn."""
    speech = soundfile.read(EXAMPLE, dtype="float32")[0]
    left = round(seconds * rate)
    while left > 0:
        stretch = min(left, int(rng.integers(10, 120)) * rate)
        left -= stretch
        kind, place = rng.integers(5), 0
        while stretch > 0:
            size = min(stretch, int(rng.integers(160, 6400)))
            stretch -= size
            if kind == 0:
                chunk = np.take(speech, np.arange(place, place + size), mode="wrap")
                place += size
            elif kind == 1:
                chunk = rng.standard_normal(size).astype(np.float32) * np.float32(0.1)
            elif kind == 2:
                chunk = (0.3 * np.sin(2 * np.pi * 440 * (place + np.arange(size)) / rate)).astype(np.float32)
                place += size
            else:
                chunk = np.full(size, 0.0 if kind == 3 else 1e-41, np.float32)
            yield chunk


def silence_factor(model: str | None) -> tuple[float, float]:
    """Return the time of silence and of denormals that follow speech, as multiples of the time of speech."""
    speech = soundfile.read(EXAMPLE, dtype="float32")[0][: 8 * RATE]
    times = []
    for signal in (speech, np.zeros_like(speech), np.full_like(speech, 1e-41)):
        rounds = []
        for _ in range(7):
            stream = sese.load(model, budget=1.0).stream(RATE)
            stream.feed(speech)
            begun = time.thread_time()
            stream.feed(signal)
            rounds.append(time.thread_time() - begun)
        times.append(min(rounds))
    return times[1] / times[0], times[2] / times[0]


def crowd(options: argparse.Namespace) -> list[str]:
    """Run many streams of one model, each fed in bursts from one of four threads, and return what failed."""
    enhancer = sese.load(options.model, budget=0.3)
    speech = soundfile.read(EXAMPLE, dtype="float32")[0]
    rng = np.random.default_rng(options.seed)
    shifts = rng.integers(len(speech), size=options.streams)
    signals = [np.roll(speech, shift)[: 4 * RATE] for shift in shifts]
    made: list[NDArray] = [np.empty(0, np.float32)] * options.streams

    def feeder(numbers: list[int], seed: int) -> None:
        own = np.random.default_rng(seed)
        streams = {number: enhancer.stream(RATE) for number in numbers}
        places, pieces = dict.fromkeys(numbers, 0), {number: [] for number in numbers}  # type: ignore[var-annotated]
        while open_ones := [n for n in numbers if places[n] < len(signals[n])]:
            number = int(own.choice(open_ones))
            size = int(own.choice((1, 37, 256, 1600, 16000)))  # a stall is a long burst for what waited
            pieces[number].append(
                streams[number].feed(signals[number][places[number] : places[number] + size])
            )
            places[number] += size
        for number in numbers:
            pieces[number].append(streams[number].flush())
            made[number] = np.concatenate(pieces[number])

    threads = [
        threading.Thread(target=feeder, args=(list(range(first, options.streams, 4)), first))
        for first in range(4)
    ]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    worst = 0.0
    for signal, enhanced in zip(signals, made, strict=True):
        alone = enhancer.stream(RATE)
        expected = np.concatenate([alone.feed(signal), alone.flush()])
        if len(expected) != len(enhanced):
            return [f"{len(enhanced)} samples came, {len(expected)} alone"]
        worst = max(worst, float(np.abs(expected - enhanced).max()))
    heard = sum(map(len, signals)) / RATE
    print(f"{options.streams} streams, {heard:.0f} s in {seconds:.1f} s; they differ by up to {worst:.1e}")
    return [] if worst < 1e-4 else ["streams disturb each other"]


def dial(options: argparse.Namespace) -> list[str]:
    """Change the budget of a stream at random, and return what failed.

    A click is a corner at the border of two frames. After each change, the second difference at that border
    is compared with that of the stream that stays at the same level. As a control, the streams of the levels
    are cut together at the same changes, which has corners.
    """
    enhancer = sese.load(options.model)
    budgets = [f"fixed:{level.utilization:g}" for level in enhancer.card.levels]
    rng = np.random.default_rng(options.seed)
    speech = soundfile.read(EXAMPLE, dtype="float32")[0]
    hop = enhancer.card.hop_length
    turned, steady = enhancer.stream(RATE), [enhancer.stream(RATE, budget=budget) for budget in budgets]
    level = before = len(budgets) - 1
    turned.budget = budgets[level]
    turns = frames = 0
    corners = np.zeros(3)  # squares: turned, cut together, the level's own
    ends = [np.zeros(2, np.float32)] * (1 + len(steady))
    for _ in range(round(options.minutes * 60 * RATE / len(speech))):
        for start in range(0, len(speech) - hop + 1, hop):
            if rng.random() < 0.2:
                level = int(rng.integers(len(budgets)))
                turned.budget = budgets[level]
            outs = [stream.feed(speech[start : start + hop]) for stream in (turned, *steady)]
            if level != before:
                turns += 1
                pairs = (
                    (ends[0], outs[0]),
                    (ends[1 + before], outs[1 + level]),
                    (ends[1 + level], outs[1 + level]),
                )
                corners += [
                    np.square(np.diff(np.concatenate([left, right[:2]]), 2)).sum() for left, right in pairs
                ]
            ends, before = [out[-2:] for out in outs], level
            frames += 1
    own, cut = np.sqrt(corners[:2] / corners[2])
    print(
        f"{turns} turns in {frames} frames; corners there, times those of a steady stream: "
        f"{own:.3f} turned, {cut:.3f} cut together"
    )
    return [f"corners are {own:.2f} times as sharp"] if own > 1.04 or own >= cut else []


if __name__ == "__main__":
    sys.exit(main())
