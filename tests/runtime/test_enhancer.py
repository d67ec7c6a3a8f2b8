"""Enhancing arrays and files through the public door."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import sese
from runtime.tiny_model import GAINS, tone
from sese.core.errors import InputError
from sese.runtime.budget import Fixed, parse_budget
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions

RATES = (8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000)


@pytest.fixture(scope="module")
def enhancer(tiny: Path) -> Enhancer:
    return sese.load(tiny)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (4000,), (1, 4000), (2, 4000), (6, 1), (2, 0)])
def test_array_like_the_input(enhancer: Enhancer, shape: tuple[int, ...], dtype: Any) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, shape).astype(dtype)
    enhanced = enhancer.enhance(audio, 16000, channels_last=False)
    assert enhanced.shape == shape
    assert enhanced.dtype == dtype
    np.testing.assert_allclose(enhanced, audio, atol=1e-6)


def test_long_array_is_one_signal(remembering: Path) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 25 * 8000).astype(np.float32)
    enhancer = sese.load(remembering)
    stream = enhancer.stream(8000, latency="high")
    whole = np.concatenate([stream.feed(audio), stream.flush()])
    np.testing.assert_allclose(enhancer.enhance(audio, 8000), whole, atol=1e-6)


@pytest.mark.parametrize("budget", [0.125, 0.2, 0.25, "0.5", 0.99, 1, np.float32(1.0), "fixed:0.25"])
def test_budget_is_run(enhancer: Enhancer, budget: Any) -> None:
    rule = parse_budget(enhancer.card, budget)
    assert isinstance(rule, Fixed)
    gain = GAINS[rule.level]
    np.testing.assert_allclose(enhancer.enhance(np.ones(1000), 16000, budget=budget), gain, atol=1e-6)


def test_bad_budget_of_the_enhancer(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"budget is 0\.01"):
        sese.load(tiny, 0.01)


def test_mix_and_attenuation(enhancer: Enhancer) -> None:
    audio = tone(4000)[:, 0]
    dry = enhancer.enhance(audio, 16000, budget=0.125, mix=0)
    np.testing.assert_allclose(dry, audio, atol=1e-6)
    half = enhancer.enhance(audio, 16000, budget=0.125, mix=0.5)
    np.testing.assert_allclose(half, (0.5 + 0.5 * GAINS[0]) * audio, atol=1e-6)
    limited = enhancer.enhance(audio, 16000, budget=0.125, max_attenuation_db=20)
    np.testing.assert_allclose(limited, (GAINS[0] + 0.1 * (1 - GAINS[0])) * audio, atol=1e-6)
    assert EnhanceOptions(mix=1, max_attenuation_db=0).wet == 0
    assert EnhanceOptions(mix=1, max_attenuation_db=float("inf")).wet == 1


@pytest.mark.parametrize("mix", [-0.1, 1.1, float("nan"), "half"])
def test_bad_mix(enhancer: Enhancer, mix: Any) -> None:
    with pytest.raises(InputError, match="mix is"):
        enhancer.enhance(np.zeros(10), 16000, mix=mix)


@pytest.mark.parametrize("limit", [-1, float("nan"), "6 dB"])
def test_bad_attenuation(enhancer: Enhancer, limit: Any) -> None:
    with pytest.raises(InputError, match="max_attenuation_db is"):
        enhancer.enhance(np.zeros(10), 16000, max_attenuation_db=limit)


@pytest.mark.parametrize(
    ("audio", "rate", "words"),
    [
        (np.zeros(10, np.int16), 16000, "int16"),
        (np.zeros((48000, 2)), 16000, "shape (48000, 2)"),
        (np.zeros((1, 2, 3)), 16000, "shape (1, 2, 3)"),
        (np.float64(0), 16000, "shape ()"),
        (np.zeros(10), 4000, "sample_rate is 4000"),
        (np.array([0, np.inf]), 16000, "inf at sample 1"),
    ],
)
def test_bad_array(enhancer: Enhancer, audio: Any, rate: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        enhancer.enhance(audio, rate)
    assert words in str(caught.value)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_file_of_any_rate(enhancer: Enhancer, tmp_path: Path, rate: int, channels: int) -> None:
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, tone(rate // 2 + 1, channels, rate), rate, subtype="PCM_24")
    report = enhancer.enhance_file(source, target)
    written, written_rate = soundfile.read(target, always_2d=True)
    assert written_rate == report.sample_rate == rate
    assert written.shape == (rate // 2 + 1, channels)
    assert soundfile.info(target).subtype == "PCM_24"
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(written[inner], tone(rate // 2 + 1, channels, rate)[inner], atol=1e-4)
    assert report.seconds == pytest.approx(0.5, abs=0.001)
    assert report.utilization == report.budget == 1
    assert (report.limited_to, report.channels, report.clipped_samples) == (None, channels, 0)
    assert report.real_time_factor == pytest.approx(report.processing_seconds / report.seconds)


@pytest.mark.parametrize("frames", [1, 2, 3, 16000, 16001])
@pytest.mark.parametrize("rate", [8000, 16000, 48000, 192000])
def test_length_kept(enhancer: Enhancer, tmp_path: Path, rate: int, frames: int) -> None:
    soundfile.write(tmp_path / "in.flac", tone(frames, 2, rate), rate)
    enhancer.enhance_file(tmp_path / "in.flac", tmp_path / "out.flac")
    assert soundfile.info(tmp_path / "out.flac").frames == frames


def test_silence(enhancer: Enhancer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros((20000, 2)), 44100)
    enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "out.wav")
    written, _ = soundfile.read(tmp_path / "out.wav")
    assert written.shape == (20000, 2)
    assert not written.any()


def test_full_scale_clipping(enhancer: Enhancer, tmp_path: Path) -> None:
    square = np.sign(np.sin(np.arange(24000) / 20))
    soundfile.write(tmp_path / "in.wav", square, 48000)
    report = enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", band_above="drop")
    written, _ = soundfile.read(tmp_path / "out.wav")
    assert written.shape == (24000,)
    assert np.abs(written).max() <= 1
    assert report.clipped_samples > 0  # a square wave with its upper band taken off overshoots
    assert np.corrcoef(square, written)[0, 1] > 0.95


def test_progress(enhancer: Enhancer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(40000), 16000)
    heard: list[float] = []
    enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", progress=heard.append)
    assert heard == [1.0, 2.0, 2.5]


def test_output_exists(enhancer: Enhancer, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "out.wav").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        enhancer.enhance_file(noisy, tmp_path / "out.wav")
    assert (tmp_path / "out.wav").read_text() == "mine"
    enhancer.enhance_file(noisy, tmp_path / "out.wav", force=True)
    assert soundfile.info(tmp_path / "out.wav").frames == 8000


@pytest.mark.parametrize("how", ["same", "symlink", "hardlink", "dots"])
def test_output_is_the_input(enhancer: Enhancer, noisy: Path, how: str) -> None:
    target = noisy.with_name("other.wav")
    if how == "same":
        target = noisy
    elif how == "symlink":
        target.symlink_to(noisy)
    elif how == "hardlink":
        target.hardlink_to(noisy)
    else:
        target = noisy.parent / ".." / noisy.parent.name / noisy.name
    before = noisy.read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        enhancer.enhance_file(noisy, target, force=True)
    assert noisy.read_bytes() == before


def test_module_function_keeps_the_model_open(tiny: Path) -> None:
    from sese.runtime.enhancer import opened

    audio = tone(1000)[:, 0]
    np.testing.assert_allclose(sese.enhance(audio, 16000, model=tiny, budget=0.25), 0.5 * audio, atol=1e-6)
    assert opened(tiny) is opened(str(tiny))
    assert sese.Enhancer is Enhancer
    with pytest.raises(AttributeError):
        sese.nothing  # noqa: B018


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_import_is_quick_and_silent() -> None:
    ran = run(
        "import sys, sese; print(sorted({'numpy', 'onnxruntime', 'soundfile', 'torch'} & set(sys.modules)))"
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_without_pytorch(tiny: Path, noisy: Path, tmp_path: Path) -> None:
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lightning", "onnx"):
            raise ImportError(f"{name} is not for the runtime")
sys.meta_path.insert(0, NoTorch())
import sese, sese.cli.enhance, sese.cli.models, sese.cli.doctor
model, source, target = sys.argv[1:]
print(sese.load(model).enhance_file(source, target).utilization)
"""
    ran = run(code, tiny, noisy, tmp_path / "out.wav")
    assert (ran.stdout, ran.stderr) == ("1.0\n", "")


@pytest.mark.slow
def test_long_file_in_little_memory(tiny: Path, tmp_path: Path) -> None:
    """Half an hour of 48 kHz stereo, 690 MB as float32, in less than 300 MB."""
    second = (0.1 * np.random.default_rng(0).normal(size=(48000, 2))).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "in.wav", "w", 48000, 2, "PCM_16") as file:
        for _ in range(1800):
            file.write(second)
    code = """
import re, sys, sese
report = sese.load(sys.argv[1]).enhance_file(sys.argv[2], sys.argv[3])
# Not getrusage: its peak includes that of the process which started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(report.seconds, peak / 1024, report.real_time_factor)
"""
    ran = run(code, tiny, tmp_path / "in.wav", tmp_path / "out.wav")
    seconds, megabytes, _ = map(float, ran.stdout.split())
    assert seconds == 1800
    assert megabytes < 300
    assert soundfile.info(tmp_path / "out.wav").frames == 1800 * 48000


def test_a_file_with_too_many_channels_is_named(enhancer: Enhancer, tmp_path: Path) -> None:
    source = tmp_path / "many.wav"
    soundfile.write(source, tone(800, 65), 16000)
    with pytest.raises(InputError, match=r"many\.wav has 65 channels; give a file with 1 to 64"):
        enhancer.enhance_file(source, tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_replaced_file_keeps_its_permissions(enhancer: Enhancer, tmp_path: Path) -> None:
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, tone(800), 16000)
    target.write_bytes(b"old")
    target.chmod(0o640)
    enhancer.enhance_file(source, target, force=True)
    assert target.stat().st_mode & 0o777 == 0o640
    assert soundfile.info(target).frames == 800
