"""Recordings laid side by side into clips: the step from a bank of samples to a batch of sound.

There are two ways to the same clips. On a CPU, copying stretches of samples is quickest; on other devices,
where every small copy costs a launch, one gather takes all samples at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sese.data.bank import Bank

Rows = Sequence[Sequence[tuple[int, ...]]]
"""Pieces of each clip: (recording, where it begins in the clip), of a part also (first sample, length)."""


class Shelf:
    """A bank ready to be laid out on a device; only devices other than the CPU get a copy of the samples."""

    def __init__(self, bank: Bank, device: torch.device):
        self.bank, self.device = bank, device
        self.samples = None if device.type == "cpu" else torch.from_numpy(bank.samples).to(device)

    def lay(self, rows: Rows, time: int, fade: int = 0) -> Tensor:
        """Clips float32 [row, time] in [-1, 1].

        The pieces of a row are in order and do not overlap; what lies outside the clip is cut off, gaps are
        silent, and each piece fades in and out over `fade` samples.
        """
        if self.samples is None:
            return copied(self.bank, rows, time, fade)
        return gathered(self.bank, self.samples, rows, time, fade)


def _span(bank: Bank, piece: tuple[int, ...]) -> tuple[int, int, int]:
    """Return where a piece begins and ends in the clip, and its first sample in the bank."""
    recording, begin = piece[:2]
    first, length = piece[2:] or (0, int(bank.lengths[recording]))
    return begin, begin + length, int(bank.starts[recording]) + first


def copied(bank: Bank, rows: Rows, time: int, fade: int) -> Tensor:
    clips = np.zeros((len(rows), time), dtype=np.float32)
    for clip, row in zip(clips, rows, strict=True):
        for piece in row:
            begin, end, start = _span(bank, piece)
            first, last = max(begin, 0), min(end, time)
            clip[first:last] = bank.samples[start + first - begin : start + last - begin]
            rising = np.arange(first, min(begin + fade, last))  # empty where the edge is outside the clip
            clip[rising] *= (rising - begin + 1) / (fade + 1)
            falling = np.arange(max(end - fade, first), last)
            clip[falling] *= (end - falling) / (fade + 1)
    clips /= 32768
    return torch.from_numpy(clips)


def gathered(bank: Bank, samples: Tensor, rows: Rows, time: int, fade: int) -> Tensor:
    device = samples.device
    begin, end, start = np.array([_span(bank, piece) for row in rows for piece in row]).T
    # Each piece rules from its beginning to that of the next; the first from 0, the last to the end.
    bounds = np.cumsum([0] + [len(row) for row in rows])
    turn = np.maximum(begin, 0)
    turn[bounds[:-1]] = 0
    until = np.append(turn[1:], time)
    until[bounds[1:] - 1] = time
    pieces = torch.from_numpy(np.stack([begin, end, start - begin, until - turn])).to(device)
    which = torch.arange(len(begin), device=device)
    which = which.repeat_interleave(pieces[3], output_size=len(rows) * time).view(len(rows), time)
    t = torch.arange(time, device=device)
    since, left = t - pieces[0][which], pieces[1][which] - 1 - t
    sound = samples[(pieces[2][which] + t).clamp_(0, len(samples) - 1)].float() / 32768
    for edge in (since, left):
        sound *= ((edge + 1) / (fade + 1)).clamp_(0.0, 1.0)
    return sound
