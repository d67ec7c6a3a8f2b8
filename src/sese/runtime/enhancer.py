"""Enhancing arrays, streams and files with one model."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.artefact import Artefact, Card, open_artefact
from sese.runtime.band_above import FOLLOW
from sese.runtime.batch import Batch
from sese.runtime.budget import Budget, highest_level, parse_budget
from sese.runtime.deadline import require_max_rtf
from sese.runtime.file import Report, enhance_file
from sese.runtime.framing import HIGHEST_CHANNELS
from sese.runtime.rates import Latency, require_rate
from sese.runtime.stream import TRACE_SECONDS, Stream


class Enhancer:
    """A model with a budget and limits.

    Args:
        model: Name of a bundled model, a model folder, or an ``.onnx`` file; None for the default model.
        budget: Who decides how much runs in each frame.

            - A number, from the utilization of the model's lowest level to 1: with a router in the model,
              the mean utilization that it holds; without one, the dearest level within it always runs. 1
              always runs everything.
            - ``"auto"``: the router decides freely.
            - ``"fixed:0.25"``: the level of this utilization always runs; ``"fixed:2"`` the second expert, in
              a model whose levels are experts of equal cost: there 1 lets its gate pick one.
            - ``"threshold"``, ``"threshold:DB"``: a running estimate of the SNR decides, see
              `sese.runtime.threshold`; more dB, more compute.
        max_mmacs: No frame runs a level that costs more million MACs a second of one channel; None for no
            limit.
        max_rtf: Time that a frame may take in the model, as a multiple of its duration, above 0. When frames
            run late, dearer levels are left out until there is time again, see `sese.runtime.deadline`. None
            for no limit.

    Raises:
        InputError: The model cannot be found or opened, has no such budget, or cannot keep the limits.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        budget: Budget = 1.0,
        *,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
    ) -> None:
        self.artefact: Artefact = open_artefact(model)
        self.budget, self.max_mmacs, self.max_rtf = budget, max_mmacs, require_max_rtf(max_rtf)
        parse_budget(self.card, budget)
        highest_level(self.card, max_mmacs)

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
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        mix: float = 1.0,
        max_attenuation_db: float | None = None,
        trace_seconds: float | None = TRACE_SECONDS,
        latency: Latency = "low",
        band_above: str = FOLLOW,
        linked: bool = True,
    ) -> Stream:
        """A stream of its own state; any number may run side by side, in threads of their own.

        Args:
            sample_rate: In Hz, 8000 to 192000; None for the model's own.
            channels: Number of channels, enhanced side by side.
            budget: See `Enhancer`; None for the budget of this enhancer.
            max_mmacs: See `Enhancer`; None for the limit of this enhancer.
            max_rtf: See `Enhancer`; None for the limit of this enhancer.
            mix: See `enhance`.
            max_attenuation_db: See `enhance`.
            trace_seconds: How much of the signal `Stream.trace` reaches back; None for all.
            latency: ``"low"`` for live signals, ``"high"`` for the resampling filters that files have; of no
                effect at the model's rate.
            band_above: See `enhance`.
            linked: See `enhance`.

        Raises:
            InputError: An argument cannot be used.
        """
        return Stream(
            self.artefact,
            self.budget if budget is None else budget,
            sample_rate,
            channels,
            wet_share(mix, max_attenuation_db),
            max_mmacs=self.max_mmacs if max_mmacs is None else max_mmacs,
            max_rtf=self.max_rtf if max_rtf is None else max_rtf,
            trace_seconds=trace_seconds,
            latency=latency,
            band_above=band_above,
            linked=linked,
        )

    def batch(self) -> Batch:
        """Many streams that are enhanced together, for servers, within this enhancer's `max_mmacs`.

        Raises:
            InputError: This enhancer has `max_rtf`, which streams that run together cannot keep.
        """
        if self.max_rtf is not None:
            raise InputError("max_rtf is for single streams; open the model without it for a batch")
        return Batch(self.artefact, self.budget, max_mmacs=self.max_mmacs)

    def enhance(
        self,
        audio: NDArray[Any],
        sample_rate: int,
        *,
        budget: Budget | None = None,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        mix: float = 1.0,
        max_attenuation_db: float | None = None,
        band_above: str = FOLLOW,
        linked: bool = True,
    ) -> NDArray[Any]:
        """Enhance an array.

        Args:
            audio: Floating point samples, ``[time]`` or ``[channel, time]``, full scale being [-1, 1].
            sample_rate: In Hz, 8000 to 192000.
            budget: See `Enhancer`; None for the budget of this enhancer.
            max_mmacs: See `Enhancer`; None for the limit of this enhancer.
            max_rtf: See `Enhancer`; None for the limit of this enhancer.
            mix: 0 returns the input, 1 the enhanced audio, sample-aligned in between.
            max_attenuation_db: Most that anything may be attenuated by, in dB, at least 0; None for no limit.
            band_above: What becomes of frequencies above the model's band. ``"follow"``: kept, attenuated by
                the gain that the model has in the upper part of its band. ``"drop"``: dropped.
            linked: Whether all channels have one level in each frame, and one gain above the model's band, so
                that the stereo image stays there. False: each is enhanced as if it came alone.

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
        rate = require_rate(sample_rate)
        stream = self.stream(
            rate,
            1 if audio.ndim == 1 else audio.shape[0],
            budget,
            max_mmacs=max_mmacs,
            max_rtf=max_rtf,
            mix=mix,
            max_attenuation_db=max_attenuation_db,
            latency="high",
            band_above=band_above,
            linked=linked,
        )
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
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        mix: float = 1.0,
        max_attenuation_db: float | None = None,
        band_above: str = FOLLOW,
        linked: bool = True,
        trace: str | os.PathLike[str] | None = None,
        force: bool = False,
        progress: Callable[[float], object] | None = None,
    ) -> Report:
        """Enhance a file, block by block, into one of the same rate, channels, length, subtype and tags.

        Args:
            source: Any audio file that libsndfile reads.
            target: Where to write; appears when it is complete. Never the source itself.
            budget: See `Enhancer`; None for the budget of this enhancer.
            max_mmacs: See `Enhancer`; None for the limit of this enhancer.
            max_rtf: See `Enhancer`; None for the limit of this enhancer.
            mix: See `enhance`.
            max_attenuation_db: See `enhance`.
            band_above: See `enhance`.
            linked: See `enhance`.
            trace: File for what each frame used, ``.csv`` or ``.json``, see
                `sese.runtime.trace.write_trace`; None for none.
            force: Replace an existing `target` and `trace`.
            progress: Called with the seconds of audio read so far.

        Raises:
            InputError: A file or an argument cannot be used.
        """

        def make(sample_rate: int, channels: int) -> Stream:
            return self.stream(
                sample_rate,
                channels,
                budget,
                max_mmacs=max_mmacs,
                max_rtf=max_rtf,
                mix=mix,
                max_attenuation_db=max_attenuation_db,
                trace_seconds=TRACE_SECONDS if trace is None else None,
                latency="high",
                band_above=band_above,
                linked=linked,
            )

        return enhance_file(make, source, target, trace=trace, force=force, progress=progress)


def opened(model: str | os.PathLike[str] | None = None) -> Enhancer:
    """An enhancer with the full budget; the same one for the same `model`."""
    return _opened(None if model is None else os.fspath(model))


@lru_cache(maxsize=2)
def _opened(model: str | None) -> Enhancer:
    return Enhancer(model)


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
