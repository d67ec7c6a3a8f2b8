"""Turn a signal at any rate into whole frames for a model, and the enhanced frames back into a signal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.audio.files import all_finite, require_finite
from sese.core.errors import InputError
from sese.runtime.arrays import HIGHEST_CHANNELS
from sese.runtime.band_above import FOLLOW, LOUDEST, BandAbove
from sese.runtime.card import Card
from sese.runtime.options import EnhanceOptions
from sese.runtime.rates import Latency, longest_wait, require_rate, resampler


class Framing:
    """Bring one signal to a model and back: resampling, division into frames, alignment, the band above.

    For each chunk `take` its frames, have the model enhance them, and `give` them back; at the end call
    `finish` instead of `take` and `conclude` instead of `give`. The output is as long as the input, aligned
    with it to the sample, and the same for any division into chunks.

    With the band above kept, `sese.runtime.band_above` adds what resampling to the model's rate and back
    loses of the input, with gains of its own. A model that passes everything passes every frequency.

    Args:
        card: Facts about the model.
        options: How to enhance; the mix and the band above matter here.
        sample_rate: Sample rate of the signal in Hz, 8000 to 192000; None for the model's own.
        channels: Number of channels, 1 to 64.
        latency: ``"low"``, short resampling filters, or ``"high"``, long ones.

    Attributes:
        above: Treatment of the band above the model's; None where there is none, or it is dropped.

    Raises:
        InputError: An argument cannot be used.
    """

    def __init__(
        self,
        card: Card,
        options: EnhanceOptions,
        sample_rate: int | None = None,
        channels: int = 1,
        latency: Latency = "low",
    ) -> None:
        self.card = card
        self.sample_rate = require_rate(card.sample_rate if sample_rate is None else sample_rate)
        if not isinstance(channels, int | np.integer) or not 1 <= channels <= HIGHEST_CHANNELS:
            raise InputError(f"channels is {channels!r}; give a whole number from 1 to {HIGHEST_CHANNELS}")
        self.channels, self.wet, self.latency = int(channels), options.wet, latency
        self._flat = self.channels == 1  # whether to return [time], as the last chunk was
        self.above: BandAbove | None = None
        if options.band_above == FOLLOW and self.sample_rate != card.sample_rate:
            rates = (card.sample_rate, self.sample_rate)
            frames = (card.hop_length, card.lookahead_samples)
            self.above = BandAbove(*rates, *frames, self.channels)
        self._to_model = resampler(latency, self.sample_rate, card.sample_rate, self.channels)
        self._from_model = resampler(latency, card.sample_rate, self.sample_rate, self.channels)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        for each in (self._to_model, self._from_model):
            if each is not None:
                each.reset()
        self._pending = self._nothing()  # less than a hop, at the model's rate
        self._dry = self._nothing()  # input that awaits its enhanced counterpart
        if self.above is not None:
            self.above.reset()
            # Input of the model that awaits its enhanced counterpart, at the model's rate.
            self._heard = np.zeros((self.channels, self.card.lookahead_samples), np.float32)
        self._skip = self.card.lookahead_samples  # enhanced samples from before the signal
        self.fed = 0  # samples, at the stream's rate
        self._entered = self._left = 0  # samples, at the model's rate

    @property
    def latency_samples(self) -> int:
        """Longest time that a sample waits before it is returned, in samples at the stream's own rate."""
        card = self.card
        if self.sample_rate == card.sample_rate:
            return card.latency_samples
        rates = (self.sample_rate, card.sample_rate)
        return longest_wait(self.latency, *rates, card.hop_length, card.lookahead_samples)

    def check(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        """Return the chunk as ``[channel, time]``.

        Raises:
            InputError: It has another shape or type, holds NaN or infinity, or is too loud.
        """
        audio = np.asarray(chunk)
        if audio.dtype.kind != "f":
            raise InputError(
                f"audio has dtype {audio.dtype}; give floating point samples in [-1, 1] "
                "(divide 16-bit ones by 32768)"
            )
        if audio.ndim == 1 and self.channels == 1:
            audio = audio[np.newaxis]
        if audio.ndim != 2 or audio.shape[0] != self.channels:
            turned = audio.ndim == 2 and audio.shape[1] == self.channels
            raise InputError(
                f"audio has shape {audio.shape}; this stream takes [channel, time] with "
                f"{self.channels} channel(s)" + ("; pass audio.T" if turned else "")
            )
        audio = audio.astype(np.float32, copy=False)
        # A finite energy means finite samples, and a low one means that none is too loud.
        if not np.vdot(audio, audio) <= LOUDEST:
            require_finite(audio.T, "audio", self.fed, self.sample_rate)
            if self.above is not None:
                self.above.check(audio)
        return audio

    def take(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        """Take a chunk and return the frames that are ready, ``[channel, frames * hop]`` at the model's rate.

        Raises:
            InputError: `check` refuses the chunk; it is not taken then.
        """
        audio = self.check(chunk)
        self._flat = chunk.ndim == 1 if isinstance(chunk, np.ndarray) else np.ndim(chunk) == 1
        self.fed += audio.shape[1]
        if self.wet != 1:
            self._dry = np.concatenate([self._dry, audio], axis=1)
        if self.above is not None:
            self.above.feed(audio)
        low = audio if self._to_model is None else self._to_model.feed(audio.T).T
        self._entered += low.shape[1]
        return self._frames(low)

    def give(self, enhanced: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the enhanced frames and return the samples that are ready, in the shape of the last chunk."""
        return self._returned(self._out(enhanced, None))

    def finish(self) -> NDArray[np.float32]:
        """End the signal and return its last frames ``[channel, frames * hop]``, followed by silence."""
        if self.above is not None:
            self.above.finish()
        low = self._nothing() if self._to_model is None else self._to_model.flush().T
        self._entered += low.shape[1]
        hop = self.card.hop_length
        whole = -(-(self._entered + self.card.lookahead_samples) // hop) * hop if self._entered else 0
        silence = np.zeros((self.channels, whole - self._entered), np.float32)
        return self._frames(np.concatenate([low, silence], axis=1))

    def conclude(self, enhanced: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the last enhanced frames, return exactly the samples that are missing, and start afresh."""
        ready = self._returned(self._out(enhanced, self.fed))
        self.reset()
        return ready

    def _frames(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the whole frames of what is pending and of new samples, and keep the rest."""
        if self._pending.shape[1]:
            audio = np.concatenate([self._pending, audio], axis=1)
        rest = audio.shape[1] % self.card.hop_length
        frames = audio[:, : audio.shape[1] - rest] if rest else audio
        if rest or self._pending.shape[1]:
            self._pending = audio[:, audio.shape[1] - rest :].copy()
        if self.above is not None and frames.shape[1]:
            self._heard = np.concatenate([self._heard, frames], axis=1)
        return frames

    def _out(self, enhanced: NDArray[np.float32], total: int | None) -> NDArray[np.float32]:
        """Return enhanced frames at the stream's rate; with `total`, all that is missing of the signal."""
        length = enhanced.shape[1]
        if not length and total is None:
            return self._mixed(enhanced)
        if self.above is not None and length:
            heard, self._heard = self._heard[:, :length], self._heard[:, length:]
            enhanced = self.above.add(enhanced, heard)
        early = min(self._skip, length)
        self._skip -= early
        if early or total is not None:
            enhanced = enhanced[:, early : None if total is None else early + self._entered - self._left]
        self._left += enhanced.shape[1]
        if self._from_model is None:
            return self._mixed(enhanced)
        ready = self._from_model.feed(enhanced.T).T
        if total is not None:
            ready = np.concatenate([ready, self._from_model.flush(total).T], axis=1)
        if self.above is not None:
            ready = ready + self.above.read(ready.shape[1])
        return self._mixed(ready)

    def _mixed(self, ready: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix the input into the output."""
        if self.wet == 1:
            return ready
        dry, self._dry = self._dry[:, : ready.shape[1]], self._dry[:, ready.shape[1] :].copy()
        return self.wet * ready + (1 - self.wet) * dry

    def _returned(self, ready: NDArray[np.float32]) -> NDArray[np.float32]:
        return ready[0] if self._flat else ready

    def _nothing(self) -> NDArray[np.float32]:
        return np.zeros((self.channels, 0), np.float32)


def require_sane(card: Card, frames: NDArray[np.float32], enhanced: NDArray[np.float32]) -> None:
    """Raise InputError where a model turned its input into NaN or infinity."""
    if not all_finite(enhanced):
        raise InputError(
            f"model {card.name} gave NaN or infinity for audio with peak {np.abs(frames).max():.3g}; "
            "scale the audio to [-1, 1]"
        )
