"""Frequencies above a model's band: speech stays, noise goes down, or all is dropped."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sese
from runtime.test_stream import through
from runtime.tiny_model import GAINS, HOP, UTILIZATIONS
from sese.core.errors import InputError
from sese.runtime.artefact import open_artefact
from sese.runtime.band_above import BandAbove
from sese.runtime.high_bands import Points, edges
from sese.runtime.model_gain import ModelGain
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

RATE = 48000
ROOT = Path(__file__).parents[2]


def noise(seconds: float, channels: int = 1, rate: int = RATE, seed: int = 0) -> np.ndarray:
    audio = np.random.default_rng(seed).normal(0, 0.1, (channels, round(seconds * rate)))
    return audio.astype(np.float32)


def power_above(audio: np.ndarray, hz: float, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(audio.shape[-1]))) ** 2
    return float(spectrum[..., round(hz * audio.shape[-1] / rate) :].sum())


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("latency", ["low", "high"])
def test_what_passes_passes_whole(tiny: Path, rate: int, latency: str) -> None:
    """A model that changes nothing gives back every frequency, from the first sample to the last."""
    audio = noise(0.3, 2, rate)
    stream = sese.load(tiny).stream(rate, 2, latency=latency)  # type: ignore[arg-type]
    np.testing.assert_allclose(through(stream, audio, [1000, 1, 333]), audio, atol=1e-5)


@pytest.mark.parametrize("level", range(len(GAINS)))
def test_noise_goes_as_low_as_below_at_least(tiny: Path, level: int) -> None:
    audio = noise(1.0)
    stream = Stream(open_artefact(tiny), EnhanceOptions(f"fixed:{UTILIZATIONS[level]}"), RATE)
    out = through(stream, audio, [480])[:, RATE // 4 :]
    left = power_above(out, 9000) / power_above(audio[:, RATE // 4 :], 9000)
    if GAINS[level] == 1:
        assert left == pytest.approx(1, rel=1e-3)
    else:
        assert left < 1.05 * GAINS[level] ** 2


def test_drop(tiny: Path) -> None:
    audio = noise(0.5)[0]
    dropped = sese.enhance(audio, RATE, model=tiny)
    kept = sese.load(tiny).enhance(audio, RATE, band_above="drop")
    np.testing.assert_allclose(dropped, audio, atol=1e-5)
    assert power_above(kept, 8200) < 1e-6 * power_above(audio, 8200)
    assert power_above(kept, 4000) > 0.15 * power_above(audio, 4000)


def bursts(seconds: float, rate: int) -> np.ndarray:
    """A fifth of a second of sound in every half second, as an envelope [time] of 0 and 1."""
    at = np.arange(round(seconds * rate)) / rate
    return ((at % 0.5 >= 0.3) & (at > 0.5)).astype(np.float32)


def added(below: np.ndarray, below_left: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Return the signal added above 8 kHz at 48 kHz, for aligned input and output of a model at 16 kHz.

    Nothing is taken from just below 8 kHz, where resampling filters end.
    """
    band = BandAbove(16000, RATE, 256, 256, 1)
    band.feed(above[np.newaxis])
    band.finish()
    whole = len(below) // 256 * 256
    band.add(*(np.pad(audio[:whole], (256, 0))[np.newaxis] for audio in (below_left, below)))
    return band.read(3 * whole)[0]


def high(audio: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(audio)
    spectrum[: round(9500 * len(audio) / RATE)] = 0
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


def level_db(audio: np.ndarray, where: np.ndarray) -> float:
    """Level of a part, without its edges."""
    inside = np.convolve(where[: len(audio)], np.ones(RATE // 10 | 1), "same") > RATE // 10 - 1
    return float(10 * np.log10(np.mean(np.square(audio[inside]))))


@pytest.fixture(scope="module")
def talk() -> tuple[np.ndarray, np.ndarray]:
    """Clean speech at 16 kHz, and its mirror image above 8 kHz at 48 kHz, in place of its own upper band."""
    below, rate = soundfile.read(ROOT / "tests" / "pretrained" / "playground_clean.flac", dtype="float32")
    assert rate == 16000
    image = np.zeros(3 * len(below), np.float32)
    image[::3] = 3 * below
    spectrum = np.fft.rfft(image)
    spectrum[: len(below) // 2 + 1] = spectrum[len(below) :] = 0
    return below, np.fft.irfft(spectrum, len(image)).astype(np.float32)


def test_hiss_is_low_under_speech_and_in_pauses(talk: tuple[np.ndarray, np.ndarray]) -> None:
    """Speech below 8 kHz opens the model's gain; hiss above goes down all the same."""
    random, (speech, _) = np.random.default_rng(0), talk
    below_hiss = random.normal(0, 0.003, len(speech)).astype(np.float32)
    hiss = high(random.normal(0, 0.003, 3 * len(speech)))
    out = added(speech + below_hiss, speech + np.float32(0.03) * below_hiss, hiss)
    power, before = (np.square(audio[RATE : len(out)]) for audio in (out, hiss))
    assert power.mean() < 0.05 * before.mean()


def test_clean_speech_stays(talk: tuple[np.ndarray, np.ndarray]) -> None:
    """Where a model takes a little from clean speech, most of the upper band stays, even of such an image."""
    below, above = talk
    out = added(below, np.float32(0.93) * below, above)
    wanted = above[: len(out)]
    assert 0.5 < np.mean(np.square(out)) / np.mean(np.square(wanted)) < 1


def test_sudden_noise_goes_where_the_model_removes_it() -> None:
    random = np.random.default_rng(0)
    clicks = random.normal(0, 0.1, 4 * 16000).astype(np.float32) * bursts(4, 16000)
    above = high(random.normal(0, 0.1, 4 * RATE) * bursts(4, RATE))
    out = added(clicks, 0.05 * clicks, above)
    on = bursts(4, RATE)
    assert level_db(out, on) < level_db(above, on) - 20


def followed(passed: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Return the model's gain ``[channel, time]`` at a stream of the model's rate."""
    band = BandAbove(16000, 16000, HOP, 0, len(heard))
    band.feed(np.ones_like(heard))
    band.add(passed, heard)
    return band.read(heard.shape[1])


def test_gains_move_without_steps() -> None:
    frames = 160
    heard = np.random.default_rng(0).normal(0, 0.1, (1, frames * HOP)).astype(np.float32)
    passed = heard.copy()
    passed[:, : 40 * HOP] *= 0.1
    passed[:, 80 * HOP :] *= 0.1
    gain = ModelGain(16000, 16000, HOP)(passed, heard).gain[:, 0]
    np.testing.assert_allclose(gain[:40], 0.1, atol=0.01)
    np.testing.assert_allclose(gain[44:80], 1, atol=0.01)
    np.testing.assert_allclose(gain[84:], 0.1, atol=0.01)
    assert np.abs(np.diff(followed(passed, heard)[0])).max() < 1 / 32


def test_silence_holds_the_gain() -> None:
    heard = np.random.default_rng(0).normal(0, 0.1, (1, 20 * HOP)).astype(np.float32)
    heard[:, 10 * HOP :] = 0
    np.testing.assert_allclose(followed(0.3 * heard, heard), 0.3, atol=1e-6)


def test_each_channel_has_gains_of_its_own() -> None:
    """A noisy channel takes nothing from a clean one beside it, linked or not."""
    heard = noise(0.2, 2, 16000)[:, : 40 * HOP]
    gains = followed(heard * np.array([[1.0], [0.1]], np.float32), heard)
    np.testing.assert_allclose(gains.mean(axis=1), [1, 0.1], atol=0.01)


@pytest.mark.parametrize("linked", [True, False])
def test_hiss_in_one_channel_leaves_the_other(linked: bool) -> None:
    quiet, loud = noise(1, 1, 48000)[0], 0.1 * noise(1, 1, 48000)[0]
    clean = quiet * np.repeat([0.0, 1.0] * 5, 4800).astype(np.float32)
    enhancer = sese.load("demucs-slim-small", budget="fixed:0.125")
    pair = enhancer.enhance(np.stack([clean, clean + loud]), 48000, linked=linked)
    np.testing.assert_allclose(pair[0], enhancer.enhance(clean, 48000), atol=1e-5)


@pytest.mark.parametrize("budget", ["auto", 0.4, "threshold", "fixed:0.25"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_unlinked_is_each_alone(budget: float | str, rate: int) -> None:
    enhancer = sese.load("demucs-slim-small", budget=budget)
    audio = noise(1, 2, rate)
    audio[1] *= np.linspace(0, 3, rate)
    audio[1, : rate // 2] *= 0.01
    apart = enhancer.stream(rate, 2, linked=False)
    both = through(apart, audio, [rate // 50])
    shares = []
    for channel in (0, 1):
        alone = enhancer.stream(rate)
        got = through(alone, audio[channel], [rate // 50])
        np.testing.assert_allclose(got, both[channel], atol=1e-6)
        shares.append(alone.utilization)
    assert apart.utilization == pytest.approx(np.mean(shares))
    assert apart.trace.mean() == pytest.approx(np.mean(shares), rel=1e-5)


@pytest.mark.parametrize("name", ["demucs-slim-small", "bloom-net"])
@pytest.mark.parametrize("rate", [8000, 17000, 22050, 44100, 48000])
@pytest.mark.parametrize("linked", [True, False])
def test_streaming_equals_offline(name: str, rate: int, linked: bool) -> None:
    enhancer = sese.load(name, budget="fixed:0.5")
    audio = noise(0.6, 2, rate) * np.float32([[1], [0.3]])
    audio[:, : rate // 4] *= 0.05
    whole = enhancer.enhance(audio, rate, linked=linked)
    for sizes in ([1237], [7, 0, 480, 1]):
        stream = enhancer.stream(rate, 2, latency="high", linked=linked)
        np.testing.assert_allclose(through(stream, audio, sizes), whole, atol=1e-4)


def test_streams_of_one_kind_share_their_matrices() -> None:
    first = BandAbove(16000, RATE, 256, 256, 1)
    tracemalloc.start()
    others = [BandAbove(16000, RATE, 256, 256, 1) for _ in range(10)]
    each = tracemalloc.get_traced_memory()[0] / len(others)
    tracemalloc.stop()
    assert first.seconds == others[0].seconds
    assert each < 20_000


@pytest.mark.parametrize("hop", [64, 160, 256, 257, 480, 512])
@pytest.mark.parametrize("lookahead", [0, 1, 64, 256, 340])
@pytest.mark.parametrize("rate", [16001, 22050, 44100, 48000, 192000])
def test_filters_wait_for_nothing(hop: int, lookahead: int, rate: int) -> None:
    """Gains of a model's frame need no more input than the short filters had to have for that frame."""
    points = Points(16000, rate, hop, lookahead)
    for frame in (1, 2, 7, 1001):
        (last,) = points.at(frame * hop // points.part, 1)
        had = np.ceil((frame * hop - 1) * rate / 16000) + np.ceil(0.002 * rate)
        assert not points.close or last + points.spacing <= had
    assert points.close or hop == 257


def test_points_lie_no_further_apart_than_said() -> None:
    """Also where each of them lies halfway between two samples."""
    points = Points(16000, 24000, 126, 127)
    assert set(np.diff(points.at(0, 9))) == {points.spacing}


@pytest.mark.parametrize(
    ("rate", "count"), [(8000, 0), (16000, 0), (16400, 0), (22050, 3), (44100, 9), (48000, 10), (192000, 10)]
)
def test_bands_cover_all_above(rate: int, count: int) -> None:
    found = edges(16000, rate)
    assert len(found) == (count + 1 if count else 0)
    if count:
        assert found[0] == 8000
        assert found[-1] == rate / 2
        assert (np.diff(found) > 0).all()


def test_file_and_array_agree(tiny: Path, tmp_path: Path) -> None:
    audio = noise(0.5, 2)
    soundfile.write(tmp_path / "in.wav", audio.T, RATE, subtype="FLOAT")
    enhancer = sese.load(tiny, budget="fixed:0.25")
    for choice in ("follow", "drop"):
        enhancer.enhance_file(
            tmp_path / "in.wav", tmp_path / "out.wav", band_above=choice, linked=False, force=True
        )
        written, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
        np.testing.assert_allclose(
            written.T, enhancer.enhance(audio, RATE, band_above=choice, linked=False), atol=1e-6
        )


@pytest.mark.parametrize("latency", ["low", "high"])
def test_too_loud_for_powers(tiny: Path, latency: str) -> None:
    """A sample whose power is infinite in float32 is refused, not taken: all that follows would be NaN."""
    audio = noise(0.2)
    stream = sese.load(tiny).stream(RATE, latency=latency)  # type: ignore[arg-type]
    first = stream.feed(audio[:, :4000])
    with pytest.raises(InputError, match=r"audio has peak 1e\+25; scale it"):
        stream.feed(np.array([[0.1, -1e25]], np.float32))
    rest = through(stream, audio[:, 4000:], [480])
    np.testing.assert_allclose(np.concatenate([first, rest], axis=1), audio, atol=1e-5)
    stream.feed(np.full((1, 9600), 1e15, np.float32))
    assert np.isfinite(stream.flush()).all()


def test_bad_choices(tiny: Path) -> None:
    enhancer = sese.load(tiny)
    with pytest.raises(InputError, match="band_above is 'keep'"):
        enhancer.stream(RATE, band_above="keep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="latency is 'none'"):
        enhancer.stream(RATE, latency="none")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs linked channels"):
        enhancer.stream(RATE, 2, linked=False, max_rtf=0.5)
    enhancer.stream(RATE, 1, linked=False, max_rtf=0.5)
