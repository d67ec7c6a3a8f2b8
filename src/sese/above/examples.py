"""Examples for the network above a model's band: what it hears in a mixture, and the clean powers there.

The code of the runtime computes both. The cache has the powers in all bands, in blocks of examples named by
a hash of what they are computed from. A stopped command goes on where it was, and a change of what the
network hears needs no model to run again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sese.above.config import RATE, AboveConfig
from sese.core.cache import cache_folder
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import read_arrays
from sese.data.corpora import check_disjoint
from sese.data.corpus_banks import Banks, decode_corpus, find_corpus
from sese.data.labelled_pool import mixtures_hash
from sese.data.mixing import Mixer
from sese.data.synthetic import synthetic_banks
from sese.evaluation.suite import default_budgets
from sese.runtime.artefact import find_model
from sese.runtime.band_evidence import LOWEST, SILENT, BandEvidence, SteadyNoise
from sese.runtime.enhancer import Enhancer
from sese.runtime.framing import Framing
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import Pilot

_FORMAT = 4  # raise when the stored values change
_BLOCK = 50
"""Number of clips in a file of the cache."""

HISS_DB = (-45.0, 0.0)
"""Level of hiss relative to the active speech."""

SLOPES_DB = (-6.0, 6.0)
"""Slope of the spectrum of hiss, in dB per octave."""

TILT_DB, TILT_OCTAVES = 4.0, 12
"""Standard deviation of the spectrum from its slope at each of this many octaves."""

GRAIN = (1.0, 4.0)
"""Exponent of the samples of hiss before it is filtered: 1 is hiss, more is like drops of rain."""

SWELL_DB, SWELL_SECONDS = 3.0, 1.5
"""Standard deviation of the level of hiss, at points of time with this distance."""

AT_ONCE = 256
"""Number of points of time that one call gets at most."""

POWERS = ("above", "heard", "left", "clean")
"""Powers that are stored: above the model's band, of its input and output, and of the clean signal above."""

Audio = NDArray[np.float32]


class Examples(NamedTuple):
    """Examples of equal length.

    Attributes:
        values: What the network hears, float16 [clip, point, value].
        clean: Power of the clean signal, but for its own steady noise, over that of the mixture in each band
            above, as a power of ten, float16 [clip, point, band].
    """

    values: NDArray[np.float16]
    clean: NDArray[np.float16]


class _Recorder:
    """Record the powers of each point in place of choosing gains."""

    def __init__(self) -> None:
        self.powers: list[tuple[Audio, Audio, Audio]] = []

    def reset(self) -> None:
        """Do nothing."""

    def __call__(self, above: Audio, heard: Audio, left: Audio) -> Audio:
        """Return a gain of 1 for each band."""
        self.powers.append((above, heard, left))
        return np.ones_like(above)

    def joined(self) -> tuple[Audio, ...]:
        """Return the powers of all points: above, heard, left."""
        return tuple(np.concatenate(each) for each in zip(*self.powers, strict=True))


def powers(framing: Framing, model: Callable[[Audio], Audio], audio: Audio) -> tuple[Audio, ...]:
    """Return the powers ``[point, 1, band]`` above, and of a model's input and output, of a clip."""
    assert framing.above is not None
    framing.above.head = recorder = _Recorder()
    framing.give(model(framing.take(audio)))
    framing.conclude(model(framing.finish()))
    return recorder.joined()


def evidence(above: Audio, heard: Audio, left: Audio, seconds: float) -> Audio:
    """Return what the network hears at all points of clips, ``[point, clip, value]``."""
    compute = BandEvidence(seconds)
    parts = (slice(start, start + AT_ONCE) for start in range(0, len(above), AT_ONCE))
    return np.concatenate([compute(above[part], heard[part], left[part]) for part in parts])


class _Maker:
    """Compute example i from the seed and i alone."""

    def __init__(self, config: AboveConfig, banks: Banks, seed: int) -> None:
        self._data, self._seed = config.data, seed
        self._mixer = Mixer(config.mix, banks.speech, banks.noise, banks.rir, seed)
        self._budgets = [
            (enhancer, budget)
            for enhancer in map(Enhancer, config.data.models)
            for budget in default_budgets(enhancer.card)
        ]

    def key(self) -> str:
        """Return a hash of everything that examples depend on."""
        data = self._data
        settings = f"{_FORMAT} {mixtures_hash(self._mixer)} {data.hiss} {data.hiss_alone}"
        digest = hashlib.sha256(settings.encode())
        for model in data.models:
            digest.update(find_model(model).read_bytes())
        return digest.hexdigest()[:16]

    def __call__(self, index: int) -> dict[str, Audio]:
        """Return the powers ``[point, band]`` of an example, by name, and the time between two points."""
        mixture = self._mixer([index])
        noisy, clean = mixture.noisy[0, 0].numpy(), mixture.clean[0, 0].numpy()
        random = np.random.default_rng([self._seed, index])
        chance, which, alone = random.random(3)
        if chance < self._data.hiss:
            noisy = (clean if alone < self._data.hiss_alone else noisy) + _hiss(random, clean)
        enhancer, budget = self._budgets[int(which * len(self._budgets))]
        options = EnhanceOptions(budget)
        framing = Framing(enhancer.card, options, RATE)
        if framing.above is None:
            raise InputError(f"model {enhancer.card.name} works at {RATE} Hz; name models for 16000 Hz")
        above, heard, left = powers(framing, Pilot(enhancer.artefact, 1, options), noisy)
        clean_above = powers(framing, lambda frames: frames, clean)[0]
        mono = (each[:, 0] for each in (above, heard, left, clean_above))
        return dict(zip(POWERS, mono, strict=True)) | {"seconds": np.float32(framing.above.seconds)}


def _hiss(random: np.random.Generator, clean: Audio) -> Audio:
    """Return steady noise as long as a clip, of a random colour, grain and level, which varies slowly."""
    count = len(clean)
    samples = random.normal(size=count)
    if random.random() < 0.5:
        samples = np.sign(samples) * np.abs(samples) ** random.uniform(*GRAIN)
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)) / len(spectrum), 1e-3))
    knots = np.arange(-TILT_OCTAVES, 1)
    tilt = np.interp(octaves, knots, random.normal(0, TILT_DB, len(knots)))
    tilt += octaves * random.uniform(*SLOPES_DB)
    hiss = np.fft.irfft(spectrum * 10 ** (tilt / 20), count)
    swells = random.normal(0, SWELL_DB, 2 + int(count / RATE / SWELL_SECONDS))
    hiss *= 10 ** (np.interp(np.arange(count) / RATE, np.arange(len(swells)) * SWELL_SECONDS, swells) / 20)
    speech = max(float(np.sqrt(np.mean(np.square(clean)))), 1e-3)
    level = speech * 10 ** (random.uniform(*HISS_DB) / 20)
    return np.asarray(hiss * level / np.sqrt(np.mean(np.square(hiss))), np.float32)


def examples(
    config: AboveConfig, max_minutes: float | None = None, report: Callable[[str], None] = print
) -> tuple[Examples, Examples] | None:
    """Return examples for training and for validation; compute those that the cache does not have.

    Args:
        config: Configuration of the run.
        max_minutes: Time to stop after, in minutes.
        report: Function that is called with lines of progress.

    Returns:
        Both, or None where the time was up.

    Raises:
        InputError: No speech or noise, an unknown model, or a cache that cannot be used.
    """
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    found = []
    sides = zip(("training", "validation"), _banks(config), _counts(config), strict=True)
    for number, (name, banks, count) in enumerate(sides):
        blocks = []
        maker = _Maker(config, banks, 2 * config.seed + number)
        for done, block in _blocks(maker, count, config.data.cache_dir, deadline):
            if block is None:
                return None
            report(f"{done} of {count} {name} examples")
            blocks.append(_heard(block))
        values, clean = (np.concatenate(each)[:count] for each in zip(*blocks, strict=True))
        found.append(Examples(values, clean))
    return found[0], found[1]


def _heard(block: dict[str, Audio]) -> Examples:
    """Return examples for powers ``[clip, point, band]``."""
    above, heard, left, clean = (block[name].swapaxes(0, 1) for name in POWERS)
    seconds = float(block["seconds"][0])
    values, noise = evidence(above, heard, left, seconds), SteadyNoise(seconds)
    # Recordings have noise of their own, which no one wants either.
    own = np.concatenate([noise(clean[start : start + AT_ONCE]) for start in range(0, len(clean), AT_ONCE)])
    ratio = np.log10((np.maximum(clean - own, 0) + SILENT) / (above + SILENT))
    both = (values, np.clip(ratio, LOWEST, 1))
    return Examples(*(each.swapaxes(0, 1).astype(np.float16) for each in both))


def _counts(config: AboveConfig) -> tuple[int, int]:
    return config.data.clips, config.data.validation_clips


def _banks(config: AboveConfig) -> tuple[Banks, Banks]:
    """Return banks for training and for validation; no recording is in both."""
    data = config.data
    if data.synthetic:
        return synthetic_banks(RATE, 1), synthetic_banks(RATE, 2)
    cache = data.cache_dir or None
    train, held = find_corpus(data.train), find_corpus(data.validation, split=None, use="validation")
    check_disjoint(train, held)
    return decode_corpus(train, RATE, cache), decode_corpus(held, RATE, cache)


def _blocks(
    maker: _Maker, count: int, cache_dir: str, deadline: float | None
) -> Iterator[tuple[int, dict[str, Audio] | None]]:
    """Yield the number of examples so far and each block; None for the block where the time is up."""
    folder = (Path(cache_dir) if cache_dir else cache_folder()) / "above"
    key = maker.key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, count, _BLOCK):
            path = folder / f"{key}-{start}.npz"
            if not path.exists():
                made = []
                for index in range(start, start + _BLOCK):
                    if deadline is not None and time.monotonic() > deadline:
                        yield start, None
                        return
                    made.append(maker(index))
                arrays: dict[str, Any] = {name: np.stack([each[name] for each in made]) for name in made[0]}
                with replacing(path) as part, part.open("wb") as file:
                    np.savez(file, **arrays)
            block = read_arrays(path)
            if any(block[name].ndim != 3 for name in POWERS):
                raise ValueError("other values")
            yield min(start + _BLOCK, count), block
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"examples: cannot use {folder} ({error}); delete it, or set data.cache_dir"
        ) from None
