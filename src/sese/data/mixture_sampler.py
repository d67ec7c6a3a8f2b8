"""Random choice of what each mixture consists of.

Drawing random numbers is cheap and is done with NumPy, one example at a time. `sese.data.mixing` then
computes the audio of a whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from sese.data import disturbances
from sese.data.bank import Bank
from sese.data.conversations import Conversations
from sese.data.mix_config import DISTURBANCES, OFF_BY_DEFAULT, MixConfig
from sese.data.mixture_spec import MixtureSpec
from sese.data.uniform import between
from sese.data.weighted_sampler import WeightedSampler

# Seeds are below 2**63. With this added they are keys of a second stream, which no other seed has.
_SECOND_STREAM = 2**63
# Counter of the second stream at which a third one begins, far beyond what is drawn at the start.
_THIRD_STREAM = 2**63
_ALWAYS_DRAWN = 20  # numbers at the start of the first stream
_AUGMENTATION_DRAWS = 57  # numbers at the start of the second stream

PAUSE_S = (0.1, 0.6)  # between utterances that fill a clip
SECOND_NOISE_DB = (-10.0, 0.0)  # level of a second noise, relative to the first
VOICE_DB = (-6.0, 0.0)  # level of a voice in babble
CLEAN_SNR_DB = 60.0


class MixtureSampler:
    """Draw the specification of each example from the seed and the index of the example alone.

    One vector of random numbers has everything that is always drawn, used or not, so that turning one option
    on does not change the other choices. A second vector, from a stream of its own, has what the options need
    that are off by default. An example without them is the same as if these options did not exist.

    Args:
        config: Chances and ranges.
        speech: Bank of speech.
        noise: Bank of noise.
        rir: Bank of room responses, if any.
        seed: Seed, 0 to 2**63 - 1.
    """

    def __init__(self, config: MixConfig, speech: Bank, noise: Bank, rir: Bank | None, seed: int):
        self.config, self.speech, self.noise, self.rir = config, speech, noise, rir
        self.seed = seed
        # The square root keeps speakers with many hours from dominating; noise categories are nearly equal.
        self.speech_sampler = WeightedSampler(speech, group_power=0.5, recording_power=1.0)
        self.noise_sampler = WeightedSampler(noise, group_power=0.25, recording_power=0.5)
        self.rir_sampler = (
            WeightedSampler(rir, group_power=1.0, recording_power=0.0) if rir is not None else None
        )
        self.conversations = Conversations(speech, self.speech_sampler, config.activity)
        self.augmented = any(getattr(config, name) > 0 for name in OFF_BY_DEFAULT)
        self.disturbed = any(getattr(config, name) > 0 for name in DISTURBANCES)

    def __call__(self, index: int) -> MixtureSpec:
        """Return the specification of example `index` (0 or more)."""
        config = self.config
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed, index], dtype=np.uint64)))
        u = rng.random(_ALWAYS_DRAWN)
        snr, quiet = between(config.snr_db, u[0]), u[1]
        silent = bool(quiet < config.silence)
        if config.silence <= quiet < config.silence + config.clean_only:
            snr = CLEAN_SNR_DB
        noise = [self._cut_noise(u[2], u[3])]
        if u[4] < config.second_noise:
            noise.append(self._cut_noise(u[5], u[6], between(SECOND_NOISE_DB, u[7])))
        speech = self._utterances(rng, index)
        target = speech[0][0]
        fields: dict[str, Any] = {}
        if self.rir_sampler is not None and u[8] < config.reverb:
            fields["rir"] = self.rir_sampler.sample(u[9])
        if u[10] < config.equalise:
            fields["shelves"] = _shelves(u[11:15])
        if u[15] < config.band_limit:
            fields["cutoff_hz"] = between((3400.0, 7000.0), u[16])
        if u[17] < config.clip:
            fields["clip"] = between((0.4, 0.9), u[18])
        level = between(config.level_dbfs, u[19])
        if self.augmented:
            _move_to(rng, (self.seed + _SECOND_STREAM, index))
            fields |= self._augmentation(rng.random(_AUGMENTATION_DRAWS).tolist(), target)
        if self.disturbed:  # drawn last, so that earlier draws stay as they were before this option existed
            u = rng.random(disturbances.DRAWS).tolist()
            fields |= disturbances.draw(config, u, self._cut_noise, partial(self._cut_other_voice, target))
        if config.conversation > 0:
            _move_to(rng, (self.seed + _SECOND_STREAM, index), _THIRD_STREAM)
            if rng.random() < config.conversation:
                fields["turns"], fields["no_noise"] = self.conversations(rng, target, config.time)
        return MixtureSpec(speech, tuple(noise), snr, level, silent, **fields)

    def first_recording(self, index: int, uniform: float) -> int:
        """Return the recording that the speech of an example begins with; its speaker continues.

        Args:
            index: Index of the example.
            uniform: Uniform random number in [0, 1).
        """
        return self.speech_sampler.sample(uniform)

    def _augmentation(self, u: list[float], target: int) -> dict[str, Any]:
        """Draw the options that are off by default, except disturbances and conversations.

        Args:
            u: Uniform random numbers.
            target: A recording of the target speaker.

        Returns:
            Fields of a `MixtureSpec`.
        """
        config, time, rate = self.config, self.config.time, self.config.sample_rate
        fields: dict[str, Any] = {}
        if u[0] < config.babble:
            voices = np.reshape(u[2:26], (8, 3))[: 3 + int(u[1] * 6)]
            fields["babble"] = tuple(
                self._cut_other_voice(target, which, where, between(VOICE_DB, level))
                for which, where, level in voices
            )
        if u[26] < config.colour:
            fields["colour"] = _shelves(u[27:31])
        if u[31] < config.drop_in:
            fade = round(between((0.01, 0.1), u[33]) * rate)
            # At least a tenth of the clip has noise, and at least a tenth has none.
            fields["drop_in"] = round(between((0.1, 0.9), u[34]) * time), fade if u[32] < 0.5 else -fade
        if u[35] < config.level_change:
            length = round(between((0.1, 0.5), u[37]) * rate)
            fields["level_change"] = between((-12.0, 6.0), u[36]), int(u[38] * max(time - length, 1)), length
        if u[39] < config.telephone:
            fields["telephone"] = between((150.0, 300.0), u[40]), between((3000.0, 3600.0), u[41])
            fields["mu_law"] = bool(u[42] < 0.5)
        if u[43] < config.packet_loss:
            lengths = [min(round(between((0.01, 0.06), v) * rate), time) for v in u[45:51]]
            gaps = tuple((int(v * (time - n + 1)), n) for v, n in zip(u[51:57], lengths, strict=True))
            fields["gaps"] = gaps[: 1 + int(u[44] * 6)]
        return fields

    def _cut_noise(self, which: float, where: float, level_db: float = 0.0) -> tuple[int, int, float]:
        """Return (recording, first sample, dB) of a noise, for two uniform random numbers."""
        return self._cut(self.noise, self.noise_sampler.sample(which), where, level_db)

    def _cut_other_voice(
        self, target: int, which: float, where: float, level_db: float = 0.0
    ) -> tuple[int, int, float]:
        """Return (recording, first sample, dB) of another speaker than that of the recording `target`."""
        return self._cut(self.speech, self.speech_sampler.sample_other_group(target, which), where, level_db)

    def _cut(self, bank: Bank, recording: int, where: float, level_db: float) -> tuple[int, int, float]:
        """Return (recording, first sample, dB) of a part that is as long as the clip.

        A recording of at least that length is cut so that it need not repeat; a shorter one begins anywhere.
        """
        length, time = int(bank.lengths[recording]), self.config.time
        positions = length - time + 1 if length >= time else length
        return recording, int(where * positions), level_db

    def _utterances(self, rng: np.random.Generator, index: int) -> tuple[tuple[int, int], ...]:
        """Return (recording, position in the clip) of utterances of one speaker that fill the clip.

        Pauses lie between them. An utterance longer than the clip is cut anywhere.
        """
        time, rate = self.config.time, self.config.sample_rate
        first, where, pause = rng.random(3)
        recording = self.first_recording(index, first)
        length = int(self.speech.lengths[recording])
        if length >= time:
            return ((recording, -int(where * (length - time + 1))),)
        begin = int(between((0.0, PAUSE_S[1]), pause) * rate) % time
        utterances = [(recording, begin)]
        while (begin := begin + length + int(between(PAUSE_S, rng.random()) * rate)) < time:
            recording = self.speech_sampler.sample_same_group(recording, rng.random())
            length = int(self.speech.lengths[recording])
            utterances.append((recording, begin))
        return tuple(utterances)


_INITIAL_STATE = np.random.Philox(key=0).state


def _move_to(rng: np.random.Generator, key: tuple[int, int], counter: int = 0) -> None:
    """Move a Philox generator to the stream of another key, which is ten times as fast as creating one.

    Args:
        rng: Generator to change.
        key: Key of the stream.
        counter: Highest word of the position in the stream; 0 is the start.
    """
    state = {
        "counter": np.array([0, 0, 0, counter], dtype=np.uint64),
        "key": np.array(key, dtype=np.uint64),
    }
    rng.bit_generator.state = _INITIAL_STATE | {"state": state}


def _shelves(u: Sequence[float] | np.ndarray) -> tuple[float, float, float, float]:
    """Return (low dB, low Hz, high dB, high Hz), with corners at 100 to 500 Hz and 1.5 to 4.5 kHz."""
    low_db, high_db = between((-8.0, 8.0), u[0]), between((-8.0, 8.0), u[2])
    return low_db, float(100.0 * 5.0 ** u[1]), high_db, float(1500.0 * 3.0 ** u[3])
