"""What goes into each training example, drawn from (seed, index) alone.

Drawing is cheap and is done in numpy, example by example; the samples are then gathered and mixed in
batches by `sese.data.mixing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sese.data.bank import Bank
from sese.errors import InputError

PAUSE_S = (0.1, 0.6)  # between utterances joined to fill a clip
SECOND_NOISE_DB = (-10.0, 0.0)  # level of a second noise, relative to the first


@dataclass(frozen=True)
class MixConfig:
    """How examples are made. Levels are RMS in dB relative to full scale (1.0); chances are in 0 to 1.

    sample_rate: Hz, that of the banks. seconds: length of a clip.
    snr_db: (lowest, highest) of active speech over noise, before any clipping.
    level_dbfs: (lowest, highest) RMS of the active speech in the mixture.
    second_noise: chance that a second noise, 0 to 10 dB weaker, is added to the first.
    reverb: chance that the speech is put into a room (where room responses are given).
    early_ms: in a room, the target is the speech with the reflections up to this long after the direct
        path; what comes later is to be removed. The SNR is that of the target over the noise alone.
    equalise: chance of a low and a high shelf of up to 8 dB each, the same on clean and noisy.
    band_limit: chance of a low-pass at 3.4 to 7 kHz, the same on clean and noisy.
    clip: chance that the noisy side is clipped at 0.4 to 0.9 of its peak.
    silence: chance that there is no speech: the clean side is zero, the SNR is -inf.
    clean_only: chance that the noise is barely there: an SNR of 60 dB.
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

    def __post_init__(self) -> None:
        for name in ("second_noise", "reverb", "equalise", "band_limit", "clip", "silence", "clean_only"):
            chance = getattr(self, name)
            if not 0.0 <= chance <= 1.0:
                raise InputError(f"mix {name}: got {chance}; give a chance from 0 to 1")
        for name in ("snr_db", "level_dbfs"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise InputError(f"mix {name}: got ({low}, {high}); give finite numbers, the lowest first")
        if not (self.sample_rate > 0 and math.isfinite(self.seconds) and self.time >= self.sample_rate // 50):
            raise InputError(f"mix seconds: got {self.seconds} at {self.sample_rate} Hz; give 0.02 s or more")
        if self.early_ms < 0:
            raise InputError(f"mix early_ms: got {self.early_ms}; give 0 or more")

    @property
    def time(self) -> int:
        """Samples in a clip."""
        return round(self.seconds * self.sample_rate)

    def plain(self, reverb: float = 0.0) -> MixConfig:
        """The same without augmentation: only speech, noise, SNR and level vary (and rooms)."""
        off = dict.fromkeys(("second_noise", "equalise", "band_limit", "clip", "silence", "clean_only"), 0.0)
        return replace(self, reverb=reverb, **off)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Plan:
    """One example. Positions are in samples.

    speech: (recording, where in the clip it begins; negative: before the clip) in order, not overlapping.
    noise: (recording, first sample taken, level in dB relative to the first noise); loops if short.
    rir: recording in the bank of rooms, -1 for none. shelves: (low dB, low Hz, high dB, high Hz).
    cutoff_hz: inf for none. clip: part of the peak kept, 1 for all.
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

    @property
    def filtered(self) -> bool:
        return self.shelves[0] != 0.0 or self.shelves[2] != 0.0 or self.cutoff_hz < math.inf


class Urn:
    """Draws recordings of a bank: a group by its total length to a power, then one in it likewise.

    A power of 1 is proportional to the length, 0 treats all alike; 0.5 keeps the long from ruling.
    """

    def __init__(self, bank: Bank, group_power: float, recording_power: float):
        self.order = np.argsort(bank.groups, kind="stable")
        group = bank.groups[self.order]
        weight = bank.lengths[self.order].astype(np.float64) ** recording_power
        total = np.bincount(bank.groups, weights=bank.lengths)
        weight *= total[group] ** group_power / np.bincount(group, weights=weight)[group]
        self.edges = np.concatenate([[0.0], np.cumsum(weight)])
        ends = np.searchsorted(group, np.arange(len(bank.group_names) + 1))
        self.span = self.edges[ends]  # the stretch of each group on the line of weights
        self.group_of = bank.groups

    def draw(self, uniform: float) -> int:
        return self._at(uniform * self.edges[-1])

    def draw_alike(self, recording: int, uniform: float) -> int:
        """Another (or the same) recording of the same group."""
        low, high = self.span[self.group_of[recording] : self.group_of[recording] + 2]
        return self._at(low + uniform * (high - low))

    def _at(self, position: float) -> int:
        place = int(np.searchsorted(self.edges, position, side="right")) - 1
        return int(self.order[min(place, len(self.order) - 1)])


class Planner:
    """Draws the plan of example i from (seed, i)."""

    def __init__(self, config: MixConfig, speech: Bank, noise: Bank, rir: Bank | None, seed: int):
        self.config, self.speech, self.noise, self.rir = config, speech, noise, rir
        self.seed = seed
        # Speakers by the root of their duration, so that no one voice rules; noise by category almost evenly.
        self.voices = Urn(speech, group_power=0.5, recording_power=1.0)
        self.noises = Urn(noise, group_power=0.25, recording_power=0.5)
        self.rooms = Urn(rir, group_power=1.0, recording_power=0.0) if rir is not None else None

    def __call__(self, index: int) -> Plan:
        config = self.config
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed, index], dtype=np.uint64)))
        # One vector for all that is always drawn: turning one option on leaves the other choices alone.
        u = rng.random(20)
        snr, quiet = _between(config.snr_db, u[0]), u[1]
        silent = bool(quiet < config.silence)
        if config.silence <= quiet < config.silence + config.clean_only:
            snr = 60.0
        noise = [self._noise(u[2], u[3], 0.0)]
        if u[4] < config.second_noise:
            noise.append(self._noise(u[5], u[6], _between(SECOND_NOISE_DB, u[7])))
        plan: dict[str, Any] = {}
        if self.rooms is not None and u[8] < config.reverb:
            plan["rir"] = self.rooms.draw(u[9])
        if u[10] < config.equalise:
            plan["shelves"] = (
                _between((-8.0, 8.0), u[11]),
                100.0 * 5.0 ** u[12],
                _between((-8.0, 8.0), u[13]),
                1500.0 * 3.0 ** u[14],
            )
        if u[15] < config.band_limit:
            plan["cutoff_hz"] = _between((3400.0, 7000.0), u[16])
        if u[17] < config.clip:
            plan["clip"] = _between((0.4, 0.9), u[18])
        level = _between(config.level_dbfs, u[19])
        return Plan(self._utterances(rng), tuple(noise), snr, level, silent, **plan)

    def _noise(self, which: float, where: float, level_db: float) -> tuple[int, int, float]:
        recording = self.noises.draw(which)
        length, time = int(self.noise.lengths[recording]), self.config.time
        # A long noise is cut where it need not loop; a short one loops from anywhere.
        room = length - time + 1 if length >= time else length
        return recording, int(where * room), level_db

    def _utterances(self, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
        """Utterances of one speaker, with pauses, until the clip is full; a long one is cut anywhere."""
        time, rate = self.config.time, self.config.sample_rate
        first, room, pause = rng.random(3)
        recording = self.voices.draw(first)
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


def _between(limits: tuple[float, float], uniform: float) -> float:
    return float(limits[0] + (limits[1] - limits[0]) * uniform)
