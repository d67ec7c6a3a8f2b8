"""Assembly of clips from the recordings of a bank.

Two functions compute the same clips. On a CPU, copying slices of samples is fastest. On other devices every
small copy costs a kernel launch, so one gather reads all samples at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sese.data.bank import FULL_SCALE, Bank

ClipPieces = Sequence[Sequence[tuple[int, ...]]]
"""Pieces of each clip.

A piece is (recording, first sample in the clip) for a whole recording, or (recording, first sample in the
clip, first sample in the recording, length) for a part of one. All are in samples.
"""


class DeviceBank:
    """Hold a bank on a device and assemble clips from it.

    Args:
        bank: Recordings.
        device: Where clips are assembled. The samples are copied to it, unless it is the CPU.
    """

    def __init__(self, bank: Bank, device: torch.device):
        self.bank, self.device = bank, device
        self.samples = None if device.type == "cpu" else torch.from_numpy(bank.samples).to(device)

    def assemble(self, clips: ClipPieces, time: int, fade: int = 0) -> Tensor:
        """Assemble clips from pieces of recordings.

        Args:
            clips: Pieces of each clip, in order and without overlap. What lies outside the clip is cut off,
                and the gaps between pieces are silent.
            time: Samples in a clip.
            fade: Length in samples of the linear fades at both ends of each piece.

        Returns:
            Clips, float32 [clip, time] in [-1, 1].
        """
        if self.samples is None:
            return assemble_by_copy(self.bank, clips, time, fade)
        return assemble_by_gather(self.bank, self.samples, clips, time, fade)


def _interval(bank: Bank, piece: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the begin and end of a piece in the clip, and the index of its first sample in the bank."""
    recording, begin = piece[:2]
    first, length = piece[2:] or (0, int(bank.lengths[recording]))
    return begin, begin + length, int(bank.starts[recording]) + first


def assemble_by_copy(bank: Bank, clips: ClipPieces, time: int, fade: int) -> Tensor:
    """Assemble clips piece by piece; see `DeviceBank.assemble`."""
    out = np.zeros((len(clips), time), dtype=np.float32)
    for clip, pieces in zip(out, clips, strict=True):
        for piece in pieces:
            begin, end, start = _interval(bank, piece)
            first, last = max(begin, 0), min(end, time)
            clip[first:last] = bank.samples[start + first - begin : start + last - begin]
            rising = np.arange(first, min(begin + fade, last))  # empty where the edge is outside the clip
            clip[rising] *= (rising - begin + 1) / (fade + 1)
            falling = np.arange(max(end - fade, first), last)
            clip[falling] *= (end - falling) / (fade + 1)
    out /= FULL_SCALE
    return torch.from_numpy(out)


def assemble_by_gather(bank: Bank, samples: Tensor, clips: ClipPieces, time: int, fade: int) -> Tensor:
    """Assemble all clips with one gather; see `DeviceBank.assemble`.

    Args:
        bank: Starts and lengths of the recordings.
        samples: Samples of the bank on the device, int16 [sample].
        clips, time, fade: As in `DeviceBank.assemble`.
    """
    device = samples.device
    begin, end, start = np.array([_interval(bank, piece) for pieces in clips for piece in pieces]).T
    # Each sample of a clip belongs to one piece: the first owns the samples from 0, each other from where it
    # begins, up to the next one or the end of the clip.
    bounds = np.cumsum([0] + [len(pieces) for pieces in clips])
    owned_from = np.maximum(begin, 0)
    owned_from[bounds[:-1]] = 0
    owned_until = np.append(owned_from[1:], time)
    owned_until[bounds[1:] - 1] = time
    table = torch.from_numpy(np.stack([begin, end, start - begin, owned_until - owned_from])).to(device)
    piece = torch.arange(len(begin), device=device)
    piece = piece.repeat_interleave(table[3], output_size=len(clips) * time).view(len(clips), time)
    t = torch.arange(time, device=device)
    since_begin, until_end = t - table[0][piece], table[1][piece] - 1 - t
    audio = samples[(table[2][piece] + t).clamp_(0, len(samples) - 1)].float() / FULL_SCALE
    for distance in (since_begin, until_end):
        audio *= ((distance + 1) / (fade + 1)).clamp_(0.0, 1.0)
    return audio
