from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer
from evaluation_signals import RATE, noise, write_corpus
from typer.testing import CliRunner

from sese.cli.evaluate import evaluate
from sese.core.errors import InputError
from sese.evaluation import examples, suite

app = typer.Typer()
app.command()(evaluate)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (suite.evaluate, examples.make_examples):
        monkeypatch.setitem(function.__kwdefaults__, "enhancer", "evaluation_signals:Identity")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(*arguments: object) -> str:
    """The message of the InputError that the arguments lead to: one line."""
    error = run(*arguments).exception
    assert isinstance(error, InputError)
    assert "\n" not in str(error)
    return str(error)


def test_table_json_and_files(corpus: Path, tmp_path: Path) -> None:
    options = ("--metrics", "stoi", "--jobs", 1, "--limit", 2)
    result = run("none", corpus, *options, "--budget", "0.5", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "| budget 0.5 |" in result.stdout
    assert (tmp_path / "out" / "evaluation.json").is_file()
    assert "median improvement" in (tmp_path / "out" / "evaluation.html").read_text()
    result = run("none", corpus, *options, "--json")
    assert json.loads(result.stdout)["file_count"] == 2


def test_a_missing_score_gives_exit_code_1(corpus: Path) -> None:
    soundfile.write(corpus / "clean" / "0.wav", [0.0] * (2 * RATE), RATE)
    result = run("none", corpus, "--metrics", "stoi", "--jobs", 1)
    assert result.exit_code == 1
    assert "2 scores have no finite value" in result.stderr


def test_bad_folders(corpus: Path, tmp_path: Path) -> None:
    assert "no such folder" in error_of("none", tmp_path / "missing")
    assert "no clean/ and noisy/" in error_of("none", tmp_path)
    (corpus / "noisy" / "2.wav").unlink()
    assert "1 file(s) without a counterpart" in error_of("none", corpus)
    for path in (*corpus.glob("clean/*"), *corpus.glob("noisy/*")):
        path.unlink()
    assert "no audio files" in error_of("none", corpus)


def test_bad_files(corpus: Path) -> None:
    options = ("--metrics", "stoi", "--jobs", 1)
    soundfile.write(corpus / "noisy" / "1.wav", noise(RATE), RATE)
    assert "1.wav: 16000 samples at 16000 Hz, but its clean file has 32000" in error_of(
        "none", corpus, *options
    )
    soundfile.write(corpus / "noisy" / "1.wav", noise(4 * RATE).reshape(-1, 2), RATE)
    assert "2 channels" in error_of("none", corpus, *options)
    (corpus / "noisy" / "1.wav").write_bytes(b"text")
    assert "not audio that can be read" in error_of("none", corpus, *options)


def test_bad_options(corpus: Path) -> None:
    assert "unknown metric 'mos'" in error_of("none", corpus, "--metrics", "stoi,mos")
    assert "--limit: 0" in error_of("none", corpus, "--limit", 0)
    assert "--examples are shown on the page" in error_of("none", corpus, "--examples", 2)
    assert "cannot be made" in error_of("none", corpus, "-o", corpus / "manifest.csv")
