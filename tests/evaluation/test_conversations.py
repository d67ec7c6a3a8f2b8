"""Scores of speech and of pauses, on signals whose answers are known, and over a set."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from sese.cli.main import app
from sese.core.errors import InputError
from sese.evaluation.conversations import (
    COLUMNS,
    Activity,
    active,
    conversation_scores,
    onset_loss_db,
    read_activity,
)
from sese.evaluation.pairs import find_pairs
from sese.evaluation.pareto import compare
from sese.evaluation.suite import evaluate

RATE = 16_000
TURNS = ((1.0, 2.0), (3.0, 4.0))
ACTIVITY = Activity(TURNS, ((0.0, 5.0),))
RNG = np.random.default_rng(0)
CLEAN = RNG.standard_normal(5 * RATE) * 0.1 * active(TURNS, 5 * RATE, RATE)


def scored(estimate: np.ndarray) -> dict[str, float]:
    return conversation_scores(CLEAN, estimate, RATE, ACTIVITY)


def test_the_level_in_pauses_is_that_outside_of_turns():
    hum = np.full(5 * RATE, 0.01)
    assert scored(CLEAN + hum)["pause_dbfs"] == pytest.approx(-40.0, abs=1e-6)
    assert scored(CLEAN)["pause_dbfs"] == -120.0
    ringing = CLEAN + active(TURNS, 5 * RATE, RATE, 0.09) * 0.5  # only up to 0.1 s behind turns
    assert scored(ringing)["pause_dbfs"] == -120.0
    assert scored(CLEAN + active(((0.0, 0.5),), 5 * RATE, RATE))["pause_dbfs"] == pytest.approx(
        10 * math.log10(0.5 / 2.8), abs=1e-6
    )


def test_si_sdr_of_speech_does_not_hear_the_pauses():
    rest = RNG.standard_normal(5 * RATE) * 0.01
    pauses = ~active(TURNS, 5 * RATE, RATE)
    alike = scored(CLEAN + rest)["speech_si_sdr"]
    assert alike == pytest.approx(20.0, abs=0.5)
    assert scored(CLEAN + rest + 0.3 * pauses)["speech_si_sdr"] == pytest.approx(alike, abs=1e-9)


def test_onset_loss_is_the_gain_of_whole_turns_over_that_of_their_beginnings():
    assert scored(CLEAN)["onset_loss_db"] == pytest.approx(0.0, abs=1e-9)
    assert scored(0.1 * CLEAN)["onset_loss_db"] == pytest.approx(0.0, abs=1e-9)
    halved = CLEAN.copy()
    halved[RATE : RATE + 3200] *= 0.5  # the beginning of one of two turns
    energy = np.square(CLEAN)
    share = energy[RATE : RATE + 3200].sum() / energy[RATE : 2 * RATE].sum()
    assert scored(halved)["onset_loss_db"] == pytest.approx(10 * math.log10(2 * (1 - share / 2)), abs=1e-6)
    lost = CLEAN * ~active(((1.0, 1.2), (3.0, 3.2)), 5 * RATE, RATE)
    assert scored(lost)["onset_loss_db"] == 40.0
    noise = np.zeros(5 * RATE)
    noise[RATE : RATE + 3200] = 0.1 * RNG.standard_normal(3200)  # is no speech, however loud
    assert scored(lost + noise)["onset_loss_db"] > 20.0


def test_what_is_not_there_has_no_score():
    nothing = conversation_scores(np.zeros(RATE), np.ones(RATE), RATE, Activity((), ((0.0, 1.0),)))
    assert math.isnan(nothing["speech_si_sdr"])
    assert math.isnan(nothing["onset_loss_db"])
    assert nothing["pause_dbfs"] == 0.0
    assert math.isnan(scored(np.zeros(5 * RATE))["onset_loss_db"])  # nothing is left of whole turns either
    assert math.isnan(onset_loss_db(CLEAN, CLEAN, RATE, [(1.0, 1.3)]))  # shorter than 0.4 s
    talk = conversation_scores(CLEAN[RATE : 2 * RATE], np.ones(RATE), RATE, Activity(((0.0, 1.0),), ()))
    assert math.isnan(talk["pause_dbfs"])
    with pytest.raises(InputError, match="make them equal"):
        scored(CLEAN[1:])


def write_set(folder: Path, rows: str) -> Path:
    for side, gain in (("clean", 0.0), ("noisy", 0.01)):
        (folder / side).mkdir(parents=True)
        for name in ("a.wav", "b.wav"):
            soundfile.write(folder / side / name, CLEAN + gain * RNG.standard_normal(len(CLEAN)), RATE)
    (folder / "activity.csv").write_text(rows)
    return folder


ROWS = "file,kind,begin_s,end_s,speaker\n" + "".join(
    f"{name},speech,3,4,x\n{name},noise,0,5,\n{name},speech,1,2,x\n" for name in ("a.wav", "b.wav")
)


def test_an_evaluation_of_conversations_has_their_columns(tmp_path: Path, tiny: Path):
    folder = write_set(tmp_path / "set", ROWS)
    pairs = find_pairs(folder)
    assert pairs[1].activity == ACTIVITY
    result = evaluate(tiny, pairs, metrics=["si_sdr"], jobs=1)
    means = {level["level"]: level["mean"] for level in result["levels"]}
    assert list(means["noisy"]) == ["si_sdr", *COLUMNS]
    assert means["noisy"]["pause_dbfs"]["mean"] == pytest.approx(-40.0, abs=0.3)
    assert means["budget fixed:1"]["speech_si_sdr"]["mean"] == pytest.approx(20.0, abs=1.0)
    assert "0.2 s" in result["metrics"]["conversation"]["definition"]
    assert compare([result])["columns"] == ["si_sdr", "speech_si_sdr"]  # of which more is better
    out = tmp_path / "report"
    words = ["evaluate", str(tiny), str(folder), "--metrics", "si_sdr", "--jobs", "1", "-o", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "level in pauses (dBFS)" in done.output
    assert COLUMNS[2] in json.loads((out / "evaluation.json").read_text())["files"][0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("file,kind,begin_s\n", "no column end_s"),
        (ROWS + "b.wav,music,1,2,\n", "line 8: give the kind speech or noise"),
        (ROWS + "b.wav,noise,2,1,\n", "line 8: give"),
        (ROWS + "b.wav,noise,nan,1,\n", "line 8: give"),
        (ROWS.replace("b.wav", "c.wav"), "nothing about b.wav"),
    ],
)
def test_a_bad_activity_is_told(tmp_path: Path, rows: str, said: str):
    with pytest.raises(InputError, match=said):
        find_pairs(write_set(tmp_path / "set", rows))


def test_a_set_without_it_is_no_set_of_conversations(tmp_path: Path):
    assert read_activity(tmp_path) == {}
