"""Enhance arrays, streams and files with one model."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.arrays import channels_first
from sese.runtime.artefact import Artefact, open_artefact
from sese.runtime.band_above import AboveChoice
from sese.runtime.batch import Batch
from sese.runtime.budget import Budget
from sese.runtime.card import Card
from sese.runtime.file import Report, enhance_file
from sese.runtime.options import EnhanceOptions
from sese.runtime.rates import Latency, require_rate
from sese.runtime.stream import TRACE_SECONDS, Stream


class Enhancer:
    """A model with a budget and limits.

    It may be used from many threads at a time, pickled, copied, and used in processes that were forked.

    Args:
        model: Name of a bundled model, path of a model folder or of an ``.onnx`` file; None for the default
            model.
        budget: See `sese.EnhanceOptions`; None for 1.
        max_mmacs: See there.
        max_rtf: See there.
        options: Options for everything that is enhanced; the arguments before replace theirs.

    Attributes:
        artefact: The opened model.
        options: Options where a call gives no others.

    Raises:
        InputError: The model cannot be found or opened, has no such budget, or cannot keep the limits.

    Example:
        >>> import sese
        >>> sese.Enhancer("sese-2", budget="balanced")
        Enhancer('sese-2', budget='balanced')
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        *,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        options: EnhanceOptions | None = None,
    ) -> None:
        changes = {"budget": budget, "max_mmacs": max_mmacs, "max_rtf": max_rtf}
        self.options = (options or EnhanceOptions()).replaced(**changes)
        self.artefact: Artefact = open_artefact(model)
        self.options.check(self.card)

    def __repr__(self) -> str:
        return f"Enhancer({self.artefact.place!r}, {self.options})"

    @property
    def card(self) -> Card:
        """Facts about the model: its sample rate, latency, levels and licences."""
        return self.artefact.card

    @property
    def budget(self) -> Budget:
        """Budget where a call gives no other."""
        return self.options.budget

    @property
    def max_mmacs(self) -> float | None:
        """Limit of a frame's cost where a call gives no other."""
        return self.options.max_mmacs

    @property
    def max_rtf(self) -> float | None:
        """Limit of a frame's time where a call gives no other."""
        return self.options.max_rtf

    def stream(
        self,
        sample_rate: int | None = None,
        channels: int = 1,
        budget: Budget | None = None,
        *,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        mix: float | None = None,
        max_attenuation_db: float | None = None,
        trace_seconds: float | None = TRACE_SECONDS,
        latency: Latency = "low",
        band_above: AboveChoice | None = None,
        linked: bool | None = None,
    ) -> Stream:
        """Open a stream with a state of its own; any number may run side by side, in threads of their own.

        Args:
            sample_rate: Sample rate of the signal in Hz, 8000 to 192000; None for the model's own.
            channels: Number of channels, enhanced side by side.
            budget: See `sese.EnhanceOptions`, as for all arguments that are not described here; None for
                the value in the options of this enhancer.
            max_mmacs: See there.
            max_rtf: See there.
            mix: See there.
            max_attenuation_db: See there.
            trace_seconds: Length of the signal's end that `Stream.trace` covers; None for all of it.
            latency: ``"low"`` for live signals, ``"high"`` for the resampling filters that files have; no
                difference at the model's sample rate.
            band_above: See `sese.EnhanceOptions`.
            linked: See there.

        Raises:
            InputError: An argument cannot be used.

        Example:
            >>> import numpy as np, sese
            >>> stream = sese.load("sese-2").stream(48000)
            >>> chunk = np.zeros(480, np.float32)  # 10 ms from a microphone
            >>> ready = stream.feed(chunk)  # the samples that are ready, possibly none
            >>> rest = stream.flush()
            >>> len(ready) + len(rest)
            480
        """
        options = self.options.replaced(
            budget=budget,
            max_mmacs=max_mmacs,
            max_rtf=max_rtf,
            mix=mix,
            max_attenuation_db=max_attenuation_db,
            band_above=band_above,
            linked=linked,
        )
        return Stream(
            self.artefact, options, sample_rate, channels, trace_seconds=trace_seconds, latency=latency
        )

    def batch(self) -> Batch:
        """Open a batch of streams that are enhanced together, for servers, within `max_mmacs`.

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
        channels_last: bool | None = None,
        budget: Budget | None = None,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        mix: float | None = None,
        max_attenuation_db: float | None = None,
        band_above: AboveChoice | None = None,
        linked: bool | None = None,
    ) -> NDArray[Any]:
        """Enhance an array.

        Args:
            audio: Floating point samples in [-1, 1], ``[time]`` or ``[channel, time]``.
            sample_rate: Sample rate in Hz, 8000 to 192000.
            channels_last: True for audio as soundfile reads it, ``[time, channel]``. None refuses an array
                with more channels than samples; False takes it.
            budget: See `sese.EnhanceOptions`, as for all arguments after it; None for the value in the
                options of this enhancer.
            max_mmacs: See there.
            max_rtf: See there.
            mix: See there.
            max_attenuation_db: See there.
            band_above: See there.
            linked: See there.

        Returns:
            Array of the same shape and dtype.

        Raises:
            InputError: An argument cannot be used.

        Example:
            >>> import numpy as np, sese
            >>> enhancer = sese.load("sese-2")
            >>> stereo = np.zeros((16000, 2), np.float32)  # as soundfile.read gives it
            >>> enhancer.enhance(stereo, 16000, channels_last=True).shape
            (16000, 2)
        """
        signal = channels_first(audio, channels_last)
        rate = require_rate(sample_rate)
        stream = self.stream(
            rate,
            1 if signal.ndim == 1 else signal.shape[0],
            budget,
            max_mmacs=max_mmacs,
            max_rtf=max_rtf,
            mix=mix,
            max_attenuation_db=max_attenuation_db,
            latency="high",
            band_above=band_above,
            linked=linked,
        )
        whole = np.empty_like(audio)
        enhanced = whole.T if channels_last else whole
        done = 0
        for start in range(0, signal.shape[-1], 10 * rate):  # in pieces, to need little memory besides
            ready = stream.feed(signal[..., start : start + 10 * rate])
            enhanced[..., done : done + ready.shape[-1]] = ready
            done += ready.shape[-1]
        if done < signal.shape[-1]:
            enhanced[..., done:] = stream.flush()
        return whole

    def enhance_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        budget: Budget | None = None,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        mix: float | None = None,
        max_attenuation_db: float | None = None,
        band_above: AboveChoice | None = None,
        linked: bool | None = None,
        trace: str | os.PathLike[str] | None = None,
        force: bool = False,
        progress: Callable[[float], object] | None = None,
    ) -> Report:
        """Enhance a file, block by block, into one of the same rate, channels, length, subtype and tags.

        Args:
            source: Audio file of any kind that libsndfile reads.
            target: File to write; it appears when it is complete. Never the source itself.
            budget: See `sese.EnhanceOptions`, as for the arguments up to `linked`; None for the value in
                the options of this enhancer.
            max_mmacs: See there.
            max_rtf: See there.
            mix: See there.
            max_attenuation_db: See there.
            band_above: See there.
            linked: See there.
            trace: File for the share of compute of each frame, ``.csv`` or ``.json``, see
                `sese.runtime.trace.write_trace`; None for none.
            force: Replace an existing `target` and `trace`.
            progress: Called with the seconds of audio read so far.

        Raises:
            InputError: A file or an argument cannot be used.
        """
        options = self.options.replaced(
            budget=budget,
            max_mmacs=max_mmacs,
            max_rtf=max_rtf,
            mix=mix,
            max_attenuation_db=max_attenuation_db,
            band_above=band_above,
            linked=linked,
        )
        return enhance_file(
            self.artefact, source, target, options, trace=trace, force=force, progress=progress
        )


def opened(model: str | os.PathLike[str] | None = None) -> Enhancer:
    """Return an enhancer with the full budget, the same one for the same `model`."""
    return _opened(None if model is None else os.fspath(model))


@lru_cache(maxsize=2)
def _opened(model: str | None) -> Enhancer:
    return Enhancer(model)
