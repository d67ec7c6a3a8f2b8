"""Measures of recordings against signals whose values are known, and the manifest that corpora obey."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from data.tiny import RATE, write
from sese.cli.data import app
from sese.core.errors import InputError
from sese.data.corpora import scan
from sese.data.selection import Limits, judge, measure, select


def speech(
    seconds: float = 4.0,
    snr_db: float = 40.0,
    level_dbfs: float = -20.0,
    band_hz: float = 8000.0,
    rate: int = RATE,
    seed: int = 1,
) -> np.ndarray:
    """Noise bursts of 0.5 s and pauses `snr_db` below them, with smooth edges; the band ends sharply."""
    count = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum[np.fft.rfftfreq(count, 1 / rate) > band_hz] = 0
    signal = np.fft.irfft(spectrum, count)
    signal *= 10 ** (level_dbfs / 20) / signal.std()
    pause = np.arange(count) // (rate // 2) % 2 == 1
    ramp = np.hanning(rate // 25)  # a sudden change of level has every frequency
    gain_db = np.convolve(np.pad(pause * -snr_db, rate // 25, mode="edge"), ramp / ramp.sum(), "same")
    return signal * 10 ** (gain_db[rate // 25 : -(rate // 25)] / 20)


@pytest.mark.parametrize("snr_db", [10.0, 30.0, 50.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_snr_and_level(snr_db: float, rate: int):
    signal = speech(snr_db=snr_db, rate=rate)
    found = measure(signal, rate)
    # Up to 20 dB, pauses count as active too: the ratio and the level are a little lower.
    active = 10 * np.log10((1 + 10 ** (-snr_db / 10)) / 2) if snr_db < 19 else 0.0
    assert found.snr_db == pytest.approx(snr_db + active, abs=1.0)
    assert found.level_dbfs == pytest.approx(-20 + active, abs=0.3)
    assert found.seconds == pytest.approx(4.0)


def test_a_part_of_digital_zero_changes_neither_snr_nor_level_and_counts_as_gated():
    signal = speech()
    padded = measure(np.concatenate([np.zeros(RATE), signal]), RATE)
    plain = measure(signal, RATE)
    assert plain.gated == 0
    assert padded.gated == pytest.approx(0.2, abs=0.005)
    assert padded.snr_db == pytest.approx(plain.snr_db, abs=0.2)
    assert padded.level_dbfs == pytest.approx(plain.level_dbfs, abs=0.1)


def test_a_constant_offset_changes_nothing():
    plain, shifted = measure(speech(), RATE), measure(speech() + 0.2, RATE)
    assert shifted.snr_db == pytest.approx(plain.snr_db, abs=0.1)
    assert shifted.level_dbfs == pytest.approx(plain.level_dbfs, abs=0.1)
    assert shifted.bandwidth_hz == plain.bandwidth_hz
    assert judge(measure(np.full(RATE, 0.2), RATE), Limits()) == ("silent",)


def test_a_gate_that_leaves_a_trace_counts_as_gated():
    assert measure(speech(snr_db=70), RATE).gated == pytest.approx(0.5, abs=0.05), "pauses at -90 dBFS"
    assert measure(speech(snr_db=55), RATE).gated == 0, "pauses at -75 dBFS: a studio"


@pytest.mark.parametrize("band_hz", [3400, 5500, 7500])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_bandwidth(band_hz: float, rate: int):
    assert measure(speech(band_hz=band_hz, rate=rate), rate).bandwidth_hz == pytest.approx(band_hz, abs=200)


@pytest.mark.parametrize("limit", [0.2, 1.0])
def test_clipped_runs_are_counted_at_any_level(limit: float):
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 100 * time + 0.1)
    clipped = np.clip(2 * limit * tone, -limit, limit)
    assert measure(clipped, RATE).clipped == 200, "two a period"
    assert measure(limit * tone, RATE).clipped == 0
    assert measure(np.clip(1.5 * tone, -1, 1) * 1.7, RATE).clipped == 200, "floats above full scale"


def test_channels_are_averaged_and_short_or_silent_signals_are_measured():
    signal = speech()
    both = measure(np.stack([signal, signal], axis=1), RATE)
    assert both == measure(signal, RATE)
    assert judge(measure(np.zeros(RATE), RATE), Limits()) == ("silent",)
    assert measure(signal[:100], RATE).seconds == pytest.approx(100 / RATE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"snr_db": 25.0}, "snr"),
        ({"band_hz": 4000.0}, "bandwidth"),
        ({"level_dbfs": -50.0}, "level"),
        ({"seconds": 0.4}, "short"),
    ],
)
def test_each_limit_drops_what_fails_it(change: dict, reason: str):
    assert judge(measure(speech(), RATE), Limits()) == ()
    assert reason in judge(measure(speech(**change), RATE), Limits())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    write(root / "clean/ann/good.wav", speech(seed=1))
    write(root / "clean/ann/noisy.wav", speech(snr_db=15, seed=2))
    write(root / "clean/bob/telephone.wav", speech(band_hz=3400, seed=3))
    write(root / "clean/bob/good.wav", speech(seed=4))
    write(root / "noise/hum/steady.wav", speech(snr_db=0, seed=5))
    write(root / "noise/hum/faint.wav", speech(snr_db=0, level_dbfs=-70, seed=6))
    return root


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_select_writes_a_manifest_that_scan_obeys(corpus: Path):
    result = run("select", corpus, "--jobs", 1)
    assert result.exit_code == 0, result.output
    rows = {row["path"]: row for row in csv.DictReader((corpus / "selection.csv").open())}
    assert {path: row["verdict"] for path, row in rows.items()} == {
        "clean/ann/good.wav": "keep",
        "clean/ann/noisy.wav": "drop",
        "clean/bob/good.wav": "keep",
        "clean/bob/telephone.wav": "drop",
    }
    assert rows["clean/ann/noisy.wav"]["reason"] == "snr"
    assert rows["clean/bob/telephone.wav"]["reason"] == "bandwidth"
    assert float(rows["clean/ann/good.wav"]["snr_db"]) == pytest.approx(40, abs=1)
    found = scan(corpus)
    assert {r.path.relative_to(corpus).as_posix() for r in found.speech} == {
        "clean/ann/good.wav",
        "clean/bob/good.wav",
    }
    assert [(p.path.name, p.reason) for p in found.dropped] == [
        ("noisy.wav", "snr"),
        ("telephone.wav", "bandwidth"),
    ]
    assert len(found.noise) == 2
    assert "left out by selection.csv: 2 files" in run("describe", corpus).stdout
    assert len(json.loads(run("describe", corpus, "--json").stdout)["dropped"]) == 2


def test_the_roles_share_a_manifest_and_a_second_run_measures_all_again(corpus: Path):
    assert run("select", corpus, "--jobs", 1).exit_code == 0
    summary = json.loads(run("select", corpus, "--role", "noise", "--jobs", 1, "--json").stdout)
    assert (summary["files"], summary["files_kept"], summary["dropped"]) == (2, 1, {"level": 1})
    assert [r.path.name for r in scan(corpus).noise] == ["steady.wav"]
    assert len(scan(corpus).speech) == 2, "the rows of speech stay"
    assert run("select", corpus, "--min-snr", 5, "--jobs", 1).exit_code == 0
    assert len(scan(corpus).speech) == 3
    assert len(scan(corpus).noise) == 1


def test_a_cap_keeps_the_best_of_each_speaker(tmp_path: Path):
    for k, snr_db in enumerate([35, 50, 42]):
        write(tmp_path / "ann" / f"{k}.wav", speech(snr_db=snr_db, seed=k))
    write(tmp_path / "bob" / "0.wav", speech(snr_db=35))
    rows = select(tmp_path, limits=Limits(cap_minutes=9 / 60))
    assert {row.path: row.reasons for row in rows} == {
        "ann/0.wav": ("cap",),
        "ann/1.wav": (),
        "ann/2.wav": (),
        "bob/0.wav": (),
    }


def test_a_pair_goes_with_its_clean_side(tmp_path: Path):
    for side, snr_db in (("clean", 15), ("noisy", 5)):
        write(tmp_path / side / "a.wav", speech(snr_db=snr_db))
        write(tmp_path / side / "b.wav", speech(snr_db=snr_db + 25))
    assert run("select", tmp_path, "--jobs", 1).exit_code == 0
    assert [clean.path.name for clean, _ in scan(tmp_path).pairs] == ["b.wav"]


def test_names_of_any_bytes_are_dropped_too(tmp_path: Path):
    write(tmp_path / "corpus/ann/noisy.wav", speech(snr_db=15))
    write(tmp_path / "corpus/ann/good.wav", speech())
    try:
        (tmp_path / "corpus/ann").rename(tmp_path / "corpus" / os.fsdecode(b"sp\xff,\n1"))
    except OSError:
        pytest.skip("the file system wants UTF-8")
    result = run("select", tmp_path / "corpus", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert [r.path.name for r in scan(tmp_path / "corpus").speech] == ["good.wav"]


def test_an_unreadable_file_is_dropped_and_the_others_go_on(corpus: Path):
    whole = write(corpus / "clean/cy/cut.flac", speech()).read_bytes()
    damaged = whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[-len(whole) // 3 :]
    (corpus / "clean/cy/cut.flac").write_bytes(damaged)
    rows = {row.path: row for row in select(corpus)}
    assert rows["clean/cy/cut.flac"].reasons != ()
    assert rows["clean/ann/good.wav"].reasons == ()


def test_jobs_change_nothing(corpus: Path):
    assert select(corpus, jobs=2) == select(corpus, jobs=1)


def test_another_place_for_the_manifest_leaves_the_corpus_as_it_is(corpus: Path, tmp_path: Path):
    assert run("select", corpus, "--jobs", 1, "-o", tmp_path / "look.csv").exit_code == 0
    assert len(scan(corpus).speech) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column path"),
        ("path,verdict\na.wav,drop\n", "lacks the column reason"),
        ("path,verdict,reason\na.wav,perhaps,\n", "line 2"),
        ("path,verdict,reason\n,drop,snr\n", "line 2"),
        (b"path,verdict,reason\n\xff\xfe,drop,snr\n", "cannot be read as a table"),
    ],
)
def test_a_damaged_manifest_is_refused_in_one_line(corpus: Path, text: str | bytes, words: str):
    (corpus / "selection.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=words) as refused:
        scan(corpus)
    assert "\n" not in str(refused.value)
    result = run("select", corpus, "--jobs", 1)
    assert isinstance(result.exception, InputError), "it is not overwritten"


@pytest.mark.parametrize(
    "words",
    [
        ["--role", "rir"],
        ["--cap-minutes", "0"],
        ["--min-snr", "nan"],
        ["--jobs", "0"],
        ["-o", "no/folder/x.csv"],
    ],
)
def test_bad_options_are_refused(corpus: Path, words: list[str]):
    assert isinstance(run("select", corpus, *words).exception, InputError)
    assert not (corpus / "selection.csv").exists()


def test_a_folder_without_such_files_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no speech"):
        select(tmp_path)
