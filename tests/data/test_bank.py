from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data.tiny import RATE, sound, write
from sese.core.errors import InputError
from sese.data import bank as bank_module
from sese.data.bank import load_bank
from sese.data.corpora import Problem, Recording, scan


def test_samples_are_those_of_the_files(tmp_path: Path):
    quiet = sound(0.2, 1)
    write(tmp_path / "a" / "x.wav", quiet)
    write(tmp_path / "b" / "stereo.wav", np.stack([quiet, 0 * quiet], axis=1))
    bank = load_bank(scan(tmp_path).speech, RATE, tmp_path / "cache")
    assert bank.group_names == ("a", "b")
    assert bank.lengths.tolist() == [3200, 3200]
    np.testing.assert_allclose(bank.audio(0), quiet, atol=2 / 32768)
    np.testing.assert_allclose(bank.audio(1), quiet / 2, atol=2 / 32768)


def test_resampled_and_kept_below_full_scale(tmp_path: Path):
    t = np.arange(48000) / 48000
    write(tmp_path / "loud.wav", 3.0 * np.sin(2 * np.pi * 440 * t), 48000, subtype="FLOAT")
    bank = load_bank(scan(tmp_path).speech, RATE, tmp_path / "cache")
    assert bank.lengths.tolist() == [16000]
    middle = bank.audio(0)[2000:14000]
    # A whole sine survives: a clipped one would have a higher RMS than its peak over the root of two.
    assert 0.9 < np.abs(middle).max() <= 1.0
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.abs(middle).max() / np.sqrt(2), rel=0.01)


def test_cache_is_reused_and_rebuilt_when_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "in" / "x.wav", sound(0.1, 1))
    decoded: list[Path] = []
    original = bank_module.decode
    monkeypatch.setattr(bank_module, "decode", lambda p, *rest: decoded.append(p) or original(p, *rest))

    def load():
        return load_bank(scan(tmp_path / "in").speech, RATE, tmp_path / "cache")

    first, again = load(), load()
    assert len(decoded) == 1
    np.testing.assert_array_equal(first.samples, again.samples)
    write(path, sound(0.1, 2))
    os.utime(path, ns=(1, 1))
    assert not np.array_equal(load().samples, first.samples)
    assert len(decoded) == 2
    assert not list((tmp_path / "cache").glob("*.part"))


def test_cache_is_rebuilt_when_the_clean_side_changes(tmp_path: Path):
    clean, noisy = (
        write(tmp_path / side / "x.wav", sound(0.1, n)) for n, side in enumerate(("clean", "noisy"))
    )
    noise = Recording(noisy, "noise", 1600, RATE, "noise", subtract=clean)
    first = load_bank([noise], RATE, tmp_path / "cache")
    write(clean, sound(0.1, 2))
    os.utime(clean, ns=(1, 1))
    assert not np.array_equal(load_bank([noise], RATE, tmp_path / "cache").samples, first.samples)


def test_files_that_fail_to_decode_are_named(tmp_path: Path):
    write(tmp_path / "good.wav", sound(0.1, 1))
    write(tmp_path / "silent.wav", np.zeros(1600))
    broken = write(tmp_path / "broken.wav", sound(0.1, 1))
    recordings = scan(tmp_path).speech
    broken.write_text("overwritten since the scan")
    for _ in range(2):  # decoded now, and read back from the cache
        bank = load_bank(recordings, RATE, tmp_path / "cache")
        assert [p.name for p in bank.paths] == ["good.wav"]
        assert {p.path.name for p in bank.problems} == {"broken.wav", "silent.wav"}
    assert Problem(tmp_path / "silent.wav", "silent throughout") in bank.problems


def test_nothing_usable_is_an_error(tmp_path: Path):
    write(tmp_path / "silent.wav", np.zeros(1600))
    with pytest.raises(InputError, match=r"none of 1 files .*silent\.wav"):
        load_bank(scan(tmp_path).speech, RATE, tmp_path / "cache")
    with pytest.raises(InputError, match="no recordings"):
        load_bank([], RATE, tmp_path / "cache")
    with pytest.raises(InputError, match="gone"):
        load_bank([Recording(tmp_path / "no.wav", "g", 1, RATE, "speech")], RATE, tmp_path / "cache")
