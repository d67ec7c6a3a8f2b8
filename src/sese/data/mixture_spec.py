"""Specification of one mixture: everything that is drawn at random, before any audio is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sese.data.conversations import Turn

LOUDEST_DBFS = -6.0
"""Highest RMS of a loud sound before the speech."""


class LoudSound(NamedTuple):
    """A loud sound before the speech.

    Attributes:
        begin, length: Position in samples of the clip, in which the speech has a gap.
        above_db: RMS of the sound relative to that of the active speech, in dB.
        kind: A noise recording, a recording of another speaker, or a sine.
        recording, first: Recording in the noise or speech bank, and its sample that falls on the first of the
            clip.
        hertz, phase: Frequency of the sine in Hz, and its phase in cycles.
    """

    begin: int
    length: int
    above_db: float
    kind: Literal["noise", "voice", "beep"]
    recording: int = -1
    first: int = 0
    hertz: float = 0.0
    phase: float = 0.0


class Rumble(NamedTuple):
    """Hum or rumble: a sum of sines.

    Attributes:
        above_db: RMS relative to that of the active speech, in dB.
        partials: Frequency in Hz, relative amplitude and phase in cycles of each sine.
    """

    above_db: float
    partials: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class MixtureSpec:
    """Specification of one mixture. Positions and lengths are in samples.

    Attributes:
        speech: Recording and position in the clip (negative: before the clip) of each utterance, in order and
            without overlap.
        noise: Recording, first sample, and level in dB relative to the first noise, of each noise. A
            recording shorter than the clip is repeated.
        snr_db: Ratio of speech to noise.
        level_dbfs: Level of the active speech.
        silent: Whether the speech is replaced by silence.
        rir: Recording in the bank of room responses; -1: none.
        shelves: Gain in dB and corner in Hz of a low shelf, then of a high shelf.
        cutoff_hz: Cut-off frequency of the low-pass filter; inf: none.
        clip: Share of the peak at which the noisy signal is clipped; 1: not clipped.
        babble: As `noise`, of recordings of the speech bank. They replace the first noise.
        colour: As `shelves`, for the noise alone.
        drop_in: Middle of the fade of the noise, and the length of the fade, which is negative where the
            noise ends. None: noise in the whole clip.
        level_change: Change in dB, its begin and its length.
        telephone: Lowest and highest frequency in Hz.
        mu_law: Whether the noisy signal is quantised to mu-law.
        gaps: Begin and length of each gap, in any order; gaps may overlap.
        turns: Turns of a conversation, which replace `speech`; may be empty. None: no conversation.
        no_noise: Begin and length of a part of a conversation without noise.
        level_step: As `level_change`.
        loud_before: Loud sound before the speech.
        zeros: Begin and length of digital zeros.
        offset: Constant offset of the noisy signal; full scale is 1.
        rumble: Hum or rumble.
    """

    speech: tuple[tuple[int, int], ...]
    noise: tuple[tuple[int, int, float], ...]
    snr_db: float
    level_dbfs: float
    silent: bool = False
    rir: int = -1
    shelves: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    cutoff_hz: float = math.inf
    clip: float = 1.0
    babble: tuple[tuple[int, int, float], ...] = ()
    colour: tuple[float, float, float, float] | None = None
    drop_in: tuple[int, int] | None = None
    level_change: tuple[float, int, int] | None = None
    telephone: tuple[float, float] | None = None
    mu_law: bool = False
    gaps: tuple[tuple[int, int], ...] = ()
    turns: tuple[Turn, ...] | None = None
    no_noise: tuple[int, int] | None = None
    level_step: tuple[float, int, int] | None = None
    loud_before: LoudSound | None = None
    zeros: tuple[int, int] | None = None
    offset: float = 0.0
    rumble: Rumble | None = None

    @property
    def speech_dbfs(self) -> float:
        """Level of the speech, lowered where a loud sound before it would exceed its highest level."""
        if self.loud_before is None:
            return self.level_dbfs
        return min(self.level_dbfs, LOUDEST_DBFS - self.loud_before.above_db)

    @property
    def filtered(self) -> bool:
        """Whether speech and noise are filtered alike."""
        shelved = self.shelves[0] != 0.0 or self.shelves[2] != 0.0
        return shelved or self.cutoff_hz < math.inf or self.telephone is not None
