"""The page of `sese demo` in a real browser, with the real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import sese
from demo.conftest import EXAMPLES, Page

RATE = 16000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of noisy speech: noise alone at first."""
    path = tmp_path_factory.mktemp("audio") / "clip.wav"
    audio, _ = soundfile.read(EXAMPLES / "playground.wav", frames=3 * RATE, dtype="int16")
    soundfile.write(path, audio, RATE)
    return path


@pytest.mark.parametrize(
    ("model", "mode", "value", "budget"),
    [
        ("demucs-slim-small", "fixed", 1, "fixed:0.25"),
        ("demucs-slim-small", "auto", None, "auto"),
        ("sese-2", "fixed", 2, "fixed:1"),
        ("sese-2", "fixed", 0, "fixed:0.06"),
        ("sese-2", "share", 0.5, 0.5),
        ("sese-2", "share", 0.06, 0.06),
        ("sese-2", "auto", None, "auto"),
    ],
)
def test_enhances_as_python_does(
    page: Page, clip: Path, model: str, mode: str, value: float | None, budget: str | float
) -> None:
    if page.text("status").startswith("Ready"):
        page.give(clip)
    page.choose_model(model)  # enhances anew
    page.choose_budget(mode, value)  # again
    enhanced, rate = soundfile.read(page.download(), dtype="float32")
    noisy, _ = soundfile.read(clip, dtype="float32")
    stream = sese.load(model, budget).stream(RATE)
    expected = np.concatenate([stream.feed(noisy), stream.flush()])
    assert rate == RATE
    assert enhanced.shape == expected.shape
    np.testing.assert_allclose(enhanced, expected, atol=1e-3)
    assert np.abs(expected - noisy).max() > 0.01
    assert float(page.text("utilization")) == pytest.approx(stream.utilization, abs=0.02)
    assert float(page.text("rtf")) > 0
    lowered = float(page.text("change").removesuffix(" dB").replace("−", "-"))
    assert lowered < -5


def test_a_share_is_offered_where_it_is_no_level(page: Page) -> None:
    page.open()
    for model, off in (("demucs-slim-small", True), ("sese-2", False), ("bloom-net", True)):
        page.choose_model(model)
        assert page.script("return document.querySelector('input[value=share]').disabled") is off


def test_stereo_keeps_its_channels_apart(page: Page, tmp_path: Path) -> None:
    left, _ = soundfile.read(EXAMPLES / "playground.wav", frames=RATE, start=2 * RATE, dtype="float32")
    right, _ = soundfile.read(EXAMPLES / "dryer.wav", frames=RATE, start=2 * RATE, dtype="float32")
    soundfile.write(tmp_path / "stereo.flac", np.stack([left, right], axis=1), RATE)
    page.open()
    page.choose_budget("fixed", 1)  # the second level
    page.give(tmp_path / "stereo.flac")
    enhanced, _ = soundfile.read(page.download(), dtype="float32")
    expected = sese.enhance(np.stack([left, right]), RATE, model="sese-2", budget="fixed:0.33")
    np.testing.assert_allclose(enhanced.T, expected, atol=1e-3)


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (44100, 2), (8000, 1)])
def test_keeps_the_rate_of_a_file(page: Page, tmp_path: Path, rate: int, channels: int) -> None:
    """As Python does, though its filters are others: what it resamples agrees but for the edges of bands."""
    audio, _ = soundfile.read(EXAMPLES / "playground.wav", start=2 * RATE, frames=2 * RATE, dtype="float32")
    hiss = 0.003 * np.random.default_rng(0).standard_normal((2 * rate, channels))
    noisy = (soxr.resample(audio, RATE, rate)[:, np.newaxis] + hiss).astype(np.float32)
    soundfile.write(tmp_path / "talk.wav", noisy[:-7], rate, "FLOAT")  # no whole number of frames
    page.open()
    page.give(tmp_path / "talk.wav")
    enhanced, saved = soundfile.read(page.download(), dtype="float32", always_2d=True)
    expected = sese.enhance(noisy[:-7].T, rate, model="sese-2").T
    assert saved == rate
    assert enhanced.shape == expected.shape
    error = np.sum((enhanced - expected) ** 2)
    assert 10 * np.log10(np.sum(expected**2) / error) > 30
    if rate == 48000:
        above = np.fft.rfftfreq(len(expected), 1 / rate) > 9000
        left, right = (np.abs(np.fft.rfft(signal[:, 0]))[above] for signal in (enhanced, expected))
        assert np.sum((left - right) ** 2) < 0.01 * np.sum(right**2)
        assert np.sum(right**2) > 1e-4 * np.sum(np.abs(np.fft.rfft(noisy[:-7, 0]))[above] ** 2)


@pytest.mark.parametrize(
    ("name", "kind", "subtype", "rate"),
    [
        ("a.wav", "WAV", "PCM_16", 22050),
        ("a.flac", "FLAC", "PCM_16", 44100),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 32000),
        ("a.ogg", "OGG", "VORBIS", 44100),
        ("a.opus", "OGG", "OPUS", 24000),
    ],
)
def test_reads_rates(page: Page, tmp_path: Path, name: str, kind: str, subtype: str, rate: int) -> None:
    audio, _ = soundfile.read(EXAMPLES / "playground.wav", frames=RATE, dtype="float32")
    soundfile.write(tmp_path / name, soxr.resample(audio, RATE, rate), rate, subtype, format=kind)
    page.open()
    page.give(tmp_path / name)
    info = soundfile.info(page.download())
    assert info.samplerate == (48000 if subtype == "OPUS" else rate)  # Opus is decoded at 48 kHz
    assert info.duration == pytest.approx(1, abs=0.1)


def test_begins_empty_and_brings_results_into_view(page: Page) -> None:
    page.driver.set_window_size(500, 800)
    try:
        page.open()
        assert page.element("first").is_displayed()
        assert not page.element("play").is_displayed()
        page.script("scrollTo(0, 0)")
        page.element("example").click()
        page.settle()
        assert not page.element("first").is_displayed()
        page.wait("Math.abs(document.getElementById('result').getBoundingClientRect().top) < 40")
        assert page.element("before").is_displayed()
    finally:
        page.driver.set_window_size(1280, 1500)  # other tests click on what is in view


def test_tells_what_is_loaded(page: Page) -> None:
    """The model and its runtime, in bytes, of their sum."""
    told = page.driver.execute_async_script(
        """const [done] = arguments;
        const told = [];
        const worker = new Worker('worker.js', { type: 'module' });
        worker.onmessage = ({ data }) => {
          told.push([data.type, data.got, data.size]);
          if (data.type !== 'loading') done(told);
        };
        fetch('models.json')
          .then((answer) => answer.json())
          .then(([model]) => worker.postMessage({ type: 'load', model }));"""
    )
    kinds, got, sizes = zip(*told, strict=True)
    assert kinds[-1] == "loaded"
    assert set(kinds[:-1]) == {"loading"}
    assert len(kinds) > 3
    assert list(got[:-1]) == sorted(got[:-1])
    assert got[-2] == sizes[-2] > 10e6


def test_plays_before_and_after_in_step(page: Page) -> None:
    page.give(EXAMPLES / "dryer.wav")
    page.element("play").click()
    # All in the page: on a busy machine the driver may take longer than the sound.
    said, stands = page.driver.execute_async_script(
        """const [done] = arguments;
        const [play, position] = ['play', 'position'].map((id) => document.getElementById(id));
        const said = [play.textContent];
        const passed = (time) => new Promise((resolve) => {
          const look = () => (Number(position.value) > time ? resolve() : setTimeout(look, 20));
          look();
        });
        passed(0.3)
          .then(() => document.querySelector('input[name=listen][value=before]').click())
          .then(() => passed(0.6))
          .then(() => play.click())
          .then(() => done([[...said, play.textContent], Number(position.value)]));"""
    )
    assert said == ["Pause", "Play"]
    assert 0.6 < stands < 8
    page.script("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'b', bubbles: true }))")
    assert page.script("return document.querySelector('input[name=listen]:checked').value") == "after"
    assert page.script("return Number(document.getElementById('position').value)") == stands


def test_microphone(page: Page) -> None:
    page.open()
    page.element("microphone").click()
    page.wait("parseFloat(document.getElementById('time').textContent.split('/ 0:')[1]) >= 3")
    page.choose_budget("fixed", 0)  # while it runs
    page.wait("Number(document.getElementById('utilization').textContent) < 0.97")
    assert float(page.text("latency").removesuffix(" ms")) >= 32
    assert "32 of the model" in page.text("latency-note")
    page.element("microphone").click()
    page.wait("document.body.classList.contains('ready')")
    assert 0.07 < float(page.text("utilization")) < 1
    heard, rate = soundfile.read(page.download(), dtype="float32")
    assert rate == RATE
    assert len(heard) >= 3 * RATE
    noisy, _ = soundfile.read(EXAMPLES / "playground.wav", dtype="float32")
    expected = sese.enhance(noisy, RATE, model="sese-2")
    # It began somewhere in the file, and a busy machine loses samples: one second as it should be will do.
    twice = np.concatenate([expected, expected])
    starts = range(RATE // 2, 2 * RATE + 1, RATE // 4)
    assert max(correlation(twice, heard[start : start + RATE]).max() for start in starts) > 0.9


def correlation(signal: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Normalised correlation of `part` ``[time]`` with every stretch of `signal` ``[time]`` as long."""
    size = len(signal) + len(part)
    products = np.fft.irfft(np.fft.rfft(signal, size) * np.conj(np.fft.rfft(part, size)), size)
    powers = np.cumsum(np.concatenate([[0.0], signal.astype(np.float64) ** 2]))
    power = np.maximum(powers[len(part) :] - powers[: -len(part)], 1e-9)
    return products[: len(power)] / np.sqrt(power * np.sum(part.astype(np.float64) ** 2))


def test_refuses_what_is_no_audio(page: Page, tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(b"no audio at all")
    page.element("file").send_keys(str(tmp_path / "talk.wav"))
    with pytest.raises(AssertionError, match=r"talk.wav is no audio that this browser can read; try WAV"):
        page.wait("false")


def test_refuses_what_is_too_long(page: Page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "day.flac", np.zeros(601 * 8000, np.int16), 8000)
    page.element("file").send_keys(str(tmp_path / "day.flac"))
    with pytest.raises(AssertionError, match=r"day.flac is 10:01 long; the most is 10 minutes"):
        page.wait("false")


def test_connects_nowhere_else(page: Page) -> None:
    answer = page.driver.execute_async_script(
        """const done = arguments[0];
        document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));
        fetch('http://127.0.0.1:9/').catch(() => {});"""
    )
    assert answer == "connect-src"
    page.driver.get_log("browser")  # the browser's word on it, which the fixture is not to take for a fault


def test_fits_a_telephone(page: Page) -> None:
    page.driver.set_window_size(500, 900)  # the narrowest that a window may be
    wide = page.script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    page.driver.set_window_size(1280, 1500)
    assert wide[0] <= wide[1]
