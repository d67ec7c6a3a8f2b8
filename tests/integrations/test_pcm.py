"""Bytes in, as many bytes out, late by a constant time."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import sese
from sese.core.errors import InputError
from sese.integrations.pcm import PcmStream


@pytest.fixture(scope="module")
def enhancer() -> sese.Enhancer:
    return sese.load("sese-2", budget="fixed:0.06")


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(-3000, 3000, (round(seconds * rate), channels)).astype(np.int16)


def through(stream: PcmStream, signal: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Feed chunks of these sizes, repeated; each call gives as many bytes as it takes."""
    got, at = [], 0
    while at < len(signal):
        for size in sizes:
            chunk = signal[at : at + size].tobytes()
            done = stream(chunk)
            assert len(done) == len(chunk)
            got.append(done)
            at += size
    return np.frombuffer(b"".join(got), np.int16).reshape(signal.shape)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (16000, 2), (24000, 1), (48000, 1)])
def test_what_comes_out_is_the_enhanced_signal_later(
    enhancer: sese.Enhancer, rate: int, channels: int
) -> None:
    signal = noise(0.7, rate, channels)
    stream = PcmStream(enhancer, rate, channels)
    late = stream.latency_samples
    got = through(stream, signal, [1, rate // 50, rate // 100, 7, rate // 10, 0, 333])
    assert not got[:late].any()
    whole = enhancer.stream(rate, channels)
    given = signal.T.astype(np.float32) / 32768
    expected = np.concatenate([whole.feed(given), whole.flush()], axis=1).T * 32768
    np.testing.assert_allclose(got[late:], expected[: len(got) - late], atol=1.01)
    assert np.abs(got).max() > 10


def test_off_the_input_passes_as_it_is_and_nothing_is_lost_in_between(enhancer: sese.Enhancer) -> None:
    signal = noise(1.2, 16000)
    stream = PcmStream(enhancer, 16000)
    late, got = stream.latency_samples, []
    for at, chunk in enumerate(np.split(signal, 60)):  # 20 ms each
        stream.enabled = not 20 <= at < 40
        got.append(through(stream, chunk, [320]))
    got = np.concatenate(got)[late:]
    off = slice(20 * 320, 40 * 320)
    np.testing.assert_array_equal(got[off], signal[off])
    for begin, end in ((0, 20 * 320), (40 * 320, len(got))):  # enhanced on their own
        part = signal[begin : min(end, len(signal)), 0].astype(np.float32) / 32768
        expected = enhancer.enhance(part, 16000) * 32768
        sure = slice(begin, min(end, len(got)) - 1000 if end == len(got) else end)
        np.testing.assert_allclose(got[sure, 0], expected[: sure.stop - begin], atol=1.01)


def test_options_change_on_the_way(enhancer: sese.Enhancer) -> None:
    signal = noise(1.0, 16000)
    stream = PcmStream(enhancer, 16000)
    through(stream, signal[:8000], [160])
    stream.change(max_attenuation_db=0.0)  # passes everything
    late = stream.latency_samples
    got = through(stream, signal[8000:], [160])
    np.testing.assert_allclose(got[late:], signal[8000:-late], atol=1)
    stream.change(budget="auto")
    assert stream.options.budget == "auto"
    for wrong in ({"budget": 7.0}, {"max_attenuation_db": -1.0}, {"volume": 2}):
        with pytest.raises(InputError):
            stream.change(**wrong)
    assert (stream.options.budget, stream.options.max_attenuation_db) == ("auto", 0.0)
    through(stream, signal, [160])


def test_the_probability_of_speech(enhancer: sese.Enhancer) -> None:
    fixed, auto = PcmStream(enhancer, 16000), PcmStream(sese.load("sese-2", budget="auto"), 16000)
    assert np.isnan(auto.speech_probability)
    for stream in (fixed, auto):
        stream(bytes(6400))
    assert np.isnan(fixed.speech_probability)
    assert 0 <= auto.speech_probability < 0.5
    auto.enabled = False
    assert np.isnan(auto.speech_probability)
    assert PcmStream(sese.load("demucs-slim-small"), 16000).speech_probability is None


def test_threads_take_turns(enhancer: sese.Enhancer) -> None:
    stream, sizes = PcmStream(enhancer, 16000), []

    def feed() -> None:
        for _ in range(50):
            sizes.append(len(stream(bytes(320))))

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [320] * 200


def test_bytes_that_are_no_samples(enhancer: sese.Enhancer) -> None:
    stream = PcmStream(enhancer, 16000, 2)
    with pytest.raises(InputError, match="6 bytes are not whole 16-bit samples of 2 channel"):
        stream(bytes(6))
    with pytest.raises(InputError):
        PcmStream(enhancer, 100)
