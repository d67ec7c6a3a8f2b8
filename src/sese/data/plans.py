"""What goes into each training example, drawn from (seed, index) alone.

Drawing is cheap and is done in numpy, example by example; the samples are then gathered and mixed in
batches by `sese.data.mixing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sese.core.errors import InputError
from sese.data import disturbances
from sese.data.bank import Bank
from sese.data.conversations import Conversations, Turn, check_activity
from sese.data.disturbances import DISTURBANCES, LOUDEST_DBFS, LoudSound, Rumble
from sese.data.disturbances import between as _between
from sese.data.urn import Urn

_SECOND_STREAM = 2**63  # added to the seed, which is below: no seed has the second stream of another
_FAR = 2**63  # a place of the second stream that what is drawn at its start never reaches: a third stream
PAUSE_S = (0.1, 0.6)  # between utterances joined to fill a clip
SECOND_NOISE_DB = (-10.0, 0.0)  # level of a second noise, relative to the first
VOICE_DB = (-6.0, 0.0)  # level of a voice in babble
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
LONGEST_S = 600.0  # of a clip, which is mixed in memory
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


@dataclass(frozen=True)
class MixConfig:
    """How examples are made. Levels are RMS in dB relative to full scale (1.0); chances are in 0 to 1.

    sample_rate: Hz, that of the banks; a training sets it to its network's, whatever it is here.
    seconds: length of a clip, up to 600.
    snr_db: (lowest, highest) of active speech over noise, before any clipping, change of level or gap. Loud
        sounds before the speech, offsets and rumble do not count as noise.
    level_dbfs: (lowest, highest) RMS of the active speech in the mixture, before any change of level or gap.
        It is lower after a loud sound, which has -6 dBFS at most, and where peaks would exceed full scale.
    second_noise: chance that a second noise, 0 to 10 dB weaker, is added to the first.
    reverb: chance that the speech is put into a room (where room responses are given).
    early_ms: in a room, the target is the speech with the reflections up to this long after the direct
        path; what comes later is to be removed. The SNR is that of the target over the noise alone.
    equalise: chance of a low and a high shelf of up to 8 dB each, the same on clean and noisy.
    band_limit: chance of a low-pass at 3.4 to 7 kHz, the same on clean and noisy.
    clip: chance that the noisy side is clipped at 0.4 to 0.9 of its peak.
    silence: chance that there is no speech: the clean side is zero, the SNR is -inf.
    clean_only: chance that the noise is barely there: an SNR of 60 dB.

    Those below are off unless asked for, and draw from a stream of their own:
    babble: chance that the first noise is 3 to 8 voices of the speech bank, each 0 to 6 dB below unit power.
        None is of the target's speaker, where the groups of the bank tell speakers apart.
    colour: chance of a low and a high shelf of up to 8 dB each on the noise alone.
    drop_in: chance that the noise begins or ends within the clip, with a fade of 10 to 100 ms and silence on
        one side. The SNR is then that over the part with noise.
    level_change: chance of one smooth change of the gain, by -12 to 6 dB in 0.1 to 0.5 s, the same on clean
        and noisy.
    telephone: chance of a band-pass from 150-300 Hz to 3-3.6 kHz, the same on clean and noisy; the noisy side
        of half of these clips is also quantised to 8-bit mu-law.
    packet_loss: chance of 1 to 6 gaps of 10 to 60 ms, the same on clean and noisy.
    conversation: chance of turns of one or two talkers with pauses of 1 to 10 s between them. The talkers'
        levels differ by up to 20 dB; a third of these clips has no noise for half of their length. A short
        clip may lie in a pause. See `sese.data.conversations`.
    activity: share of the time in which speech is active in conversations, 0.1 to 0.9.
    level_step: chance of a step of the gain by -30 to 25 dB, the same on clean and noisy, at 10 to 90% of the
        clip. Half of the steps are sudden, the others take 1 to 50 ms. Where a step up would exceed full
        scale, the whole clip is made quieter.
    loud_before: chance of a loud sound before the speech, 15 to 35 dB above it and of up to -6 dBFS. It ends
        at 10 to 50% of the clip, and the speech pauses for as long. A third each are noise recordings, sines
        of 0.2 to 1 s at 200 to 4000 Hz, and voices of other speakers. Noise and sines are on the noisy side
        alone. A voice is on both sides: nothing in it tells a network that it should be removed.
    zeros: chance of a stretch of digital zeros on clean and noisy, of 0.05 s to half the clip, without a
        fade. It is at the beginning, at the end, or anywhere.
    offset: chance of a constant offset of -0.05 to 0.05 on the noisy side. Digital zeros stay zero.
    rumble: chance of hum or rumble on the noisy side, at -10 to 20 dB relative to the active speech. Half is
        mains hum of 50 or 60 Hz with 1 to 5 harmonics, half is rumble between 8 and 60 Hz.
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
        check_activity(self.activity)
        if self.early_ms < 0:
            raise InputError(f"mix early_ms: got {self.early_ms}; give 0 or more")

    @property
    def time(self) -> int:
        """Samples in a clip."""
        return round(self.seconds * self.sample_rate)

    def plain(self, reverb: float = 0.0) -> MixConfig:
        """The same without augmentation: only speech, noise, SNR and level vary (and rooms)."""
        return replace(self, **(dict.fromkeys(CHANCES, 0.0) | {"reverb": reverb}))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Plan:
    """One example. Positions are in samples.

    speech: (recording, where in the clip it begins; negative: before the clip) in order, not overlapping.
    noise: (recording, first sample taken, level in dB relative to the first noise); loops if short.
    rir: recording in the bank of rooms, -1 for none. shelves: (low dB, low Hz, high dB, high Hz).
    cutoff_hz: inf for none. clip: part of the peak kept, 1 for all.
    babble: as `noise`, but recordings of the speech bank; where there are any, they stand in for the first
        noise. colour: as `shelves`, of the noise alone.
    drop_in: (middle of the fade, its length; negative where the noise ends there), None for noise throughout.
    level_change: (dB, where the change begins, its length), None for none.
    telephone: (low Hz, high Hz), None for none. mu_law: the noisy side is quantised.
    gaps: (where it begins, its length) in any order, maybe overlapping.
    turns: of a conversation, which stand in for `speech`; maybe none. None where it is no conversation.
    no_noise: (first sample, length) of a stretch of a conversation without noise.
    level_step: as `level_change`. loud_before: None for none. zeros: (first sample, length), None for none.
    offset: in parts of full scale. rumble: None for none.
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
        """The level of the speech: low enough that a loud sound before it is not too loud."""
        if self.loud_before is None:
            return self.level_dbfs
        return min(self.level_dbfs, LOUDEST_DBFS - self.loud_before.above_db)

    @property
    def filtered(self) -> bool:
        """Whether there is a filter on both sides."""
        shelved = self.shelves[0] != 0.0 or self.shelves[2] != 0.0
        return shelved or self.cutoff_hz < math.inf or self.telephone is not None


class Planner:
    """Draws the plan of example i from (seed, i).

    One vector holds all that is always drawn, used or not: turning one option on leaves the other choices
    alone. A second vector, of a stream of its own, holds what the options that are off by default need, so
    that an example without them is the same as if they did not exist.
    """

    def __init__(self, config: MixConfig, speech: Bank, noise: Bank, rir: Bank | None, seed: int):
        self.config, self.speech, self.noise, self.rir = config, speech, noise, rir
        self.seed = seed
        # Speakers by the root of their duration, so that no one voice rules; noise by category almost evenly.
        self.voices = Urn(speech, group_power=0.5, recording_power=1.0)
        self.noises = Urn(noise, group_power=0.25, recording_power=0.5)
        self.rooms = Urn(rir, group_power=1.0, recording_power=0.0) if rir is not None else None
        self.conversations = Conversations(speech, self.voices, config.activity)
        self.augmented = any(getattr(config, name) > 0 for name in OFF_BY_DEFAULT)
        self.disturbed = any(getattr(config, name) > 0 for name in DISTURBANCES)

    def __call__(self, index: int) -> Plan:
        config = self.config
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed, index], dtype=np.uint64)))
        u = rng.random(20)
        snr, quiet = _between(config.snr_db, u[0]), u[1]
        silent = bool(quiet < config.silence)
        if config.silence <= quiet < config.silence + config.clean_only:
            snr = 60.0
        noise = [self._noise(u[2], u[3], 0.0)]
        if u[4] < config.second_noise:
            noise.append(self._noise(u[5], u[6], _between(SECOND_NOISE_DB, u[7])))
        speech = self._utterances(rng, index)
        plan: dict[str, Any] = {}
        if self.rooms is not None and u[8] < config.reverb:
            plan["rir"] = self.rooms.draw(u[9])
        if u[10] < config.equalise:
            plan["shelves"] = _shelves(u[11:15])
        if u[15] < config.band_limit:
            plan["cutoff_hz"] = _between((3400.0, 7000.0), u[16])
        if u[17] < config.clip:
            plan["clip"] = _between((0.4, 0.9), u[18])
        level = _between(config.level_dbfs, u[19])
        if self.augmented:
            _restart(rng, self.seed + _SECOND_STREAM, index)
            plan |= self._augmentation(rng.random(57).tolist(), speech[0][0])
        if self.disturbed:  # after all that was drawn before there were disturbances
            u = rng.random(disturbances.DRAWS).tolist()
            plan |= disturbances.draw(config, u, self._any_noise, partial(self._other_voice, speech[0][0]))
        if config.conversation > 0:
            _restart(rng, self.seed + _SECOND_STREAM, index, _FAR)
            if rng.random() < config.conversation:
                plan["turns"], plan["no_noise"] = self.conversations(rng, speech[0][0], config.time)
        return Plan(speech, tuple(noise), snr, level, silent, **plan)

    def _augmentation(self, u: list[float], target: int) -> dict[str, Any]:
        """The options that are off by default, as fields of the plan; target: a recording of the speaker."""
        config, time, rate = self.config, self.config.time, self.config.sample_rate
        plan: dict[str, Any] = {}
        if u[0] < config.babble:
            voices = np.reshape(u[2:26], (8, 3))[: 3 + int(u[1] * 6)]
            plan["babble"] = tuple(
                self._cut(
                    self.speech, self.voices.draw_other(target, which), where, _between(VOICE_DB, level)
                )
                for which, where, level in voices
            )
        if u[26] < config.colour:
            plan["colour"] = _shelves(u[27:31])
        if u[31] < config.drop_in:
            fade = round(_between((0.01, 0.1), u[33]) * rate)
            # A tenth of the clip or more has noise, and as much has none.
            plan["drop_in"] = round(_between((0.1, 0.9), u[34]) * time), fade if u[32] < 0.5 else -fade
        if u[35] < config.level_change:
            length = round(_between((0.1, 0.5), u[37]) * rate)
            plan["level_change"] = _between((-12.0, 6.0), u[36]), int(u[38] * max(time - length, 1)), length
        if u[39] < config.telephone:
            plan["telephone"] = _between((150.0, 300.0), u[40]), _between((3000.0, 3600.0), u[41])
            plan["mu_law"] = bool(u[42] < 0.5)
        if u[43] < config.packet_loss:
            lengths = [min(round(_between((0.01, 0.06), v) * rate), time) for v in u[45:51]]
            gaps = tuple((int(v * (time - n + 1)), n) for v, n in zip(u[51:57], lengths, strict=True))
            plan["gaps"] = gaps[: 1 + int(u[44] * 6)]
        return plan

    def _any_noise(self, which: float, where: float) -> tuple[int, int, float]:
        return self._noise(which, where, 0.0)

    def _other_voice(self, target: int, which: float, where: float) -> tuple[int, int, float]:
        return self._cut(self.speech, self.voices.draw_other(target, which), where, 0.0)

    def _noise(self, which: float, where: float, level_db: float) -> tuple[int, int, float]:
        return self._cut(self.noise, self.noises.draw(which), where, level_db)

    def _cut(self, bank: Bank, recording: int, where: float, level_db: float) -> tuple[int, int, float]:
        length, time = int(bank.lengths[recording]), self.config.time
        # A long recording is cut where it need not loop; a short one loops from anywhere.
        room = length - time + 1 if length >= time else length
        return recording, int(where * room), level_db

    def opening(self, index: int, uniform: float) -> int:
        """The recording that an example's speech begins with, and whose speaker goes on."""
        return self.voices.draw(uniform)

    def _utterances(self, rng: np.random.Generator, index: int) -> tuple[tuple[int, int], ...]:
        """Utterances of one speaker, with pauses, until the clip is full; a long one is cut anywhere."""
        time, rate = self.config.time, self.config.sample_rate
        first, room, pause = rng.random(3)
        recording = self.opening(index, first)
        length = int(self.speech.lengths[recording])
        if length >= time:
            return ((recording, -int(room * (length - time + 1))),)
        begin = int(_between((0.0, PAUSE_S[1]), pause) * rate) % time
        placed = [(recording, begin)]
        while (begin := begin + length + int(_between(PAUSE_S, rng.random()) * rate)) < time:
            recording = self.voices.draw_alike(recording, rng.random())
            length = int(self.speech.lengths[recording])
            placed.append((recording, begin))
        return tuple(placed)


_FRESH = np.random.Philox(key=0).state  # nothing drawn


def _restart(rng: np.random.Generator, first: int, second: int, far: int = 0) -> None:
    """Put a Philox generator into the stream of another key: ten times as quick as a new one.

    far: highest word of the place in that stream; 0 for its start.
    """
    place = {
        "counter": np.array([0, 0, 0, far], dtype=np.uint64),
        "key": np.array([first, second], dtype=np.uint64),
    }
    rng.bit_generator.state = _FRESH | {"state": place}


def _shelves(u: Sequence[float] | np.ndarray) -> tuple[float, float, float, float]:
    """(low dB, low Hz, high dB, high Hz), the corners at 100 to 500 Hz and 1.5 to 4.5 kHz."""
    low_db, high_db = _between((-8.0, 8.0), u[0]), _between((-8.0, 8.0), u[2])
    return low_db, float(100.0 * 5.0 ** u[1]), high_db, float(1500.0 * 3.0 ** u[3])
