from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from evaluation_signals import RATE, noise, speech_like

from sese.core.errors import InputError
from sese.core.install import install_command
from sese.evaluation import dnsmos, metrics
from sese.evaluation.dnsmos import log_mel

needs_speechmos = pytest.mark.skipif(
    importlib.util.find_spec("speechmos") is None, reason="speechmos is not installed"
)


def test_si_sdr_of_literal_signals() -> None:
    # Means are zero; the estimate is the reference plus an orthogonal rest of a quarter of its energy.
    reference = np.array([1.0, 1.0, -1.0, -1.0])
    estimate = reference + 0.5 * np.array([1.0, -1.0, 1.0, -1.0])
    assert metrics.si_sdr(reference, estimate) == pytest.approx(10 * math.log10(4))


def test_si_sdr_follows_from_the_correlation() -> None:
    # With means removed, SI-SDR is r^2 / (1 - r^2) of the correlation coefficient r: another way to it.
    reference, estimate = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])
    squared = np.corrcoef(reference, estimate)[0, 1] ** 2
    assert metrics.si_sdr(reference, estimate) == pytest.approx(10 * np.log10(squared / (1 - squared)))


@pytest.mark.parametrize(("scale", "offset"), [(3.0, 0.0), (-0.01, 0.0), (1.0, 0.5)])
def test_si_sdr_ignores_scale_and_offset(scale: float, offset: float) -> None:
    clean = speech_like()
    noisy = clean + noise(len(clean))
    expected = metrics.si_sdr(clean, noisy)
    assert metrics.si_sdr(clean, scale * noisy.astype(np.float64) + offset) == pytest.approx(
        expected, abs=1e-6
    )


def test_si_sdr_at_its_ends() -> None:
    clean = speech_like()
    assert metrics.si_sdr(clean, clean) == math.inf
    assert math.isnan(metrics.si_sdr(np.zeros(100), np.ones(100)))
    assert math.isnan(metrics.si_sdr(clean, np.zeros_like(clean)))
    assert math.isnan(metrics.si_sdr(clean, np.full_like(clean, np.nan)))


def test_identity_has_the_best_scores() -> None:
    clean = speech_like()
    assert metrics.pesq_wb(clean, clean, RATE) == pytest.approx(4.644, abs=0.001)
    assert metrics.stoi(clean, clean, RATE) == pytest.approx(1, abs=1e-6)
    assert metrics.estoi(clean, clean, RATE) == pytest.approx(1, abs=1e-6)


def test_noise_lowers_every_score() -> None:
    clean = speech_like()
    little, much = clean + 0.1 * noise(len(clean)), clean + 3 * noise(len(clean))
    for metric in (metrics.pesq_wb, metrics.stoi, metrics.estoi):
        assert metric(clean, much, RATE) < metric(clean, little, RATE) < metric(clean, clean, RATE)


def test_intelligibility_repeats_exactly_and_leaves_random_numbers_alone() -> None:
    clean = speech_like()
    noisy = clean + noise(len(clean))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert metrics.estoi(clean, noisy, RATE) == metrics.estoi(clean, noisy, RATE)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("samples", [0, 1, 500, 3000])
def test_too_little_speech_is_nan(samples: int) -> None:
    clean = speech_like()[:samples]
    assert math.isnan(metrics.pesq_wb(clean, clean, RATE))
    assert math.isnan(metrics.stoi(clean, clean, RATE))
    assert math.isnan(metrics.estoi(clean, clean, RATE))


def test_silent_reference_is_nan() -> None:
    scores = metrics.score(np.zeros(RATE), noise(RATE), RATE, ["pesq", "stoi", "estoi", "si_sdr"])
    assert all(math.isnan(value) for value in scores.values())


@needs_speechmos
def test_dnsmos_prefers_clean_background() -> None:
    clean = speech_like(5)  # twice that is one segment
    before, after = metrics.dnsmos(clean + 3 * noise(len(clean)), RATE), metrics.dnsmos(clean, RATE)
    assert set(after) == {"ovrl", "sig", "bak", "p808"}
    assert after["bak"] > before["bak"]
    assert all(0.9 < score < 5 for score in (*before.values(), *after.values()))


@needs_speechmos
def test_dnsmos_equals_the_reference_implementation() -> None:
    """Numbers printed by `speechmos.dnsmos.run` (0.0.1.1, librosa 0.11) for this tone."""
    audio = (0.3 * np.sin(2 * np.pi * 440 * np.arange(11 * RATE) / RATE)).astype(np.float32)
    expected = {"ovrl": 1.276261, "sig": 1.641345, "bak": 1.822174, "p808": 2.111444}
    assert metrics.dnsmos(audio, RATE) == pytest.approx(expected, abs=1e-4)


@needs_speechmos
def test_dnsmos_of_a_real_clip_equals_the_reference_implementation() -> None:
    """Numbers printed by `speechmos.dnsmos.run` (0.0.1.1, librosa 0.11) for this recording of 8 s."""
    audio, rate = soundfile.read(Path(__file__).parents[1] / "pretrained" / "playground_clean.flac")
    expected = {"ovrl": 3.495727, "sig": 3.714116, "bak": 4.192927, "p808": 4.091565}
    assert metrics.dnsmos(audio, rate) == pytest.approx(expected, abs=1e-4)


@needs_speechmos
@pytest.mark.parametrize("seconds", [4.0, 5.3])  # repeated in step with the segments, and out of step
def test_dnsmos_shares_work_without_changing_the_scores(seconds: float) -> None:
    """Against the plain way: the whole network over every segment, one after the other."""
    audio = speech_like(seconds) + noise(int(seconds * RATE))
    repeated = audio
    while len(repeated) < 9.01 * RATE:
        repeated = np.append(repeated, repeated)
    whole = dnsmos.open_session(dnsmos.model_folder() / "sig_bak_ovr.onnx")
    raw = []
    for start in range(int(len(repeated) // RATE - 9.01) + 1):
        segment = repeated[start * RATE : int((start + 9.01) * RATE)]
        if len(segment) == int(9.01 * RATE):
            raw.append(whole.run(None, {"input_1": segment[None]})[0][0])
    expected = np.polyval(dnsmos.POLYNOMIALS["sig"], np.array(raw)[:, 0]).mean()
    assert metrics.dnsmos(audio, RATE)["sig"] == pytest.approx(expected, abs=1e-5)


@needs_speechmos
def test_dnsmos_of_nothing_is_nan() -> None:
    for audio in (np.zeros(RATE), np.zeros(0), np.full(RATE, np.nan)):
        assert all(math.isnan(value) for value in metrics.dnsmos(audio, RATE).values())


def test_log_mel_has_its_peak_at_the_tone() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    bands = log_mel(tone)
    assert bands.shape == (100, 120)
    assert bands.max() == pytest.approx(1)
    assert bands.min() >= -1
    # 1 kHz is 15 mel of 45.245; bands are centred on multiples of 45.245 / 121 mel.
    assert abs(int(bands[50].argmax()) - (15 / (45.245 / 121) - 1)) <= 1


def test_bad_arguments_name_the_remedy() -> None:
    clean = speech_like()
    with pytest.raises(InputError, match="equal length"):
        metrics.si_sdr(clean, clean[1:])
    with pytest.raises(InputError, match=r"mono"):
        metrics.stoi(np.stack([clean, clean]), np.stack([clean, clean]), RATE)
    with pytest.raises(InputError, match="resample to 16000"):
        metrics.pesq_wb(clean, clean, 48_000)
    with pytest.raises(InputError, match="unknown metric 'mos'"):
        metrics.check_metrics(["mos"])
    with pytest.raises(InputError, match="no metric"):
        metrics.check_metrics([])


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape(install_command("metrics"))):
        metrics.check_metrics(["pesq"])


def test_description_names_package_and_version() -> None:
    described = metrics.describe_metrics()
    assert described["pesq"]["package"] == "pesq"
    assert described["pesq"]["version"] == importlib.metadata.version("pesq")
    assert metrics.columns_of(["dnsmos"]) == described["dnsmos"]["columns"]


def test_sdr_is_the_ratio_of_energies_and_sees_the_scale() -> None:
    reference = np.sin(np.arange(1000) / 7)
    assert metrics.sdr(reference, 1.1 * reference) == pytest.approx(20)
    assert metrics.sdr(reference, -reference) == pytest.approx(20 * np.log10(0.5))
    assert metrics.sdr(reference, reference) == np.inf
    assert np.isnan(metrics.sdr(np.zeros(9), np.ones(9)))
