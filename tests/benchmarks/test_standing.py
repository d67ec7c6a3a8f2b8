"""The tables of benchmarks/standing.py, from scores that are known."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from sese.core.errors import InputError
from sese.evaluation import summary
from sese.evaluation.scoring import NOISY, label
from sese.runtime.card import Card, Level

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
RATE = 16_000
SCORES = {  # by set and system: PESQ of its two files
    "-5 dB": {
        "noisy": (1, 1),
        "m fixed:0.5": (1, 2),
        "m fixed:1": (2, 3),
        "m auto": (2, 2),
        "RNNoise": (1, 3),
    },
    "5 dB": {
        "noisy": (2, 2),
        "m fixed:0.5": (2, 3),
        "m fixed:1": (3, 4),
        "m auto": (4, 3),
        "RNNoise": (3, 3),
    },
}
MACS = {"m fixed:0.5": 10e6, "m fixed:1": 20e6, "m auto": 15e6}
RNNOISE = {
    "wheel": "pyrnnoise 0", "licence": "free", "delay_ms": 20.0,
    "latency_ms": 30.0, "parameters": 5, "macs_per_second": 30e6,
}  # fmt: skip


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("standing")


@pytest.fixture
def cards() -> dict[str, tuple[str, Card]]:
    levels = (Level(0.5, 10e6, 100), Level(1.0, 20e6, 200))
    about: dict[str, Any] = {"licence": {}, "quality": {}, "description": "", "version": "1"}
    sizes = {"sample_rate": RATE, "hop_length": 256, "lookahead_samples": 0, "latency_samples": 256}
    card = Card("m", levels=levels, parameters=210, router=True, router_macs_per_second=1e6, **about, **sizes)
    return {"m": ("folder/m", card)}


def result_of(scores: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """As of `sese.evaluation.suite.evaluate`, of the column pesq_wb alone."""
    files, levels = [], []
    for system, values in scores.items():
        level = NOISY if system == "noisy" else label(system)
        rows = [
            {"file": f"{place}.wav", "level": level, "pesq_wb": value} for place, value in enumerate(values)
        ]
        files += rows
        mean = summary.summarize(rows, ["pesq_wb"])
        levels.append({"level": level, "mean": mean, "macs_per_second": MACS.get(system)})
    metric = {"definition": "PESQ", "package": "pesq", "version": "1", "columns": ["pesq_wb"]}
    return {
        "data": "folder", "file_count": 2, "audio_s": 8.0, "versions": {}, "failures": [],
        "metrics": {"pesq": metric}, "files": files, "levels": levels,
    }  # fmt: skip


def outcome(standing: ModuleType, cards: Any, scores: Any = SCORES, taken: Any = ()) -> Any:
    systems = standing.systems_of(cards, True)
    results = {place: result_of(rows) for place, rows in scores.items()}
    return standing.outcome_of(systems, cards, results, ["pesq_wb"], taken, {"RNNoise": RNNOISE}, "RNNoise")


def table_rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its ruler."""
    lines = text.split(f"### {heading}\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_systems_are_rows_and_snrs_columns_with_their_mean(standing: ModuleType, cards: Any) -> None:
    text = standing.to_markdown(outcome(standing, cards))
    assert table_rows(text, "PESQ-WB") == [
        ["system", "-5 dB", "5 dB", "mean"],
        ["noisy", "1.00", "2.00", "1.50"],
        ["m fixed:0.5", "1.50", "2.50", "2.00"],
        ["m fixed:1", "2.50", "3.50", "3.00"],
        ["m auto", "2.00", "3.50", "2.75"],
        ["RNNoise", "2.00", "3.00", "2.50"],
    ]
    assert table_rows(text, "Cost")[1:] == [
        ["m fixed:0.5", "10.0", "100", "16.0"],
        ["m fixed:1", "20.0", "200", "16.0"],
        ["m auto", "15.0", "210", "16.0"],
        ["RNNoise", "30.0", "5", "30.0"],
    ]


def test_the_cheapest_level_that_reaches_rnnoise_is_named(standing: ModuleType, cards: Any) -> None:
    found = outcome(standing, cards)
    crossing = found["crossings"]["pesq_wb"]["m"]
    assert (crossing["reaches"], crossing["budget"]) == (True, "auto")  # cheaper than fixed:1, which does too
    assert crossing["gain"]["mean"] == pytest.approx(0.25)  # of files 1, -1, 1, 0
    assert crossing["gain"]["count"] == 4
    assert (
        "auto, 15.0 MMAC/s: +0.25"
        in table_rows(standing.to_markdown(found), "Where RNNoise is reached")[1][2]
    )


def test_a_tie_reaches_rnnoise(standing: ModuleType, cards: Any) -> None:
    tied = {place: {**rows, "RNNoise": rows["m fixed:0.5"]} for place, rows in SCORES.items()}
    assert outcome(standing, cards, tied)["crossings"]["pesq_wb"]["m"]["budget"] == "fixed:0.5"


def test_where_no_level_reaches_rnnoise_the_best_is_named(standing: ModuleType, cards: Any) -> None:
    found = outcome(standing, cards, {place: {**rows, "RNNoise": (4, 4.5)} for place, rows in SCORES.items()})
    row = table_rows(standing.to_markdown(found), "Where RNNoise is reached")[1]
    assert row[2].startswith("none; best fixed:1, 20.0 MMAC/s: -1.25")


def test_times_are_shares_of_rnnoise_around_each_model(standing: ModuleType, cards: Any) -> None:
    drifting = iter(
        [{"stream": 1.0, "file": 2.0, "resampled": 4.0}, {"stream": 3.0, "file": 2.0, "resampled": 4.0}]
    )
    timers = {
        "m": lambda: {budget: {"stream": 1.0, "file": 1.0} for budget in ("fixed:0.5", "fixed:1", "auto")}
    }
    taken = standing.round_of(timers, lambda: next(drifting))
    assert taken["m auto"] == {"stream": 1.0, "file": 1.0, "stream_share": 0.5, "file_share": 0.5}
    assert taken["RNNoise"]["stream"] == 2.0
    slower = {name: {key: 3 * value for key, value in each.items()} for name, each in taken.items()}
    text = standing.to_markdown(outcome(standing, cards, taken=[taken, taken, slower]))
    rows = table_rows(text, "Cost")
    assert rows[3][4:] == ["16.000", "1.0000", "1.0000", "0.50 (0.50 to 1.50)", "0.50 (0.50 to 1.50)"]
    assert rows[4][-2:] == ["1", "1"]


def write_set(folder: Path, snrs: tuple[float | None, ...]) -> Path:
    """A noisy set of half seconds, with a manifest where there are SNRs."""
    rng = np.random.default_rng(0)
    lines = ["file,snr_db"]
    for place, snr in enumerate(snrs):
        clean = np.sin(np.arange(RATE // 2) * 0.3)
        for side, sound in (("clean", clean), ("noisy", clean + rng.standard_normal(len(clean)))):
            (folder / side).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / side / f"{place}.wav", 0.1 * sound, RATE)
        lines.append(f"{place}.wav,{'' if snr is None else snr}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_sets_are_named_by_their_snr_or_else_their_folder(standing: ModuleType, tmp_path: Path) -> None:
    folders = [
        write_set(tmp_path / name, snrs)
        for name, snrs in {"a": (10.0, 10.0), "b": (0.0, 5.0), "c": (-5.0,), "d": (None,)}.items()
    ]
    assert list(standing.read_sets(folders, None)) == ["-5 dB", "10 dB", "b", "d"]
    twin = write_set(tmp_path / "e", (10.0,))
    assert list(standing.read_sets([folders[0], twin], None)) == [str(folders[0]), str(twin)]
    with pytest.raises(InputError, match="given 2 times"):
        standing.read_sets([twin, twin], None)
    with pytest.raises(InputError, match="no such folder"):
        standing.read_sets([twin, tmp_path / "none"], None)


def run(standing: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["standing.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        standing.main()
    return int(stopped.value.code or 0)


def test_the_command_writes_both_files(
    standing: ModuleType, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [write_set(tmp_path / f"set{snr}", (float(snr),)) for snr in (0, 5)]
    options = ("--model", tiny, "--metrics", "si_sdr", "--jobs", 1, "--rounds", 1, "-o", tmp_path / "report")
    assert run(standing, monkeypatch, *sets, *options) == 0
    found = json.loads((tmp_path / "report" / "standing.json").read_text())
    scores = found["scores"]["si_sdr"]
    noisy, full = scores["noisy"], scores["tiny fixed:1"]
    assert list(noisy) == ["0 dB", "5 dB", "mean"]
    assert full["mean"] == pytest.approx(noisy["mean"], abs=1e-3)  # its output is its input
    assert (tmp_path / "report" / "standing.md").read_text().startswith("### SI-SDR")
    assert {path.suffix for path in (tmp_path / "report").iterdir()} == {".json", ".md"}


def test_without_its_wheel_rnnoise_is_an_error_of_one_line(
    standing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rnnoise = importlib.import_module("rnnoise")
    monkeypatch.setattr(rnnoise, "WHEEL", "pyrnnoise_that_is_not_there")
    for function in (rnnoise._library, rnnoise.delay, rnnoise.parameters):
        function.cache_clear()
    folder = write_set(tmp_path / "set", (0.0,))
    options = ("--rnnoise", "--metrics", "si_sdr", "-o", tmp_path / "report")
    assert run(standing, monkeypatch, folder, *options) == 2
    message = capsys.readouterr().err
    assert "pip install --no-deps" in message
    assert message.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("pyrnnoise") is None, reason="its wheel is not installed")
def test_rnnoise_is_aligned(standing: ModuleType) -> None:
    rnnoise = importlib.import_module("rnnoise")
    noisy, rate = soundfile.read(rnnoise.timing.SPEECH, dtype="float32")
    assert rnnoise.delay() == 960
    made = rnnoise.RNNoise().enhance(noisy, rate)
    assert made.shape == noisy.shape
    near = [float(np.roll(made, shift) @ noisy) for shift in (-1, 0, 1)]
    assert max(near) == near[1]
