"""Enhancing arrays, streams and files with one model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.audio.files import probe, read_blocks
from sese.audio.writer import AtomicWriter
from sese.errors import InputError
from sese.runtime.artefact import ROUTER, Artefact, Card, open_artefact
from sese.runtime.stream import HIGHEST_CHANNELS, Stream, require_rate

Budget = float | str


@dataclass(frozen=True)
class Report:
    """What was done to a file. `seconds` is the audio's length; `level` counts from 0, -1 is the router."""

    input: str
    output: str
    seconds: float
    processing_seconds: float
    real_time_factor: float
    utilization: float
    budget: Budget
    level: int
    sample_rate: int
    channels: int
    clipped_samples: int


class Enhancer:
    """A model with a budget.

    Args:
        model: Name of a bundled model, a model folder, or an ``.onnx`` file; None for the default model.
        budget: Share of the compute that may be used, from the utilization of the model's lowest level to
            1: the dearest level within it is run. ``"auto"`` lets the router inside the model decide.

    Raises:
        InputError: The model cannot be found or opened, or has no such budget.
    """

    def __init__(self, model: str | os.PathLike[str] | None = None, budget: Budget = 1.0) -> None:
        self.artefact: Artefact = open_artefact(model)
        self.budget = budget
        choose_level(self.card, budget)

    @property
    def card(self) -> Card:
        """The facts about the model: its rate, latency, levels, licences."""
        return self.artefact.card

    def stream(
        self,
        sample_rate: int | None = None,
        channels: int = 1,
        budget: Budget | None = None,
        *,
        mix: float = 1.0,
        max_attenuation_db: float | None = None,
    ) -> Stream:
        """A stream of its own state; any number may run side by side.

        Args:
            sample_rate: In Hz, 8000 to 192000; None for the model's own.
            channels: Number of channels, enhanced independently.
            budget: See `Enhancer`; None for the budget of this enhancer.
            mix: See `enhance`.
            max_attenuation_db: See `enhance`.

        Raises:
            InputError: An argument cannot be used.
        """
        level = choose_level(self.card, self.budget if budget is None else budget)
        return Stream(self.artefact, level, sample_rate, channels, wet_share(mix, max_attenuation_db))

    def enhance(
        self,
        audio: NDArray[Any],
        sample_rate: int,
        *,
        budget: Budget | None = None,
        mix: float = 1.0,
        max_attenuation_db: float | None = None,
    ) -> NDArray[Any]:
        """Enhance an array.

        Args:
            audio: Floating point samples, ``[time]`` or ``[channel, time]``, full scale being [-1, 1].
            sample_rate: In Hz, 8000 to 192000.
            budget: See `Enhancer`; None for the budget of this enhancer.
            mix: 0 returns the input, 1 the enhanced audio, sample-aligned in between.
            max_attenuation_db: Most that anything may be attenuated by, in dB, at least 0; None for no limit.

        Returns:
            Array of the same shape and dtype.

        Raises:
            InputError: An argument cannot be used.
        """
        audio = np.asarray(audio)
        if audio.ndim not in (1, 2) or (audio.ndim == 2 and not 1 <= audio.shape[0] <= HIGHEST_CHANNELS):
            raise InputError(
                f"audio has shape {audio.shape}; give [time], or"
                f" [channel, time] with 1 to {HIGHEST_CHANNELS} channels"
            )
        channels = 1 if audio.ndim == 1 else audio.shape[0]
        rate = require_rate(sample_rate)
        stream = self.stream(rate, channels, budget, mix=mix, max_attenuation_db=max_attenuation_db)
        enhanced = np.empty_like(audio)
        done = 0
        for start in range(0, audio.shape[-1], 10 * rate):  # in pieces, to need little memory besides
            ready = stream.feed(audio[..., start : start + 10 * rate])
            enhanced[..., done : done + ready.shape[-1]] = ready
            done += ready.shape[-1]
        if done < audio.shape[-1]:
            enhanced[..., done:] = stream.flush()
        return enhanced

    def enhance_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        budget: Budget | None = None,
        mix: float = 1.0,
        max_attenuation_db: float | None = None,
        force: bool = False,
        progress: Callable[[float], object] | None = None,
    ) -> Report:
        """Enhance a file, block by block, into one of the same rate, channels, length, subtype and tags.

        Args:
            source: Any audio file that libsndfile reads.
            target: Where to write; appears when it is complete. Never the source itself.
            budget: See `Enhancer`; None for the budget of this enhancer.
            mix: See `enhance`.
            max_attenuation_db: See `enhance`.
            force: Replace an existing `target`.
            progress: Called with the seconds of audio read so far.

        Raises:
            InputError: A file or an argument cannot be used.
        """
        started = perf_counter()
        source, target = Path(source), Path(target)
        require_separate(source, target)
        info = probe(source)
        if target.exists() and not force:
            raise InputError(f"{target} exists; use force (--force) to replace it, or name another output")
        stream = self.stream(
            info.sample_rate, info.channels, budget, mix=mix, max_attenuation_db=max_attenuation_db
        )
        read = 0
        with AtomicWriter(target, info) as writer:
            for block in read_blocks(source, info.sample_rate):
                writer.write(stream.feed(block.T).T)
                read += len(block)
                if progress is not None:
                    progress(read / info.sample_rate)
            writer.write(stream.flush().T)
        spent = perf_counter() - started
        return Report(
            input=str(source),
            output=str(target),
            seconds=read / info.sample_rate,
            processing_seconds=spent,
            real_time_factor=spent * info.sample_rate / read,
            utilization=stream.utilization,
            budget=self.budget if budget is None else budget,
            level=stream.level,
            sample_rate=info.sample_rate,
            channels=info.channels,
            clipped_samples=writer.clipped_samples,
        )


def opened(model: str | os.PathLike[str] | None = None) -> Enhancer:
    """An enhancer with the full budget; the same one for the same `model`."""
    return _opened(None if model is None else os.fspath(model))


@lru_cache(maxsize=2)
def _opened(model: str | None) -> Enhancer:
    return Enhancer(model)


def choose_level(card: Card, budget: Budget) -> int:
    """Index of the dearest level within a budget, or -1 (the router) for ``"auto"``.

    Raises:
        InputError: The budget is no number from the lowest level to 1, or there is no router.
    """
    levels = ", ".join(f"{level.utilization:g}" for level in card.levels)
    if budget == "auto":
        if card.router:
            return ROUTER
        raise InputError(
            f"budget 'auto' needs a router and {card.name} has none; give one of its levels: {levels}"
        )
    try:
        value = float(budget)
    except (TypeError, ValueError):
        value = math.nan
    lowest = card.levels[0].utilization
    slack = 1e-6  # 1/3 as a decimal is to select the level 1/3
    if not lowest - slack <= value <= 1:
        raise InputError(
            f"budget is {budget!r}; give a number from {lowest:g} to 1 (levels of {card.name}: {levels}"
            + ("; or 'auto')" if card.router else ")")
        )
    return max(i for i, level in enumerate(card.levels) if level.utilization <= value + slack)


def wet_share(mix: float, max_attenuation_db: float | None) -> float:
    """Share of the enhanced signal in the output, in [0, 1].

    Limiting the attenuation to D dB means to add back ``10 ** (-D / 20)`` of what was removed.

    Raises:
        InputError: `mix` lies outside [0, 1], or `max_attenuation_db` below 0.
    """
    if not isinstance(mix, int | float | np.number) or not 0 <= mix <= 1:
        raise InputError(f"mix is {mix!r}; give a number from 0 (the input) to 1 (the enhanced audio)")
    if max_attenuation_db is None:
        return float(mix)
    if not isinstance(max_attenuation_db, int | float | np.number) or not max_attenuation_db >= 0:
        raise InputError(f"max_attenuation_db is {max_attenuation_db!r}; give a number of dB from 0 up")
    return float(mix) * (1 - 10 ** (-float(max_attenuation_db) / 20))


def require_separate(source: Path, target: Path) -> None:
    """Raise InputError when two paths are one file, also by links."""
    same = os.path.realpath(source) == os.path.realpath(target)
    if same or (source.exists() and target.exists() and os.path.samefile(source, target)):
        raise InputError(
            f"output {target} is the input itself, which is never overwritten; name another output"
        )
