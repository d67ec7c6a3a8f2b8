"""Bundled models keep speech at its level after loud sounds and zeros, and over offsets; what measures it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from sese.core.errors import InputError
from sese.runtime.artefact import open_artefact

ROOT = Path(__file__).parents[2]
RATE = 16000

LIMITS: dict[str, tuple[float, float, float]] = {
    "demucs-slim-small": (3.5, 1.0, math.inf),
    "bloom-net": (1.5, 1.0, math.inf),
    "sese-2": (3.0, 1.5, 1.5),
}
"""By how many dB speech may be off with these models: until 1 s from its beginning, later, and over hum."""


@pytest.fixture(scope="module")
def steady(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("steady")


@pytest.mark.parametrize("recording", ["dryer", "playground"])
@pytest.mark.parametrize("name", LIMITS)
def test_speech_keeps_its_level(steady: ModuleType, name: str, recording: str) -> None:
    speech = steady.read(ROOT / "examples" / f"{recording}.wav", RATE)
    for case, values in steady.measure(open_artefact(name), speech).items():
        _, early, late = values
        *limits, hum = LIMITS[name]
        if "Hz" in case:
            limits = [hum, hum]
        assert abs(early) <= limits[0], case
        assert abs(late) <= limits[1], case


class Passes:
    """A model that gives back what it hears at half its size."""

    class card:
        sample_rate = RATE


@pytest.fixture
def halving(steady: ModuleType, monkeypatch: pytest.MonkeyPatch) -> type[Passes]:
    monkeypatch.setattr(steady, "enhance", lambda model, audio, budget: 0.5 * audio)
    return Passes


def test_a_model_without_memory_has_no_gain(steady: ModuleType, halving: type[Passes]) -> None:
    speech = steady.read(steady.RECORDING, RATE)
    for case, values in steady.measure(halving, speech).items():
        # What is added to the speech is nearly at right angles to it.
        assert np.abs(values).max() < (2.0 if "Hz" in case else 0.3), case
    assert steady.line(halving) < 2


def test_gains_are_those_of_the_parts(steady: ModuleType) -> None:
    fresh = np.random.default_rng(0).normal(size=4 * RATE).astype(np.float32)
    out = fresh * np.repeat([0.1, 0.5, 0.5, 0.5, 0.5, *[2.0] * 15], RATE // 5)
    assert steady.gains(out, fresh, RATE) == pytest.approx([-20, -6.02, 6.02], abs=0.01)
    assert steady.gains(-out, fresh, RATE) == [-99] * 3


def test_a_line_is_seen(steady: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def whistle(model: object, audio: np.ndarray, budget: str) -> np.ndarray:
        return audio + 0.1 * np.sin(2 * np.pi * 3990 * np.arange(len(audio)) / RATE)

    monkeypatch.setattr(steady, "enhance", whistle)
    assert steady.line(Passes) > 20


def test_cases_have_their_levels(steady: ModuleType) -> None:
    speech = steady.read(steady.RECORDING, RATE)
    heard, alone, begin = steady.CASES["music at -12, speech at -40 dBFS"](speech, RATE)
    assert begin == 3 * RATE
    np.testing.assert_array_equal(heard[begin:], alone)
    levels = [20 * np.log10(np.std(part)) for part in (heard[:begin], alone)]
    assert levels == pytest.approx([-12, -40], abs=0.1)
    heard, alone, begin = steady.CASES["speech at -45 dBFS, offset 0.02"](speech, RATE)
    np.testing.assert_allclose(heard - alone, 0.02, atol=1e-6)
    assert begin == 0


def test_recordings_begin_with_speech(steady: ModuleType, tmp_path: Path) -> None:
    audio = np.zeros(6 * RATE)
    audio[RATE : 6 * RATE] = 0.1 * np.random.default_rng(0).normal(size=5 * RATE)
    soundfile.write(tmp_path / "late.wav", audio, RATE)
    assert abs(steady.begin_of_speech(audio, RATE) - RATE) <= RATE // 20
    assert len(steady.read(tmp_path / "late.wav", RATE)) == 4 * RATE
    soundfile.write(tmp_path / "short.wav", audio[: 3 * RATE], RATE)
    for name in ("short.wav", "missing.wav"):
        with pytest.raises(InputError, match=r"give (longer )?recordings"):
            steady.read(tmp_path / name, RATE)


def test_the_table_has_every_case(
    steady: ModuleType, halving: type[Passes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(steady, "open_artefact", lambda name: halving)
    steady.steady([], ["half"], "1")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(steady.CASES) + 1
    assert all(line.count("|") == 2 + 1 + len(steady.WINDOWS) for line in lines)
