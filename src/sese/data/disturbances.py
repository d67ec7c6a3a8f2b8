"""Random choice of disturbances that mislead the running level of a network, or fill its lowest bands.

These are steps of the gain, loud sounds before the speech, digital zeros, constant offsets and hum. All are
off by default. `sese.data.mixture_sampler` draws them, and `sese.data.mixing` computes their audio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from sese.data.mix_config import MixConfig
from sese.data.mixture_spec import LoudSound, Rumble
from sese.data.uniform import between, log_between

DRAWS = 46
"""Number of uniform random numbers that one example needs."""

STEP_DB = (-30.0, 25.0)
STEP_S = (0.001, 0.05)
ABOVE_DB = (15.0, 35.0)  # level of a loud sound, relative to the speech
BEEP_S, BEEP_HZ = (0.2, 1.0), (200.0, 4000.0)
SHORTEST_ZEROS_S = 0.05
OFFSET = 0.05
RUMBLE_DB = (-10.0, 20.0)  # relative to the speech
RUMBLE_HZ = (8.0, 60.0)
HARMONIC_DB = (-30.0, -5.0)  # level of a harmonic of hum, relative to its fundamental
MOST_HARMONICS = 6  # sines of hum
RUMBLE_PARTIALS = 12  # sines of rumble

Cut = Callable[[float, float], tuple[int, int, float]]
"""Returns (recording, first sample, dB) for two uniform random numbers."""


def draw(config: MixConfig, u: Sequence[float], noise: Cut, voice: Cut) -> dict[str, Any]:
    """Draw the disturbances of one example.

    Args:
        config: Chance of each disturbance.
        u: `DRAWS` uniform random numbers. Each disturbance has its own, so that one does not change another.
        noise: Cuts a recording of noise.
        voice: Cuts a recording of another speaker.

    Returns:
        Fields of a `MixtureSpec`, for the disturbances that the example has.
    """
    fields: dict[str, Any] = {}
    time, rate = config.time, config.sample_rate
    if u[0] < config.level_step:
        sudden = u[2] < 0.5
        length = 1 if sudden else max(round(between(STEP_S, u[3]) * rate), 1)
        fields["level_step"] = between(STEP_DB, u[1]), int(between((0.1, 0.9), u[4]) * time), length
    if u[5] < config.loud_before:
        fields["loud_before"] = _loud_sound(config, u[6:13], noise, voice)
    if u[13] < config.zeros:
        shortest = min(round(SHORTEST_ZEROS_S * rate), time // 2)
        length = max(round(between((shortest, time / 2), u[14])), 1)
        begin = (0, int(u[16] * (time - length + 1)), time - length)[int(u[15] * 3)]
        fields["zeros"] = begin, length
    if u[17] < config.offset:
        fields["offset"] = between((-OFFSET, OFFSET), u[18])
    if u[19] < config.rumble:
        fields["rumble"] = Rumble(between(RUMBLE_DB, u[20]), _partials(u[21:46]))
    return fields


def _loud_sound(config: MixConfig, u: Sequence[float], noise: Cut, voice: Cut) -> LoudSound:
    """Draw a loud sound, which ends at 10 to 50% of the clip, from seven uniform random numbers."""
    end = max(int(between((0.1, 0.5), u[0]) * config.time), 1)
    above = between(ABOVE_DB, u[1])
    if u[2] < 1 / 3:
        length = min(round(between(BEEP_S, u[3]) * config.sample_rate), end)
        hertz = log_between((BEEP_HZ[0], min(BEEP_HZ[1], 0.45 * config.sample_rate)), u[4])
        return LoudSound(end - length, length, above, "beep", hertz=hertz, phase=u[5])
    kind: Literal["noise", "voice"] = "noise" if u[2] < 2 / 3 else "voice"
    recording, first, _ = (noise if kind == "noise" else voice)(u[3], u[4])
    return LoudSound(0, end, above, kind, recording, first)


def _partials(u: Sequence[float]) -> tuple[tuple[float, float, float], ...]:
    """Draw the sines of mains hum or of rumble, with equal chance, from 25 uniform random numbers."""
    if u[0] < 0.5:
        # The mains frequency is nearly always within 0.2 Hz of its nominal value.
        mains = (50.0 if u[1] < 0.5 else 60.0) + between((-0.2, 0.2), u[2])
        count = 2 + int(u[3] * (MOST_HARMONICS - 1))
        levels = [0.0, *(between(HARMONIC_DB, v) for v in u[4 : 3 + MOST_HARMONICS])]
        phases = u[10 : 10 + MOST_HARMONICS]
        return tuple((mains * (k + 1), 10 ** (levels[k] / 20), phases[k]) for k in range(count))
    return tuple((between(RUMBLE_HZ, u[1 + k]), 1.0, u[13 + k]) for k in range(RUMBLE_PARTIALS))
