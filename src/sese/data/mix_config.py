"""Configuration of noisy mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sese.core.errors import InputError

DISTURBANCES = ("level_step", "loud_before", "zeros", "offset", "rumble")
"""Options that are drawn last, by `sese.data.disturbances`."""

OFF_BY_DEFAULT = (
    "babble",
    "colour",
    "drop_in",
    "level_change",
    "telephone",
    "packet_loss",
    "conversation",
    *DISTURBANCES,
)
"""Options whose default chance is 0."""

CHANCES = (
    "second_noise",
    "reverb",
    "equalise",
    "band_limit",
    "clip",
    "silence",
    "clean_only",
    *OFF_BY_DEFAULT,
)
"""All options whose value is a chance."""

LONGEST_S = 600.0
"""Longest clip in seconds; a clip is mixed in memory."""

ACTIVITY = (0.1, 0.9)
"""Lowest and highest share of active speech in a conversation."""


@dataclass(frozen=True)
class MixConfig:
    """How noisy mixtures are computed.

    Levels are RMS in dB relative to full scale (1.0). A chance is the probability, 0 to 1, that an example
    has the property. The options from `babble` on are off by default. They have random numbers of their own,
    so turning one on leaves everything else as it was.

    Attributes:
        sample_rate: Sample rate of the banks in Hz. Training replaces it by the sample rate of the network.
        seconds: Length of a clip, 0.02 to 600 s.
        snr_db: Lowest and highest ratio of active speech to noise, before any clipping, change of level or
            gap. Loud sounds before the speech, offsets and rumble do not count as noise.
        level_dbfs: Lowest and highest RMS of the active speech, before any change of level or gap. The level
            is lower after a loud sound, which has at most -6 dBFS, and where peaks would exceed full scale.
        second_noise: Chance of a second noise, 0 to 10 dB weaker than the first.
        reverb: Chance of a room response on the speech, where a bank of room responses is available.
        early_ms: Length in milliseconds of the early reflections, which are part of the target; later
            reflections are to be removed. The SNR is that of the target to the noise.
        equalise: Chance of a low and a high shelf filter of up to 8 dB each, the same on clean and noisy.
        band_limit: Chance of a low-pass filter at 3.4 to 7 kHz, the same on clean and noisy.
        clip: Chance that the noisy signal is clipped at 0.4 to 0.9 of its peak.
        silence: Chance of no speech: the clean signal is zero and the SNR is -inf.
        clean_only: Chance of nearly no noise: an SNR of 60 dB.
        babble: Chance that 3 to 8 voices of the speech bank replace the first noise, each 0 to 6 dB below
            unit power. No voice is that of the target speaker, where the bank has several groups.
        colour: Chance of a low and a high shelf filter of up to 8 dB each on the noise alone.
        drop_in: Chance that the noise begins or ends within the clip, with a fade of 10 to 100 ms. The SNR is
            then that of the part with noise.
        level_change: Chance of one smooth change of the gain by -12 to 6 dB in 0.1 to 0.5 s, the same on
            clean and noisy.
        telephone: Chance of a band-pass filter from 150-300 Hz to 3-3.6 kHz, the same on clean and noisy.
            Half of these noisy signals are also quantised to 8-bit mu-law.
        packet_loss: Chance of 1 to 6 gaps of 10 to 60 ms, the same on clean and noisy.
        conversation: Chance of a conversation: turns of one or two talkers with pauses of 1 to 10 s, see
            `sese.data.conversations`. The levels of the talkers differ by up to 20 dB. A third of these clips
            has no noise for half of their length. A short clip may lie within a pause.
        activity: Share of the time in which speech is active in conversations, 0.1 to 0.9.
        level_step: Chance of a step of the gain by -30 to 25 dB at 10 to 90% of the clip, the same on clean
            and noisy. Half of the steps are sudden, the others take 1 to 50 ms. Where a step up would exceed
            full scale, the whole clip is made quieter.
        loud_before: Chance of a loud sound before the speech, 15 to 35 dB above it and at most -6 dBFS. It
            ends at 10 to 50% of the clip, and the speech pauses until then. A third each are noise
            recordings, sines of 0.2 to 1 s at 200 to 4000 Hz, and voices of other speakers. Noise and sines
            are in the noisy signal alone. A voice is in both, since nothing tells a network to remove it.
        zeros: Chance of a stretch of digital zeros in clean and noisy, from 0.05 s to half the clip and
            without fades, at the beginning, at the end or anywhere.
        offset: Chance of a constant offset of -0.05 to 0.05 on the noisy signal. Digital zeros stay zero.
        rumble: Chance of hum or rumble in the noisy signal, -10 to 20 dB relative to the active speech. Half
            is mains hum of 50 or 60 Hz with 1 to 5 harmonics, half is rumble between 8 and 60 Hz.
    """

    sample_rate: int = 16000
    seconds: float = 4.0
    snr_db: tuple[float, float] = (-5.0, 20.0)
    level_dbfs: tuple[float, float] = (-38.0, -12.0)
    second_noise: float = 0.3
    reverb: float = 0.3
    early_ms: float = 50.0
    equalise: float = 0.3
    band_limit: float = 0.1
    clip: float = 0.03
    silence: float = 0.03
    clean_only: float = 0.03
    babble: float = 0.0
    colour: float = 0.0
    drop_in: float = 0.0
    level_change: float = 0.0
    telephone: float = 0.0
    packet_loss: float = 0.0
    conversation: float = 0.0
    activity: float = 0.4
    level_step: float = 0.0
    loud_before: float = 0.0
    zeros: float = 0.0
    offset: float = 0.0
    rumble: float = 0.0

    def __post_init__(self) -> None:
        for name in CHANCES:
            chance = getattr(self, name)
            if not 0.0 <= chance <= 1.0:
                raise InputError(f"mix {name}: got {chance}; give a chance from 0 to 1")
        for name in ("snr_db", "level_dbfs"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise InputError(f"mix {name}: got ({low}, {high}); give finite numbers, the lowest first")
        if self.sample_rate < 1:
            raise InputError(f"mix sample_rate: got {self.sample_rate} Hz; give 1 or more")
        if not 0 < self.seconds <= LONGEST_S or self.time < self.sample_rate // 50:
            raise InputError(f"mix seconds: got {self.seconds}; give 0.02 to {LONGEST_S:g} s")
        if not ACTIVITY[0] <= self.activity <= ACTIVITY[1]:
            low, high = ACTIVITY
            raise InputError(f"mix activity: got {self.activity}; give a share from {low:g} to {high:g}")
        if self.early_ms < 0:
            raise InputError(f"mix early_ms: got {self.early_ms}; give 0 or more")

    @property
    def time(self) -> int:
        """Number of samples in a clip."""
        return round(self.seconds * self.sample_rate)

    def without_augmentation(self, reverb: float = 0.0) -> MixConfig:
        """Return a copy where all chances are 0, except that of reverberation.

        Speech, noise, SNR and level still vary.
        """
        return replace(self, **(dict.fromkeys(CHANCES, 0.0) | {"reverb": reverb}))  # type: ignore[arg-type]
