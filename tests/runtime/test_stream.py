"""Streams: any chunking, same samples; nothing lost, nothing late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.tiny_model import GAINS, HOP, LOOKAHEAD, UTILIZATIONS, tone
from sese.core.errors import InputError
from sese.runtime.artefact import open_artefact
from sese.runtime.options import EnhanceOptions
from sese.runtime.rates import Latency
from sese.runtime.stream import Stream

RATES = (8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000)


def through(stream: Stream, audio: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Feed chunks of these sizes, over and over, and flush."""
    parts, start, turn = [], 0, 0
    while start < audio.shape[-1]:
        size = sizes[turn % len(sizes)]
        parts.append(stream.feed(audio[..., start : start + size]))
        start, turn = start + size, turn + 1
    parts.append(stream.flush())
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize("rate", [16000, 48000, 11025])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("latency", ["low", "high"])
def test_any_chunking(remembering: Path, rate: int, channels: int, latency: Latency) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (channels, 5003)).astype(np.float32)
    stream = Stream(open_artefact(remembering), EnhanceOptions("fixed:0.5"), rate, channels, latency=latency)
    whole = through(stream, audio, [audio.shape[1]])
    assert whole.shape == audio.shape
    for sizes in ([1], [HOP], [HOP - 1], [HOP + 1], [7, 0, 500, 1], [3000, 1]):
        np.testing.assert_allclose(through(stream, audio, sizes), whole, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("latency", ["low", "high"])
def test_aligned_at_every_rate(tiny: Path, rate: int, channels: int, latency: Latency) -> None:
    audio = tone(rate // 2, channels, rate).T
    stream = Stream(open_artefact(tiny), EnhanceOptions(band_above="drop"), rate, channels, latency=latency)
    enhanced = through(stream, audio, [rate // 10])
    assert enhanced.shape == audio.shape
    inner = slice(rate // 10, -rate // 10)  # resampling filters ring at the sudden ends of the tones
    np.testing.assert_allclose(enhanced[:, inner], audio[:, inner], atol=1e-4)


@pytest.mark.parametrize("frames", [0, 1, LOOKAHEAD, HOP - 1, HOP, HOP + 1, HOP + LOOKAHEAD, 10 * HOP + 3])
def test_tail(tiny: Path, frames: int) -> None:
    audio = np.random.default_rng(1).normal(0, 0.1, frames).astype(np.float32)
    enhanced = through(Stream(open_artefact(tiny), None), audio, [50])
    np.testing.assert_allclose(enhanced, audio, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_one_sample(tiny: Path, rate: int) -> None:
    enhanced = through(Stream(open_artefact(tiny), None, rate), np.array([0.5]), [1])
    assert enhanced.shape == (1,)
    assert np.isfinite(enhanced).all()


def test_reset_and_flush_start_afresh(remembering: Path) -> None:
    audio = np.random.default_rng(2).normal(0, 0.1, 3000).astype(np.float32)
    stream = Stream(open_artefact(remembering), None, 48000)
    first = through(stream, audio, [100])
    np.testing.assert_array_equal(through(stream, audio, [100]), first)
    stream.feed(audio[:777])
    stream.reset()
    assert np.isnan(stream.utilization)
    assert np.isnan(stream.real_time_factor)
    np.testing.assert_array_equal(through(stream, audio, [100]), first)


def test_channels_do_not_mix(remembering: Path) -> None:
    audio = np.random.default_rng(3).normal(0, 0.1, (2, 3000)).astype(np.float32)
    opened = open_artefact(remembering)
    both = through(Stream(opened, None, channels=2), audio, [500])
    for channel in (0, 1):
        alone = through(Stream(opened, None), audio[channel], [500])
        np.testing.assert_allclose(both[channel], alone, atol=1e-6)


def test_shape_like_the_chunk(tiny: Path) -> None:
    stream = Stream(open_artefact(tiny), None)
    assert stream.feed(np.zeros(1000)).ndim == 1
    assert stream.flush().ndim == 1
    assert stream.feed(np.zeros((1, 1000))).shape[0] == 1
    assert stream.flush().shape[0] == 1
    assert Stream(open_artefact(tiny), None, channels=2).flush().shape == (2, 0)


@pytest.mark.parametrize("level", range(len(GAINS)))
def test_level_utilization_and_speed(tiny: Path, level: int) -> None:
    stream = Stream(open_artefact(tiny), EnhanceOptions(UTILIZATIONS[level]))
    enhanced = through(stream, tone(16000)[:, 0], [1600])
    np.testing.assert_allclose(enhanced, GAINS[level] * tone(16000)[:, 0], atol=1e-6)
    assert stream.utilization == UTILIZATIONS[level]
    assert 0 < stream.real_time_factor < 1


def test_budget_changes_on_the_way(tiny: Path) -> None:
    stream = Stream(open_artefact(tiny), EnhanceOptions(0.125))
    first = stream.feed(np.ones(10 * HOP))
    stream.budget = "fixed:1"
    second = stream.feed(np.ones(10 * HOP))
    np.testing.assert_allclose(first, GAINS[0])
    np.testing.assert_allclose(second, GAINS[-1])
    assert stream.utilization == pytest.approx((UTILIZATIONS[0] + UTILIZATIONS[-1]) / 2)
    with pytest.raises(InputError):
        stream.budget = 2
    assert stream.budget == "fixed:1"


@pytest.mark.parametrize("rate", RATES)
def test_latency_is_no_more_than_it_says(tiny: Path, rate: int) -> None:
    stream = Stream(open_artefact(tiny), None, rate, latency="high")
    if rate == 16000:
        assert stream.latency_samples == HOP + LOOKAHEAD
    fed = returned = longest = 0
    while fed < rate:
        chunk = np.zeros(1 + fed % 160)
        fed += len(chunk)
        longest = max(longest, fed - len(chunk) + 1 - returned)  # until its oldest sample is heard
        returned += len(stream.feed(chunk))
    assert longest <= stream.latency_samples < 0.25 * rate


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000])
def test_low_latency_is_exact(tiny: Path, rate: int) -> None:
    """Sample by sample: the longest wait is what the stream says, and an impulse comes out in its place."""
    stream = Stream(open_artefact(tiny), None, rate)
    audio = np.zeros(4000, np.float32)
    audio[2000] = 0.5
    parts: list[np.ndarray] = []
    returned = longest = waited = 0
    for at, sample in enumerate(audio):
        longest = max(longest, at + 1 - returned)
        parts.append(stream.feed(np.array([sample])))
        returned += len(parts[-1])
        if returned > 2000 and not waited:
            waited = at + 1 - 2000  # the impulse is out
    assert 0 < waited <= stream.latency_samples
    assert longest == stream.latency_samples
    assert longest <= (HOP + LOOKAHEAD) / 16000 * rate + 0.005 * rate
    parts.append(stream.flush())
    np.testing.assert_allclose(np.concatenate(parts), audio, atol=1e-4)


@pytest.mark.parametrize("wet", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_blend_is_aligned(tiny: Path, wet: float, rate: int) -> None:
    audio = tone(rate // 2, 2, rate).T
    enhanced = through(Stream(open_artefact(tiny), EnhanceOptions(0.125, mix=wet), rate, 2), audio, [1000, 3])
    inner = slice(rate // 10, -rate // 10)
    expected = (wet * GAINS[0] + 1 - wet) * audio
    np.testing.assert_allclose(enhanced[:, inner], expected[:, inner], atol=1e-4)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (np.zeros((3, 100)), "shape (3, 100)"),
        (np.zeros(100), "shape (100,)"),
        (np.zeros((2, 100), np.int16), "int16"),
        (np.full((2, 100), np.nan), "nan at sample 500"),
    ],
)
def test_bad_chunk_is_not_taken(tiny: Path, chunk: np.ndarray, words: str) -> None:
    audio = tone(1000, 2).T
    stream = Stream(open_artefact(tiny), None, channels=2)
    parts = [stream.feed(audio[:, :500])]
    with pytest.raises(InputError) as caught:
        stream.feed(chunk)
    assert words in str(caught.value)
    parts += [stream.feed(audio[:, 500:]), stream.flush()]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), audio, atol=1e-6)


@pytest.mark.parametrize("rate", [0, 7999, 192001, 44100.5, "fast", None, np.nan])
def test_bad_rate(tiny: Path, rate: object) -> None:
    if rate is None:
        assert Stream(open_artefact(tiny), None, None).sample_rate == 16000
        return
    with pytest.raises(InputError, match="sample_rate is"):
        Stream(open_artefact(tiny), None, rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [0, -1, 65, 1.5])
def test_bad_channels(tiny: Path, channels: int) -> None:
    with pytest.raises(InputError, match="channels is"):
        Stream(open_artefact(tiny), None, 16000, channels)


def test_model_that_breaks_is_named(remembering: Path) -> None:
    with pytest.raises(InputError, match=r"model remembering gave NaN or infinity.*peak 1e\+30"):
        Stream(open_artefact(remembering), None).feed(np.full(1000, 1e30))
