"""The guides are followed: their commands and their Python run, in order, on short recordings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages import PAGES, ROOT, Block, blocks, commands, name

import sese
from sese.cli.main import main

FOLLOWED = ["start.md", "guides/files.md", "guides/budgets.md", "guides/training.md"]
LIMITS = {
    "train": [
        "training.steps=1",
        "training.batch_size=2",
        "training.threads=1",
        "data.mix.seconds=0.5",
        "data.validation_clips=2",
        "data.validation_seconds=0.5",
    ],
    "evaluate": ["--limit", "2", "--jobs", "1", "--budget", "1"],
    "pareto": ["--limit", "1", "--jobs", "1"],
    "profile": ["--rounds", "20"],
}
"""What makes a command short."""

ELSEWHERE = {"sweep", "live", "demo"}
"""Hours, sound cards and browsers have tests of their own."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a reader has at hand."""
    audio, rate = soundfile.read(ROOT / "examples" / "playground.wav", dtype="float32")
    audio = audio[: 2 * rate]
    rng = np.random.default_rng(0)

    def put(path: str, samples: np.ndarray) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / path, samples, rate)

    def noise() -> np.ndarray:
        return 0.05 * rng.standard_normal(len(audio)).astype(np.float32)

    put("talk.wav", audio)
    for number in range(2):
        put(f"recordings/{number}.wav", audio + noise())
        put(f"noisy-set/clean/{number}.wav", audio)
        put(f"noisy-set/noisy/{number}.wav", audio + noise())
    for half in ("train", "val"):
        put(f"corpus/{half}/clean/{half}-speaker/0.wav", audio[len(half) :])
        put(f"corpus/{half}/noise/hiss/{half}.wav", noise())
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


LONG = {"guides/training.md"}


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in FOLLOWED]
)
def test_commands_run(page: str, desk: Path, monkeypatch: pytest.MonkeyPatch):
    if page == "guides/training.md":  # which makes one
        shutil.rmtree(desk / "noisy-set")
    for words in commands(ROOT / "docs" / page):
        verb = words[1]
        if verb not in ELSEWHERE and (verb, page) != ("pareto", "guides/training.md"):  # that of budgets.md
            monkeypatch.setattr(sys, "argv", [*words, *limits(words)])
            assert run() == 0, words


def limits(words: list[str]) -> list[str]:
    """What makes a command short."""
    verb = words[1]
    if verb == "data" and words[2] == "mix":
        return ["--seconds", "1", "--cache", "cache"]
    if verb == "train" and "--resume" in words:
        return ["training.steps=2"]
    return LIMITS.get(verb, [])


def run() -> int:
    """The program's exit code."""
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python" and not block.title]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: name(block.page))
def test_python_runs(block: Block, desk: Path):
    audio = soundfile.read(desk / "talk.wav", dtype="float32")[0]
    played: list[np.ndarray] = []
    if "manifest" in block.text:
        (desk / "clean").mkdir()
        (desk / "clean" / "manifest.jsonl").write_text('{"output": "a", "seconds": 2.0, "status": "done"}\n')
    chunks = np.array_split(audio, 7)
    names = {"sese": sese, "audio": audio, "microphone": chunks, "chunk": chunks[0], "play": played.append}
    exec(block.text, names)
