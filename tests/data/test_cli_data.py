from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from sese.cli.data import app
from sese.core.errors import InputError
from sese.evaluation.conversations import active, read_activity


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_describe_as_json_and_table(corpus: Path, tmp_path: Path):
    facts = json.loads(run("describe", corpus, "--json").stdout)
    assert facts["speech"]["files"] == 6
    assert set(facts["noise"]["groups"]) == {"hum", "tick"}
    assert facts["speech"]["sample_rates"] == {"16000": 6}
    (tmp_path / "bad[1].wav").touch()
    result = run("describe", tmp_path)
    assert result.exit_code == 0
    assert "bad[1].wav: is an empty file" in result.stdout


def test_mix_writes_a_fixed_paired_set(corpus: Path, tmp_path: Path):
    options = ["--clips", "6", "--seconds", "1", "--snr", "-5", "20", "--reverb", "0.5", "--cache"]
    for name in ("one", "two"):
        result = run("mix", corpus, tmp_path / name, *options, tmp_path / "cache")
        assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "one" / "manifest.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [f"{i:05d}.wav" for i in range(6)]
    spread = sorted(float(row["snr_db"]) for row in rows)
    np.testing.assert_allclose(spread, -5 + 25 * (np.arange(6) + 0.5) / 6, atol=0.01)
    assert (corpus / rows[0]["noise_file"]).is_file()
    for side in ("clean", "noisy"):
        files = sorted((tmp_path / "one" / side).iterdir())
        assert len(files) == 6
        info = soundfile.info(files[0])
        assert (info.samplerate, info.subtype, info.frames) == (16000, "PCM_16", 16000)
        for path in files:
            assert path.read_bytes() == (tmp_path / "two" / side / path.name).read_bytes()


def test_mix_refuses_a_folder_in_use_and_rooms_that_are_not_there(corpus: Path, tmp_path: Path):
    result = run("mix", corpus, corpus)
    assert isinstance(result.exception, InputError)
    assert "not an empty folder" in str(result.exception)
    for part in ("clean", "noise"):
        (tmp_path / part).symlink_to(corpus / part)
    result = run("mix", tmp_path, tmp_path / "out", "--reverb", 0.5, "--cache", tmp_path / "cache")
    assert "no room responses" in str(result.exception)


def test_mix_writes_conversations_and_when_there_is_what(corpus: Path, tmp_path: Path):
    options = ["--clips", 12, "--seconds", 12, "--reverb", 0.5, "--activity", 0.4]
    result = run("mix", corpus, tmp_path / "talk", *options, "--cache", tmp_path / "cache")
    assert result.exit_code == 0, result.output
    activities = read_activity(tmp_path / "talk")
    assert len(activities) == 12
    quiet = 0
    for name, activity in activities.items():
        clean, noisy = (
            soundfile.read(tmp_path / "talk" / side / name, dtype="int16")[0].astype(int)
            for side in ("clean", "noisy")
        )
        assert np.abs(clean[~active(activity.speech, len(clean), 16000)]).max() <= 1
        noise = (noisy - clean)[~active(activity.noise, len(clean), 16000)]
        quiet += len(noise) > 0
        rooms = np.ones(len(clean), bool)  # of which the late part is no part of the target
        if len(noise):
            assert len(noise) == pytest.approx(6 * 16000, abs=2)
            rooms &= ~active(activity.speech, len(clean), 16000, 0.5)
            silent = rooms & ~active(activity.noise, len(clean), 16000)
            assert np.abs((noisy - clean)[silent]).max() <= 1
    assert 0 < quiet < 12
    share = np.mean([sum(end - begin for begin, end in one.speech) / 12 for one in activities.values()])
    assert share == pytest.approx(0.4, abs=0.1)
    result = run("mix", corpus, tmp_path / "none", "--activity", 0.01, "--cache", tmp_path / "cache")
    assert "mix activity: got 0.01" in str(result.exception)
    assert not (tmp_path / "none").exists()
