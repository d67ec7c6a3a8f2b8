from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from evaluation_signals import RATE, noise, speech_like, write_corpus

from sese.core.errors import InputError
from sese.evaluation import report
from sese.evaluation.pairs import find_pairs, read_pair
from sese.evaluation.scoring import macs_of
from sese.evaluation.suite import evaluate, score_pairs

FAST = ["pesq", "stoi", "estoi", "si_sdr"]
IDENTITY, SCALED = "evaluation_signals:Identity", "evaluation_signals:Scaled"
SWITCHING = "evaluation_signals:Switching"
COLUMNS = ["pesq_wb", "stoi", "estoi", "si_sdr"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def test_identity_equals_the_noisy_row(corpus: Path) -> None:
    result = evaluate("none", find_pairs(corpus), [0.5, 1.0], metrics=FAST, jobs=1, enhancer=IDENTITY)
    noisy, *levels = result["levels"]
    assert [level["level"] for level in levels] == ["budget 0.5", "budget 1"]
    for level in levels:
        assert level["mean"] == noisy["mean"]
        assert all(level["improvement"][column]["mean"] == 0 for column in COLUMNS)
        assert level["real_time_factor"] > 0
        assert level["utilization"] is None  # a plain callable does not tell
    assert result["failures"] == []
    assert len(result["files"]) == 9


def test_real_models_tell_what_they_used(corpus: Path, tiny: Path, remembering: Path) -> None:
    result = evaluate(tiny, find_pairs(corpus, 1), metrics=["stoi", "si_sdr"], jobs=1)
    noisy, *levels = result["levels"]
    assert [level["utilization"] for level in levels] == pytest.approx([0.125, 0.25, 0.5, 1.0])
    assert [level["macs_per_second"] for level in levels] == pytest.approx([0.125e6, 0.25e6, 0.5e6, 1e6])
    # The tiny model returns its input at the full budget, aligned in spite of its delay.
    assert levels[-1]["mean"]["si_sdr"]["mean"] == pytest.approx(noisy["mean"]["si_sdr"]["mean"], abs=1e-4)
    routed = evaluate(remembering, find_pairs(corpus, 1), ["auto"], metrics=["stoi"], jobs=1)["levels"][1]
    assert routed["level"] == "budget auto"
    assert 0.125 <= routed["utilization"] <= 1


def test_levels_of_a_routed_model_are_fixed_and_its_macs_those_of_the_frames(corpus: Path) -> None:
    result = evaluate("none", find_pairs(corpus, 1), metrics=["stoi"], jobs=1, enhancer=SWITCHING)
    _, *levels = result["levels"]
    budgets = ["fixed:0.25", "fixed:0.5", "fixed:1", "auto"]
    assert [level["budget"] for level in levels] == budgets
    # Half of the frames cost 1 and half 6; at its mean utilization of 0.625 a line would say 4.5.
    assert [level["macs_per_second"] for level in levels] == pytest.approx([1e6, 4e6, 6e6, 3.5e6])
    assert levels[-1]["utilization"] == pytest.approx(0.625)
    assert result["files"][-1]["macs_per_second"] == pytest.approx(3.5e6)


def test_what_a_router_decides_within_a_number_is_dynamic(corpus: Path) -> None:
    result = evaluate(
        "none", find_pairs(corpus), ["fixed:0.5", 0.6], metrics=FAST, jobs=1, enhancer=SWITCHING
    )
    assert len({row["utilization"] for row in result["files"] if row["level"] == "budget 0.6"}) == 1
    assert [level["dynamic"] for level in result["levels"]] == [False, False, True]


def test_an_empty_pair_is_named(corpus: Path) -> None:
    for side in ("clean", "noisy"):
        soundfile.write(corpus / side / "1.wav", np.zeros(0), RATE)
    with pytest.raises(InputError, match=r"1\.wav holds no audio"):
        evaluate("none", find_pairs(corpus), metrics=FAST, jobs=1, enhancer=IDENTITY)


def test_processes_give_what_one_process_gives(corpus: Path) -> None:
    def run(jobs: int) -> dict:
        pairs, metrics = find_pairs(corpus, 2), ["stoi", "si_sdr"]
        return evaluate("none", pairs, [0.5], metrics=metrics, jobs=jobs, enhancer=SCALED)

    one, two = run(1), run(2)
    assert (one["jobs"], two["jobs"]) == (1, 2)
    assert [level["mean"] for level in one["levels"]] == [level["mean"] for level in two["levels"]]
    # SI-SDR ignores the scale; and that the enhancer writes into its input changes nothing else.
    noisy, scaled = one["levels"]
    assert scaled["mean"]["si_sdr"]["mean"] == pytest.approx(noisy["mean"]["si_sdr"]["mean"], abs=1e-4)


def test_failures_are_counted_and_reported(corpus: Path, tmp_path: Path) -> None:
    soundfile.write(corpus / "clean" / "1.wav", np.zeros(2 * RATE), RATE)
    result = evaluate("none", find_pairs(corpus), metrics=FAST, jobs=1, enhancer=IDENTITY)
    for level in result["levels"]:
        assert all(level["mean"][column]["failures"] == 1 for column in COLUMNS)
        assert all(level["mean"][column]["count"] == 2 for column in COLUMNS)
    assert {failure["file"] for failure in result["failures"]} == {"1.wav"}
    assert len(result["failures"]) == 2 * len(COLUMNS)
    assert "pesq_wb at noisy: 1" in report.to_markdown(result)
    assert json.loads(report.to_json(result))["files"][2]["stoi"] is None


def test_report_files(corpus: Path, tmp_path: Path) -> None:
    result = evaluate("none", find_pairs(corpus), metrics=["stoi"], jobs=1, enhancer=IDENTITY)
    paths = report.write_report(result, tmp_path / "new" / "report", "<p>page</p>")
    assert [path.name for path in paths] == [f"evaluation.{end}" for end in ("json", "csv", "md", "html")]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    assert json.loads(paths[0].read_text())["levels"][0]["level"] == "noisy"
    rows = list(csv.DictReader(paths[1].open()))
    assert len(rows) == 6
    assert float(rows[0]["stoi"]) == result["files"][0]["stoi"]
    table = paths[2].read_text()
    assert "\n| level | share of compute | MMAC/s | RTF | STOI |\n| --- | ---: |" in table
    assert "pystoi 0." in table
    assert "| level | 5 dB (2)" not in table  # three files say little about an SNR


def test_score_pairs_counts_and_checks() -> None:
    clean = [speech_like(seed=index) for index in range(2)]
    estimates = [clean[0] + noise(len(clean[0])), np.zeros_like(clean[1])]
    result = score_pairs(clean, estimates, RATE, metrics=["stoi", "si_sdr"])
    assert result["mean"]["si_sdr"]["failures"] == 1
    assert math.isnan(result["files"][1]["stoi"])
    with pytest.raises(InputError, match="2 references and 1 estimates"):
        score_pairs(clean, estimates[:1], RATE)


def test_voicebank_layout_at_48_khz(tmp_path: Path) -> None:
    for part in ("clean_testset_wav", "noisy_testset_wav"):
        (tmp_path / part).mkdir()
        soundfile.write(tmp_path / part / "p232_001.wav", noise(48_000), 48_000)
    (pair,) = find_pairs(tmp_path)
    assert pair.snr_db is None
    clean, noisy = read_pair(pair)
    assert clean.shape == noisy.shape == (16_000,)
    assert clean.dtype == np.float32


def test_limit_spreads_over_the_corpus(tmp_path: Path) -> None:
    for part in ("clean", "noisy"):
        (tmp_path / part).mkdir()
        for index in range(10):
            soundfile.write(tmp_path / part / f"{index}.wav", noise(10), RATE)
    assert [pair.name for pair in find_pairs(tmp_path, 3)] == ["0.wav", "3.wav", "6.wav"]
    assert len(find_pairs(tmp_path, 99)) == 10


def test_bad_arguments(corpus: Path) -> None:
    pairs = find_pairs(corpus)
    with pytest.raises(InputError, match="no pairs"):
        evaluate("none", [], enhancer=IDENTITY)
    with pytest.raises(InputError, match="--jobs: 0"):
        evaluate("none", pairs, jobs=0, enhancer=IDENTITY)
    with pytest.raises(InputError, match="module:attribute"):
        evaluate("none", pairs, enhancer="evaluation_signals")
    with pytest.raises(InputError, match="cannot be imported"):
        evaluate("none", pairs, enhancer="evaluation_signals:Missing")
    (corpus / "manifest.csv").write_text("file,snr_db\n0.wav,loud\n")
    with pytest.raises(InputError, match=r"snr_db of 0\.wav is 'loud'"):
        find_pairs(corpus)


def test_macs_of_routed_frames_hold_the_routers() -> None:
    card = SimpleNamespace(
        levels=[
            SimpleNamespace(utilization=u, macs_per_second=m)
            for u, m in ((0.25, 1e6), (0.5, 4e6), (1.0, 6e6))
        ],
        router_macs_per_second=5e5,
    )
    trace = np.array([0.25, 0.25, 1.0, 0.5], np.float32)
    assert macs_of(card, trace, routed=False) == pytest.approx(3e6)
    assert macs_of(card, trace, routed=True) == pytest.approx(3.5e6)
