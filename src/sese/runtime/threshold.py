"""Pick a level for each frame from a running estimate of the SNR: the simple rule that a router has to beat.

Loudness: the power of a frame between 300 and 4000 Hz, where speech is, smoothed over about 50 ms.

- Noise: the lowest loudness of the last 1.5 s (minimum statistics, Martin 2001) plus BIAS_DB, as a minimum
  lies below the mean.
- Speech: the peak of the loudness, falling by DECAY_DB_A_SECOND; peaks stand CREST_DB above the mean of
  speech in noise.
- SNR: speech minus noise, both in dB. The lowest of all channels with speech counts, as they share levels.
- Rule: the lowest level runs above HIGH_DB, the highest below LOW_DB; the bounds of the levels between are
  spread evenly. The level rises at once. It falls by one when the SNR has been HYSTERESIS_DB above the bound
  for HOLD_SECONDS.
- Pauses: loudness within PRESENCE_DB of the noise, or inaudible, for PAUSE_SECONDS is a pause, which counts
  as an SNR above every bound: the level falls by one every HOLD_SECONDS.

The rule begins at the highest level, and takes speech that comes before any noise for noise until a gap
comes: its errors cost compute, not quality.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sese.runtime.budget import Rule, Threshold
from sese.runtime.card import Card

LOW_DB, HIGH_DB, HYSTERESIS_DB = 5.0, 20.0, 2.0
HOLD_SECONDS, PAUSE_SECONDS = 0.25, 0.5
SMOOTH_SECONDS = 0.05
BLOCK_SECONDS, BLOCKS = 0.25, 6  # the noise is the minimum over these
BIAS_DB, CREST_DB, PRESENCE_DB, DECAY_DB_A_SECOND = 1.0, 4.0, 2.0, 3.0
INAUDIBLE_DB = -80.0  # of full scale
BAND_HZ = (300.0, 4000.0)


def snr_rule(card: Card, rule: Rule, channels: int) -> SnrRule | None:
    """Return the rule that picks the levels of a stream; None where the budget has no such rule."""
    if not isinstance(rule, Threshold):
        return None
    return SnrRule(len(card.levels), channels, card.hop_length, card.sample_rate, rule.shift_db)


class SnrRule:
    """Pick levels, without lookahead, the same for any division into whole frames.

    Args:
        levels: Number of levels.
        channels: Number of channels; one level per frame serves all of them.
        hop: Number of samples in a frame.
        sample_rate: Sample rate in Hz.
        shift_db: Added to every bound; more dB use more compute.
    """

    def __init__(self, levels: int, channels: int, hop: int, sample_rate: int, shift_db: float = 0.0) -> None:
        self._bounds = np.linspace(HIGH_DB, LOW_DB, levels - 1) + shift_db
        self._hop = hop
        self._channels = channels
        seconds = hop / sample_rate
        self._keep = math.exp(-seconds / SMOOTH_SECONDS)
        self._decay = DECAY_DB_A_SECOND * seconds
        # Hann windows; a sine at full scale in the band has a power of 1.
        self._window = np.hanning(hop + 2)[1:-1].astype(np.float32) * (4 / (hop + 1))
        low, high = (round(frequency * seconds) for frequency in BAND_HZ)
        self._bins = slice(low, max(low, high) + 1)
        self._block = max(1, round(BLOCK_SECONDS / seconds))
        self._hold, self._pause = (math.ceil(hold / seconds) for hold in (HOLD_SECONDS, PAUSE_SECONDS))
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._power = np.full(self._channels, -1.0)  # smoothed; below 0 before the first frame
        self._minima = np.full((BLOCKS, self._channels), np.inf)  # dB, a row for each block of frames
        self._peak = np.full(self._channels, -np.inf)  # dB
        self._frame = 0
        self._absent = np.zeros(self._channels, np.int64)  # frames without speech
        self._level = len(self._bounds)
        self._calm = 0  # frames in which a lower level would be enough

    def __call__(self, audio: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the levels of the next frames.

        Args:
            audio: Samples in [-1, 1], ``[channel, frames * hop]``.

        Returns:
            Levels ``[frame]``, counted from 0, the lowest.
        """
        frames = audio.reshape(self._channels, -1, self._hop)
        bins = np.fft.rfft(frames * self._window)[..., self._bins]
        powers = np.sum(bins.real**2 + bins.imag**2, axis=2)
        return np.array([self._pick(self._snr(power)) for power in powers.T], np.int64)

    def _snr(self, power: NDArray[np.float64]) -> float:
        """Take the power of a frame ``[channel]``; return the lowest SNR in dB, infinity in a pause."""
        self._power = np.where(self._power < 0, power, self._keep * self._power + (1 - self._keep) * power)
        loudness = 10 * np.log10(self._power + 1e-12)
        row, into = divmod(self._frame, self._block)
        row %= BLOCKS
        self._minima[row] = loudness if into == 0 else np.minimum(self._minima[row], loudness)
        self._frame += 1
        noise = np.maximum(self._minima.min(axis=0) + BIAS_DB, INAUDIBLE_DB)
        self._peak = np.maximum(self._peak - self._decay, loudness)
        self._absent = np.where(loudness > noise + PRESENCE_DB, 0, self._absent + 1)
        snr = np.where(self._absent > self._pause, np.inf, self._peak - CREST_DB - noise)
        return float(snr.min())

    def _pick(self, snr: float) -> int:
        up = int((snr < self._bounds).sum())
        down = int((snr < self._bounds + HYSTERESIS_DB).sum())
        if up > self._level:
            self._level, self._calm = up, 0
        elif down < self._level:
            self._calm += 1
            if self._calm > self._hold:
                self._level, self._calm = self._level - 1, 0
        else:
            self._calm = 0
        return self._level
