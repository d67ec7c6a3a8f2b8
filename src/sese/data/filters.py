"""Filters and room responses of mixtures, applied to a whole batch with FFTs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sese.data.clip_assembly import DeviceBank
from sese.data.mix_config import MixConfig
from sese.data.mixture_spec import MixtureSpec

_EARLY_FADE_S = 0.002  # fade after the early reflections


class Filters:
    """Filter the speech and noise of mixtures.

    Args:
        config: Length of a clip, sample rate and length of the early reflections.
        rir: Room responses, if any.
        device: Device of the clips.
    """

    def __init__(self, config: MixConfig, rir: DeviceBank | None, device: torch.device):
        self.config, self.rir, self.device = config, rir, device
        longest_rir = int(rir.bank.lengths.max()) if rir is not None else 0
        filter_length = config.sample_rate // 10  # responses of the filters are shorter than 0.1 s
        self.fft = fast_length(config.time + max(longest_rir, filter_length))
        self.frequencies = torch.fft.rfftfreq(self.fft, 1.0 / config.sample_rate, device=device)

    def __call__(
        self, specs: Sequence[MixtureSpec], speech: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Apply the filters and room responses of the specifications.

        Args:
            specs: Specification of each mixture.
            speech, noise: Clips [batch, time], which are changed in place.

        Returns:
            Target, reverberant speech, and noise, each [batch, time].
        """
        filtered = [row for row, spec in enumerate(specs) if spec.filtered]  # speech and noise alike
        coloured = {
            row: spec.colour for row, spec in enumerate(specs) if spec.colour is not None
        }  # noise only
        either = sorted({*filtered, *coloured})
        if either:
            response = torch.ones(len(specs), len(self.frequencies), device=self.device)
            if filtered:
                response[filtered] = self._response([specs[row] for row in filtered])
            shared = response[filtered]
            if coloured:
                response[list(coloured)] *= self._shelves(list(coloured.values()))
            # One transform of all clips is nearly as fast as one of a few.
            clips = torch.fft.rfft(torch.cat([speech[filtered], noise[either]]), self.fft)
            clips = self._inverse(clips * torch.cat([shared, response[either]]))
            speech[filtered], noise[either] = clips[: len(filtered)], clips[len(filtered) :]
        target = reverberant = speech
        rooms = [row for row, spec in enumerate(specs) if spec.rir >= 0]
        if rooms:
            dry = torch.fft.rfft(speech[rooms], self.fft)
            early, full = self._rooms([specs[row].rir for row in rooms])
            reverberant = speech.clone()
            target[rooms] = self._inverse(dry * early)
            reverberant[rooms] = self._inverse(dry * full)
        return target, reverberant, noise

    def _inverse(self, spectrum: Tensor) -> Tensor:
        """Return the clips [row, time] of spectra [row, frequency]."""
        return torch.fft.irfft(spectrum, self.fft)[:, : self.config.time]

    def _response(self, specs: Sequence[MixtureSpec]) -> Tensor:
        """Return the zero-phase gain of the filters on speech and noise: [row, frequency]."""
        cutoff = [min(s.cutoff_hz, s.telephone[1]) if s.telephone else s.cutoff_hz for s in specs]
        # The low-pass filter falls by about 50 dB in 500 Hz, smoothly, so that its response stays short.
        below = torch.sigmoid((self._tensor(cutoff)[:, None] - self.frequencies) / 80.0)
        response = self._shelves([spec.shelves for spec in specs]) * below
        low = {row: spec.telephone[0] for row, spec in enumerate(specs) if spec.telephone is not None}
        if low:
            # The high-pass filter falls by about 50 dB in 150 Hz.
            edges = self._tensor(list(low.values()))[:, None]
            response[list(low)] *= torch.sigmoid((self.frequencies - edges) / 25.0)
        return response

    def _shelves(self, shelves: Sequence[tuple[float, float, float, float]]) -> Tensor:
        """Return the zero-phase gain of a low and a high shelf filter: [row, frequency]."""
        low_db, low_hz, high_db, high_hz = self._tensor(shelves).T[..., None]
        f = self.frequencies
        decibels = low_db / (1 + (f / low_hz) ** 2) + high_db / (1 + (high_hz / f.clamp(min=1.0)) ** 2)
        return torch.exp(decibels * (math.log(10) / 20))

    def _rooms(self, recordings: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return spectra [row, frequency] of the early part, and of all, of room responses."""
        assert self.rir is not None
        longest = int(self.rir.bank.lengths[list(recordings)].max())
        room = self.rir.assemble([[(recording, 0)] for recording in recordings], longest)
        direct = room.abs().argmax(1, keepdim=True)
        t = torch.arange(longest, device=self.device)
        rate = self.config.sample_rate
        last = direct + self.config.early_ms * rate / 1000
        early = ((last - t) / (_EARLY_FADE_S * rate) + 1.0).clamp(0.0, 1.0)
        return torch.fft.rfft(room * early, self.fft), torch.fft.rfft(room, self.fft)

    def _tensor(self, values: Sequence[float] | Sequence[tuple[float, ...]]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)


def fast_length(at_least: int) -> int:
    """Return the next even length that is a product of twos, threes and fives, whose FFT is fast."""
    best = 1 << (at_least - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            quotient = -(-at_least // threes)
            best = min(best, threes * (1 << (quotient - 1).bit_length()))
            threes *= 3
        fives *= 5
    return best if best % 2 == 0 else best + best
