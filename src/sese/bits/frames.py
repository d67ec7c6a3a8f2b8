"""Enhancement by a mask a frame, in NumPy alone: analysis, mask, overlap-add."""

from __future__ import annotations

import abc

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError


class FrameEnhancer(abc.ABC):
    """Scales the spectrum of each frame by a mask, phases kept.

    Args:
        sample_rate: sample rate in Hz.
        window, synthesis: (n_fft,), two hops long; the products of the two sum to 1 where frames overlap.
    """

    def __init__(self, sample_rate: int, window: NDArray[np.floating], synthesis: NDArray[np.floating]):
        self.sample_rate, self.hop_length = sample_rate, len(window) // 2
        self._window, self._synthesis = window.astype(np.float32), synthesis.astype(np.float32)
        self.reset()

    @abc.abstractmethod
    def mask(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Return the mask (bin,) of the next frame, by its spectrum (bin,)."""

    @property
    def lookahead_samples(self) -> int:
        """Return the delay of the output of `feed` in samples."""
        return self.hop_length

    def reset(self) -> None:
        """Forget the signal."""
        self._past = np.zeros(self.hop_length, np.float32)
        self._overlap = np.zeros(self.hop_length, np.float32)

    def feed(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Enhance whole frames (frame * hop,) in [-1, 1]; as many come out, late by `lookahead_samples`.

        Raises:
            InputError: wrong shape.
        """
        hop = self.hop_length
        if audio.ndim != 1 or len(audio) % hop:
            raise InputError(f"audio has shape {audio.shape}; expected (time,), whole frames of {hop}")
        made = np.empty(len(audio), np.float32)
        for at in range(0, len(audio), hop):
            made[at : at + hop] = self._frame(audio[at : at + hop].astype(np.float32, copy=False))
        return made

    def enhance(self, audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Enhance a clip (time,); what comes back is as long and aligned with it.

        Raises:
            InputError: wrong shape, or another rate than the model's.
        """
        if sample_rate != self.sample_rate:
            raise InputError(f"the rate is {sample_rate} Hz; resample to {self.sample_rate} Hz first")
        if audio.ndim != 1:
            raise InputError(f"audio has shape {audio.shape}; expected (time,)")
        self.reset()
        late = self.lookahead_samples
        padding = late + (-len(audio) - late) % self.hop_length
        return self.feed(np.pad(audio, (0, padding)))[late : late + len(audio)]

    def _frame(self, hop: NDArray[np.float32]) -> NDArray[np.float32]:
        spectrum = np.fft.rfft(np.concatenate([self._past, hop]) * self._window).astype(np.complex64)
        self._past = hop.copy()
        frame = np.fft.irfft(self.mask(spectrum) * spectrum).astype(np.float32) * self._synthesis
        first, second = np.split(frame, 2)
        made, self._overlap = first + self._overlap, second
        return made


def hann(n_fft: int) -> NDArray[np.float64]:
    """Return a periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
