"""Draws of the disturbances that mislead the running level of a network, or fill its lowest bands.

These are steps of the gain, loud sounds before the speech, digital silence, constant offsets and hum. All are
off by default. `sese.data.plans` draws them from numbers of their own, and `sese.data.mixing` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from sese.data.plans import MixConfig

DISTURBANCES = ("level_step", "loud_before", "zeros", "offset", "rumble")
DRAWS = 46
"""Uniform numbers that one example takes."""

STEP_DB = (-30.0, 25.0)
STEP_S = (0.001, 0.05)
ABOVE_DB = (15.0, 35.0)  # of a loud sound, over the speech
LOUDEST_DBFS = -6.0  # RMS of a loud sound
BEEP_S, BEEP_HZ = (0.2, 1.0), (200.0, 4000.0)
SHORTEST_ZEROS_S = 0.05
OFFSET = 0.05
RUMBLE_DB = (-10.0, 20.0)  # over the speech
RUMBLE_HZ = (8.0, 60.0)
HARMONIC_DB = (-30.0, -5.0)  # of hum, below its fundamental
HARMONICS, PARTIALS = 6, 12  # at most of hum; of rumble

Cut = Callable[[float, float], tuple[int, int, float]]
"""From two uniform numbers: (recording, first sample taken, dB)."""


class LoudSound(NamedTuple):
    """A loud sound before the speech.

    begin, length: in samples of the clip; the speech has a gap there.
    above_db: RMS of the sound over that of the active speech, in dB.
    kind: a noise recording, a recording of another speaker, or a sine.
    recording, first: of the noise or speech bank, and the sample that falls on the clip's first.
    hertz, phase: of the sine; the phase in cycles.
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

    above_db: RMS over that of the active speech, in dB.
    partials: (Hz, relative amplitude, phase in cycles) of each sine.
    """

    above_db: float
    partials: tuple[tuple[float, float, float], ...]


def draw(config: MixConfig, u: Sequence[float], noise: Cut, voice: Cut) -> dict[str, Any]:
    """Draw the disturbances of one example.

    Args:
        config: holds the chance of each.
        u: `DRAWS` uniform numbers. Each disturbance has its own: one does not change another.
        noise, voice: cut a recording of noise, or of another speaker.

    Returns:
        Fields of a `sese.data.plans.Plan`, of those disturbances that the example has.
    """
    plan: dict[str, Any] = {}
    time, rate = config.time, config.sample_rate
    if u[0] < config.level_step:
        sudden = u[2] < 0.5
        length = 1 if sudden else max(round(between(STEP_S, u[3]) * rate), 1)
        plan["level_step"] = between(STEP_DB, u[1]), int(between((0.1, 0.9), u[4]) * time), length
    if u[5] < config.loud_before:
        plan["loud_before"] = _loud_sound(config, u[6:13], noise, voice)
    if u[13] < config.zeros:
        shortest = min(round(SHORTEST_ZEROS_S * rate), time // 2)
        length = max(round(between((shortest, time / 2), u[14])), 1)
        begin = (0, int(u[16] * (time - length + 1)), time - length)[int(u[15] * 3)]
        plan["zeros"] = begin, length
    if u[17] < config.offset:
        plan["offset"] = between((-OFFSET, OFFSET), u[18])
    if u[19] < config.rumble:
        plan["rumble"] = Rumble(between(RUMBLE_DB, u[20]), _partials(u[21:46]))
    return plan


def _loud_sound(config: MixConfig, u: Sequence[float], noise: Cut, voice: Cut) -> LoudSound:
    """Draw a loud sound from seven uniform numbers; it ends at 10 to 50% of the clip."""
    end = max(int(between((0.1, 0.5), u[0]) * config.time), 1)
    above = between(ABOVE_DB, u[1])
    if u[2] < 1 / 3:
        length = min(round(between(BEEP_S, u[3]) * config.sample_rate), end)
        highest = min(BEEP_HZ[1], 0.45 * config.sample_rate)
        hertz = BEEP_HZ[0] * (highest / BEEP_HZ[0]) ** u[4]
        return LoudSound(end - length, length, above, "beep", hertz=hertz, phase=u[5])
    kind: Literal["noise", "voice"] = "noise" if u[2] < 2 / 3 else "voice"
    recording, first, _ = (noise if kind == "noise" else voice)(u[3], u[4])
    return LoudSound(0, end, above, kind, recording, first)


def _partials(u: Sequence[float]) -> tuple[tuple[float, float, float], ...]:
    """Draw the sines of mains hum (half of the time) or of rumble from 25 uniform numbers."""
    if u[0] < 0.5:
        # Mains are within a fifth of a hertz of their frequency nearly always.
        mains = (50.0 if u[1] < 0.5 else 60.0) + between((-0.2, 0.2), u[2])
        count = 2 + int(u[3] * (HARMONICS - 1))
        levels = [0.0, *(between(HARMONIC_DB, v) for v in u[4 : 3 + HARMONICS])]
        phases = u[10 : 10 + HARMONICS]
        return tuple((mains * (k + 1), 10 ** (levels[k] / 20), phases[k]) for k in range(count))
    return tuple((between(RUMBLE_HZ, u[1 + k]), 1.0, u[13 + k]) for k in range(PARTIALS))


def between(limits: tuple[float, float], uniform: float) -> float:
    """Return the value at a fraction `uniform`, in 0 to 1, of the way from the first limit to the second."""
    return float(limits[0] + (limits[1] - limits[0]) * uniform)
