"""Draw the cases of the properties: signals, and ways to cut them into chunks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import strategies as st

from sese.runtime.artefact import Artefact, open_artefact

SPEECH = Path(__file__).parents[2] / "examples" / "playground.wav"
KINDS = ("noise", "bursts", "speech", "tone", "impulse", "constant", "silence", "faint", "full scale")

seeds = st.integers(0, 2**32 - 1)
rates = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]) | st.integers(8000, 192000)


@cache
def opened(name: str) -> Artefact:
    """A bundled model, opened once."""
    return open_artefact(name)


@cache
def speech() -> np.ndarray:
    """``[time]`` at 16 kHz: someone who speaks on a playground."""
    return soundfile.read(SPEECH, dtype="float32")[0]


def made(kind: str, seed: int, channels: int, time: int) -> np.ndarray:
    """A signal ``[channel, time]`` float32 in [-1, 1]."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.1, (channels, time)).clip(-1, 1)
    at = np.arange(time)
    pitch = rng.uniform(0.002, 0.4, (channels, 1))
    start = int(rng.integers(0, len(speech()) - 1))
    signal = {
        "noise": noise,
        "bursts": noise * 10 ** rng.uniform(-4, 0.5, (1, time // 500 + 1)).repeat(500, 1)[:, :time],
        "speech": np.stack(
            [np.roll(np.resize(speech(), time + start)[start:], 3 * c) for c in range(channels)]
        ),
        "tone": 0.7 * np.sin(2 * np.pi * pitch * at),
        "impulse": (at == int(rng.integers(0, max(time, 1)))) * 0.9 * np.ones((channels, 1)),
        "constant": np.full((channels, time), rng.uniform(-1, 1)),
        "silence": np.zeros((channels, time)),
        "faint": 1e-39 * noise,  # below what a normal float32 can hold
        "full scale": np.sign(noise),
    }[kind]
    return signal.clip(-1, 1).astype(np.float32)


@st.composite
def chunkings(draw: st.DrawFn) -> tuple[int, ...]:
    """Sizes of chunks, over and over: one sample each, frames, empty ones, all at once, any."""
    return draw(
        st.sampled_from([(1,), (256,), (255, 257, 0), (1 << 20,), (0, 1, 3000)])
        | st.lists(st.integers(0, 2000), min_size=1, max_size=6)
        .filter(lambda sizes: sum(sizes) > 20)
        .map(tuple)
    )


def cut(time: int, sizes: tuple[int, ...]) -> Iterator[slice]:
    """Chunks of these sizes, over and over, up to `time`."""
    start, turn = 0, 0
    while start < time:
        stop = min(start + sizes[turn % len(sizes)], time)
        yield slice(start, stop)
        start, turn = stop, turn + 1
