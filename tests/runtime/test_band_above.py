"""What the model does not hear: kept as far as the model lets the band below it pass, or dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sese
from runtime.test_stream import through
from runtime.tiny_model import GAINS, HOP, UTILIZATIONS
from sese.core.errors import InputError
from sese.runtime.artefact import open_artefact
from sese.runtime.band_above import BandAbove
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

RATE = 48000


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
def test_follows_the_gain_below(tiny: Path, level: int) -> None:
    audio = noise(0.5)
    stream = Stream(open_artefact(tiny), EnhanceOptions(f"fixed:{UTILIZATIONS[level]}"), RATE)
    np.testing.assert_allclose(through(stream, audio, [480]), GAINS[level] * audio, atol=1e-4)


def test_drop(tiny: Path) -> None:
    audio = noise(0.5)[0]
    dropped = sese.enhance(audio, RATE, model=tiny)
    kept = sese.load(tiny).enhance(audio, RATE, band_above="drop")
    np.testing.assert_allclose(dropped, audio, atol=1e-5)
    assert power_above(kept, 8200) < 1e-6 * power_above(audio, 8200)
    assert power_above(kept, 4000) > 0.15 * power_above(audio, 4000)


def test_gain_rises_at_once_and_falls_softly() -> None:
    frames, hop = 40, 256
    heard = np.random.default_rng(0).normal(0, 0.1, (1, frames * hop)).astype(np.float32)
    passed = heard.copy()
    passed[:, : 10 * hop] *= 0.1
    passed[:, 20 * hop :] *= 0.1
    above = BandAbove(16000, 16000, hop, 0, linked=True)
    above.add(passed, heard)
    gain = above.read(frames * hop)[0]
    np.testing.assert_allclose(gain[: 10 * hop], 0.1, atol=0.02)
    np.testing.assert_allclose(gain[11 * hop : 20 * hop], 1, atol=0.03)
    assert gain[21 * hop] > 0.3
    np.testing.assert_allclose(gain[32 * hop :], 0.1, atol=0.02)
    assert np.abs(np.diff(gain)).max() < 1.1 / hop  # no steps


def test_silence_holds_the_gain() -> None:
    heard = np.random.default_rng(0).normal(0, 0.1, (1, 10 * HOP)).astype(np.float32)
    above = BandAbove(16000, 16000, HOP, 0, linked=True)
    above.add(0.3 * heard, heard)
    above.add(0 * heard, 0 * heard)
    np.testing.assert_allclose(above.read(20 * HOP), 0.3, atol=1e-6)


def test_linked_channels_have_one_gain() -> None:
    heard = noise(0.2, 2, 16000)[:, : 40 * HOP]
    made = heard * np.array([[1.0], [0.1]], np.float32)
    linked, apart = (BandAbove(16000, 16000, HOP, 0, linked) for linked in (True, False))
    linked.add(made, heard)
    apart.add(made, heard)
    assert linked.read(1000).shape == (1, 1000)
    gains = apart.read(1000)
    np.testing.assert_allclose(gains[:, 500:].mean(axis=1), [1, 0.1], atol=0.01)


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


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("linked", [True, False])
def test_streaming_equals_offline(rate: int, linked: bool) -> None:
    enhancer = sese.load("demucs-slim-small", budget="fixed:0.5")
    audio = noise(0.6, 2, rate) * np.float32([[1], [0.3]])
    audio[:, : rate // 4] *= 0.05
    whole = enhancer.enhance(audio, rate, linked=linked)
    for sizes in ([1237], [7, 0, 480, 1]):
        stream = enhancer.stream(rate, 2, latency="high", linked=linked)
        np.testing.assert_allclose(through(stream, audio, sizes), whole, atol=1e-4)


def test_file_and_array_agree(tiny: Path, tmp_path: Path) -> None:
    import soundfile

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


def test_bad_choices(tiny: Path) -> None:
    enhancer = sese.load(tiny)
    with pytest.raises(InputError, match="band_above is 'keep'"):
        enhancer.stream(RATE, band_above="keep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="latency is 'none'"):
        enhancer.stream(RATE, latency="none")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs linked channels"):
        enhancer.stream(RATE, 2, linked=False, max_rtf=0.5)
    enhancer.stream(RATE, 1, linked=False, max_rtf=0.5)
