"""The comparison above 8 kHz measures what is put in, and refuses what it cannot use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
RATE = 48000


@pytest.fixture(scope="module")
def measured(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("full_band_scores")


def test_levels_and_distances(measured: ModuleType) -> None:
    """A second of noise, a vowel without highs, a pause, and a sibilant."""
    random = np.random.default_rng(0)
    at = np.arange(4 * RATE) / RATE
    vowel = 0.1 * np.sin(2 * np.pi * 300 * at) * ((at > 1) & (at < 2))
    sibilant = 0.02 * random.standard_normal(len(at)) * (at > 3.7)
    clean, noise = vowel + sibilant, 0.003 * random.standard_normal(len(at))
    same = measured.scores(clean, noise, clean + noise)
    assert same["pause"] == pytest.approx(0, abs=0.05)
    assert same["under speech"] == pytest.approx(0, abs=0.1)
    lower = measured.scores(clean, noise, vowel + 0.5 * sibilant + np.where(at < 2, 0.2, 0.1) * noise)
    assert lower["pause"] == pytest.approx(-20, abs=0.5)
    assert lower["under speech"] == pytest.approx(-14, abs=0.5)
    assert lower["sibilants"] == pytest.approx(-6, abs=0.1)
    perfect = measured.scores(clean, noise, clean)
    assert (perfect["LSD"], perfect["LSD above"]) == (0, 0)
    assert perfect["SI-SDR above"] > 100
    assert np.isnan(measured.scores(clean, 0 * noise, clean)["pause"])


def run(*words: object) -> tuple[int, str, str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "full_band.py"), *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return ran.returncode, ran.stdout, ran.stderr


def test_a_table_of_a_model(tmp_path: Path, tiny: Path) -> None:
    random = np.random.default_rng(0)
    for talker in range(7):
        (tmp_path / "speech" / f"{talker}").mkdir(parents=True)
        soundfile.write(tmp_path / "speech" / f"{talker}" / "a.wav", random.normal(0, 0.1, RATE), RATE)
    (tmp_path / "noise" / "fan").mkdir(parents=True)
    soundfile.write(tmp_path / "noise" / "fan" / "a.wav", random.normal(0, 0.1, RATE), RATE)
    words = (tmp_path / "speech", tmp_path / "noise", "--model", tiny, "--clips", 1, "--seconds", 3)
    code, told, error = run(*words, "-o", tmp_path / "report")
    assert code == 0, error
    assert f"| fan, 15 dB | {tiny}, head | " in told
    assert (tmp_path / "report" / "full_band.md").read_text() == told
    code, _, error = run(*words, "--kind", "rain")
    assert (code, error) == (2, f"full_band: error: {tmp_path / 'noise'} has no rain; choose from fan\n")


def test_bad_folders(tmp_path: Path) -> None:
    code, _, error = run(tmp_path / "none", tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert "none is not a folder" in error
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    code, _, error = run(tmp_path, tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert "give one with 7 talkers or more" in error
