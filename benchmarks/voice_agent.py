"""Measure what cleaning costs a voice agent: processor time, how long the event loop waits, and the delay.

    sese data mix CORPUS TALKS --activity 0.4 --clips 64 --seconds 12 --snr -5 20 --seed 11
    python benchmarks/voice_agent.py TALKS

Each clip of TALKS (`noisy/*.wav`) counts as a turn of the user. It is sent in chunks of 20 ms through
`PcmStream`, as `SeseFilter` does, with each budget: in the event loop itself, and in a thread. The cost is
the processor time of the whole process; the loop is busy for the processor time of its own thread.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer

from exit_codes import exit_code
from sese.core.errors import InputError
from sese.integrations.pcm import PcmStream
from sese.runtime.enhancer import Enhancer

RATE, CHUNK_SECONDS = 16000, 0.02
BUDGETS = ["1", "balanced", "auto"]
WAYS = ("in the loop", "in a thread")


async def turn(chunks: list[bytes], filter: Callable[[bytes], Awaitable[bytes]]) -> tuple[float, float]:
    """Send chunks through a filter; return the processor time of the process, and of the loop, in seconds."""
    started = time.process_time(), time.thread_time()
    for chunk in chunks:
        await filter(chunk)
    return time.process_time() - started[0], time.thread_time() - started[1]


def filters(stream: PcmStream) -> dict[str, Callable[[bytes], Awaitable[bytes]]]:
    """Return the ways to call a stream."""

    async def inside(chunk: bytes) -> bytes:
        return stream(chunk)

    async def in_thread(chunk: bytes) -> bytes:
        return await asyncio.to_thread(stream, chunk)

    return dict(zip(WAYS, (inside, in_thread), strict=True))


def main(
    talks: Annotated[Path, typer.Argument(help="Folder with noisy/*.wav at 16 kHz.")],
    model: Annotated[str, typer.Option(help="Model.")] = "sese-2",
    budget: Annotated[list[str], typer.Option(help="Budgets.")] = BUDGETS,
    clips: Annotated[int, typer.Option(help="Most clips to use.")] = 8,
) -> None:
    """Print the cost of a second of the user's audio, and of each chunk, by budget and way."""
    paths = sorted((talks / "noisy").glob("*.wav"))[:clips]
    if not paths:
        raise InputError(f"{talks} has no noisy/*.wav; make it with `sese data mix`")
    size = 2 * round(RATE * CHUNK_SECONDS)
    turns = []
    for path in paths:
        pcm = soundfile.read(path, dtype="int16")[0].tobytes()
        turns.append([pcm[at : at + size] for at in range(0, len(pcm), size)])
    print("| budget | | ms a second | ms a chunk | of it in the loop | share of compute | delay, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    enhancers = {
        name: Enhancer(model, float(name) if name.replace(".", "").isdigit() else name) for name in budget
    }
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    used: dict[str, list[float]] = {name: [] for name in budget}
    for chunks in turns:  # all in turn, so that a machine whose speed drifts slows all of them alike
        for name, enhancer in enhancers.items():
            for way in WAYS:
                stream = PcmStream(enhancer, RATE)
                spent = asyncio.run(turn(chunks, filters(stream)[way]))
                taken.setdefault((name, way), []).append(spent)
            used[name].append(stream.utilization)
    for (name, way), spents in taken.items():
        whole, loop = 1000 * np.sum(spents, axis=0) / sum(map(len, turns))
        cells = [name, way, f"{whole / CHUNK_SECONDS:.0f}", f"{whole:.2f}", f"{loop:.2f}"]
        cells += [f"{np.mean(used[name]):.2f}", f"{1000 * stream.latency_samples / RATE:.0f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(help=__doc__)(main)
    sys.exit(exit_code("voice_agent", lambda: app(standalone_mode=False)))
