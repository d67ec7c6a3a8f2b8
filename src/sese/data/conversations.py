"""Conversations: turns of one or two talkers with pauses of seconds between them, and noise that may stop.

A conversation is drawn turn by turn: a pause, then a turn whose length gives the requested share of active
speech. The clip begins somewhere within the first pause or turn, so it may begin with either. The random
draws do not depend on the length of the clip: a shorter clip is the beginning of a longer one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sese.data.bank import FULL_SCALE, Bank
from sese.data.uniform import between, log_between
from sese.data.weighted_sampler import WeightedSampler

PAUSE_S = (1.0, 10.0)  # between turns; the logarithm is uniform, so short pauses are more frequent
TURN_SPREAD = (0.75, 1.25)  # length of a turn, relative to what the share of active speech asks for
BREATH_S = (0.1, 0.6)  # between the utterances of a turn
SHORTEST_S = 0.3  # shortest utterance that is still added to a turn
MARGIN_S = 0.3  # before and after the end of a turn, where the quietest frame is searched
TWO_TALKERS = 0.5  # chance
LEVEL_DB = 20.0  # largest difference between the levels of two talkers
QUIET_NOISE = 1 / 3  # chance of a part without noise
QUIET_DIVISOR = 2  # the part without noise has the length of the clip divided by this
ACTIVE_DB = -30.0  # a frame below this level, relative to the loudest of its recording, has no speech
TALKER_POWER = 1e-3  # power of the louder talker before the mixer sets the level; 30 dB above SPEECH_FLOOR
SILENCE = 1e-8  # -80 dBFS; recordings with a lower power are not raised to the level of speech


class Piece(NamedTuple):
    """A part of a recording in a clip. Positions and lengths are in samples.

    Attributes:
        recording: Recording in the speech bank.
        begin: Position in the clip; may be negative.
        first: First sample in the recording.
        length: Length.
        gain: Factor of the samples.
    """

    recording: int
    begin: int
    first: int
    length: int
    gain: float


class Turn(NamedTuple):
    """Speech of one talker, from sample `begin` to sample `end` of the clip; either may lie outside of it."""

    begin: int
    end: int
    pieces: tuple[Piece, ...]


class Conversations:
    """Draw the turns of a conversation and the part of it without noise.

    Args:
        speech: Bank of the talkers.
        sampler: Chooses recordings of the bank.
        activity: Share of the time in which speech is active, averaged over many clips.
    """

    def __init__(self, speech: Bank, sampler: WeightedSampler, activity: float):
        self.speech, self.sampler, self.activity = speech, sampler, activity
        self.rate = speech.sample_rate
        self.frame = self.rate // 50
        self._level_cache: dict[int, tuple[NDArray[np.float64], float]] = {}

    def __call__(
        self, rng: np.random.Generator, opening: int, time: int
    ) -> tuple[tuple[Turn, ...], tuple[int, int] | None]:
        """Draw a conversation.

        Args:
            rng: Random generator, at the start of a stream of its own.
            opening: A recording of the first talker.
            time: Samples in the clip.

        Returns:
            The turns that lie in the clip, at least in part; and first sample and length of the part without
            noise, or None.
        """
        u = rng.random(6)
        length = time // QUIET_DIVISOR
        quiet = (int(u[1] * (time - length + 1)), length) if u[0] < QUIET_NOISE else None
        talkers = [opening]
        if u[2] < TWO_TALKERS:
            talkers.append(self.sampler.sample_other_group(opening, u[3]))
        difference = LEVEL_DB * (2 * u[4] - 1)  # level of the second talker relative to the first
        level_db = (min(0.0, -difference), min(0.0, difference)) if len(talkers) == 2 else (0.0,)
        turns: list[Turn] = []
        at: int | None = None
        number = missing = 0
        while True:
            pause, spread = rng.random(2)
            # The clip is more likely to begin within a long pause and its turn than within a short one.
            pause_s = between(PAUSE_S, pause) if at is None else log_between(PAUSE_S, pause)
            turn_s = pause_s * self.activity / (1 - self.activity) * between(TURN_SPREAD, spread)
            if at is None:
                at = -round(u[5] * (pause_s + turn_s) * self.rate)
            at += round(pause_s * self.rate)
            if at >= time:
                return tuple(turns), quiet
            talker = number % len(talkers)
            wanted = max(round(turn_s * self.rate) + missing, self.frame)
            turn = self._turn(rng, talkers[talker], level_db[talker], at, wanted)
            missing = wanted - (turn.end - at)  # a recording rarely ends where the turn should end
            at, number = turn.end, number + 1
            inside = tuple(p for p in turn.pieces if p.begin < time and p.begin + p.length > 0)
            if inside:
                turns.append(turn._replace(pieces=inside))

    def _turn(self, rng: np.random.Generator, talker: int, level_db: float, begin: int, length: int) -> Turn:
        """Draw utterances of the talker of a recording, with short pauses between, until the turn is full."""
        pieces: list[Piece] = []
        at, end = begin, begin + length
        while True:
            which, where, breath = rng.random(3)
            recording = self.sampler.sample_same_group(talker, which)
            first, size = self.cut(recording, end - at, where)
            gain = self._levels(recording)[1] * 10 ** (level_db / 20)
            pieces.append(Piece(recording, at, first, size, gain))
            at += size
            breath = round(between(BREATH_S, breath) * self.rate)
            if at + breath + round(SHORTEST_S * self.rate) > end:
                return Turn(begin, at, tuple(pieces))
            at += breath

    def cut(self, recording: int, length: int, where: float) -> tuple[int, int]:
        """Return first sample and length of a part that begins and ends with speech.

        Args:
            recording: Recording in the speech bank.
            length: Samples wanted. The part has about this length; a shorter recording is used as a whole,
                without the silence around it.
            where: Position of the part in a long recording, 0 to 1.
        """
        levels, _ = self._levels(recording)
        if not len(levels):
            return 0, int(self.speech.lengths[recording])
        active = np.flatnonzero(levels > ACTIVE_DB)
        first, last = int(active[0]), int(active[-1]) + 1
        wanted, margin = max(length // self.frame, 1), round(MARGIN_S * self.rate / self.frame)
        if last - first > 2 * wanted + 2 * margin:
            middle = first + int(where * (last - first - wanted - margin))
            first = _quietest(levels, max(middle - margin, first), middle + margin)
            first = int(active[np.searchsorted(active, first)])
        if last - first > wanted + margin:
            last = _quietest(levels, max(first + wanted - margin, first + 1), first + wanted + margin)
            last = int(active[np.searchsorted(active, last) - 1]) + 1
        return first * self.frame, (last - first) * self.frame

    def _levels(self, recording: int) -> tuple[NDArray[np.float64], float]:
        """Return the levels of a recording, and the gain that gives its active frames `TALKER_POWER`.

        Levels are in dB relative to the loudest frame, float64 [frame], for frames of 20 ms.
        """
        if recording not in self._level_cache:
            start, length = int(self.speech.starts[recording]), int(self.speech.lengths[recording])
            samples = self.speech.samples[start : start + length // self.frame * self.frame] / float(
                FULL_SCALE
            )
            power = np.square(samples).reshape(-1, self.frame).mean(1)
            levels = np.zeros(len(power))  # in a silent recording all frames are equally good
            if power.any():
                levels = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
            active = power[levels > ACTIVE_DB].mean() if len(power) else TALKER_POWER
            self._level_cache[recording] = levels, float(np.sqrt(TALKER_POWER / max(active, SILENCE)))
        return self._level_cache[recording]


def _quietest(levels: NDArray[np.float64], first: int, last: int) -> int:
    """Return the quietest frame in [first, last)."""
    return first + int(np.argmin(levels[first:last]))
