"""Conversations: turns of one or two talkers, with pauses of seconds between them, and noise that may stop.

A timeline is drawn turn after turn: a pause, then a turn whose length is such that speech is active for the
share asked for. It begins somewhere in its first pause or turn, so that a clip may begin with either. What is
drawn does not depend on the length of a clip: a shorter clip has the first part of a longer one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.data.bank import Bank
from sese.data.urn import Urn

PAUSE_S = (1.0, 10.0)  # between turns; short ones are more frequent: the logarithm is uniform
TURN_SPREAD = (0.75, 1.25)  # of the length of a turn around what the share asks for
BREATH_S = (0.1, 0.6)  # between utterances within a turn
SHORTEST_S = 0.3  # of an utterance that is still added to a turn
MARGIN_S = 0.3  # around the end of a turn, in which the quietest place is looked for
TWO_TALKERS = 0.5  # chance
LEVEL_DB = 20.0  # most that two talkers differ by
QUIET_NOISE = 1 / 3  # chance of a stretch without noise
QUIET_SHARE = 2  # it is the clip divided by this long
ACTIVE_DB = -30.0  # a frame of 20 ms this far below the loudest of its recording is no speech
TALKER_POWER = 1e-3  # of the louder talker before the mixer sets the level: 30 dB above its floor of speech
SILENCE = 1e-8  # -80 dBFS: recordings below are not raised to the level of speech
ACTIVITY = (0.1, 0.9)


class Piece(NamedTuple):
    """A stretch of a recording in a clip. Positions and lengths are in samples; begin may be negative."""

    recording: int
    begin: int
    first: int
    length: int
    gain: float


class Turn(NamedTuple):
    """Speech of one talker from `begin` to `end`, in samples of the clip; either may lie outside of it."""

    begin: int
    end: int
    pieces: tuple[Piece, ...]


def check_activity(activity: float) -> None:
    """Check the share of a conversation in which speech is active.

    Raises:
        InputError: it is out of range.
    """
    if not ACTIVITY[0] <= activity <= ACTIVITY[1]:
        raise InputError(
            f"mix activity: got {activity}; give a share from {ACTIVITY[0]:g} to {ACTIVITY[1]:g}"
        )


class Conversations:
    """Draws the turns and the stretch without noise of a clip.

    Args:
        speech: bank of the talkers.
        voices: draws recordings of it.
        activity: share of the time in which speech is active, over many clips.
    """

    def __init__(self, speech: Bank, voices: Urn, activity: float):
        self.speech, self.voices, self.activity = speech, voices, activity
        self.rate = speech.sample_rate
        self.frame = self.rate // 50
        self.measured: dict[int, tuple[NDArray[np.float64], float]] = {}

    def __call__(
        self, rng: np.random.Generator, opening: int, time: int
    ) -> tuple[tuple[Turn, ...], tuple[int, int] | None]:
        """Draw a clip.

        Args:
            rng: at the start of a stream of its own.
            opening: a recording of the first talker.
            time: samples in the clip.

        Returns:
            The turns that lie in the clip, at least in part, and (first sample, length) of the stretch
            without noise, None where there is none.
        """
        u = rng.random(6)
        length = time // QUIET_SHARE
        quiet = (int(u[1] * (time - length + 1)), length) if u[0] < QUIET_NOISE else None
        talkers = [opening]
        if u[2] < TWO_TALKERS:
            talkers.append(self.voices.draw_other(opening, u[3]))
        difference = LEVEL_DB * (2 * u[4] - 1)  # of the second talker to the first
        level_db = (min(0.0, -difference), min(0.0, difference)) if len(talkers) == 2 else (0.0,)
        turns: list[Turn] = []
        at: int | None = None
        number = owed = 0
        while True:
            pause, spread = rng.random(2)
            # A clip is more likely to begin in a long pause and its turn than in a short one.
            pause_s = _between(PAUSE_S, pause) if at is None else _short_rather(PAUSE_S, pause)
            turn_s = pause_s * self.activity / (1 - self.activity) * _between(TURN_SPREAD, spread)
            if at is None:
                at = -round(u[5] * (pause_s + turn_s) * self.rate)
            at += round(pause_s * self.rate)
            if at >= time:
                return tuple(turns), quiet
            talker = number % len(talkers)
            wanted = max(round(turn_s * self.rate) + owed, self.frame)
            turn = self._turn(rng, talkers[talker], level_db[talker], at, wanted)
            owed = wanted - (turn.end - at)  # recordings do not end where a turn is to end
            at, number = turn.end, number + 1
            inside = tuple(each for each in turn.pieces if each.begin < time and each.begin + each.length > 0)
            if inside:
                turns.append(turn._replace(pieces=inside))

    def _turn(self, rng: np.random.Generator, talker: int, level_db: float, begin: int, length: int) -> Turn:
        """Utterances of the talker of a recording, with breaths between, until a turn is full."""
        pieces: list[Piece] = []
        at, end = begin, begin + length
        while True:
            which, where, breath = rng.random(3)
            recording = self.voices.draw_alike(talker, which)
            first, size = self._stretch(recording, end - at, where)
            pieces.append(
                Piece(recording, at, first, size, self._measured(recording)[1] * 10 ** (level_db / 20))
            )
            at += size
            breath = round(_between(BREATH_S, breath) * self.rate)
            if at + breath + round(SHORTEST_S * self.rate) > end:
                return Turn(begin, at, tuple(pieces))
            at += breath

    def _stretch(self, recording: int, length: int, where: float) -> tuple[int, int]:
        """(First sample, length) of about `length` samples that begin and end with speech.

        A recording of less is taken whole, without the silence around it; of a long one, any part.
        """
        levels, _ = self._measured(recording)
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

    def _measured(self, recording: int) -> tuple[NDArray[np.float64], float]:
        """Return levels of frames of 20 ms in dB relative to the loudest [frame], and a gain.

        The gain brings the active frames to `TALKER_POWER`.
        """
        if recording not in self.measured:
            start, length = int(self.speech.starts[recording]), int(self.speech.lengths[recording])
            samples = self.speech.samples[start : start + length // self.frame * self.frame] / 32768.0
            power = np.square(samples).reshape(-1, self.frame).mean(1)
            levels = np.zeros(len(power))  # where there is nothing but silence, all is as good as any part
            if power.any():
                levels = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
            active = power[levels > ACTIVE_DB].mean() if len(power) else TALKER_POWER
            self.measured[recording] = levels, float(np.sqrt(TALKER_POWER / max(active, SILENCE)))
        return self.measured[recording]


def _quietest(levels: NDArray[np.float64], first: int, last: int) -> int:
    """The quietest frame in [first, last)."""
    return first + int(np.argmin(levels[first:last]))


def _short_rather(limits: tuple[float, float], uniform: float) -> float:
    """A value between limits whose logarithm is uniform."""
    return float(limits[0] * (limits[1] / limits[0]) ** uniform)


def _between(limits: tuple[float, float], uniform: float) -> float:
    return float(limits[0] + (limits[1] - limits[0]) * uniform)
