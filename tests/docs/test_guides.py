"""The guides are followed: their commands and their Python run, in order, on short recordings."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages import PAGES, ROOT, Block, blocks, commands, lines, name

import sese
from sese.cli.main import main

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
    "pareto": ["--limit", "1", "--jobs", "1", "--metrics", "si_sdr"],
    "profile": ["--rounds", "2"],
}
"""Options of each command that make it short."""

ELSEWHERE = {
    "sweep": "tests/training/test_sweep.py",
    "demo": "tests/demo",
    "adapt": "tests/adaptation",
}
"""Commands that take hours or a browser, and what tests them."""

TWICE = {("doctor", "README.md"), ("pareto", "docs/guides/training.md"), ("pareto", "README.md")}
"""Commands and pages that another page covers."""


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

    for path in ("talk.wav", "talk.flac", "examples/playground.wav"):
        put(path, audio)
    for number in range(2):
        put(f"recordings/{number}.wav", audio + noise())
        put(f"noisy-set/clean/{number}.wav", audio)
        put(f"noisy-set/noisy/{number}.wav", audio + noise())
    for half in ("train", "val"):
        put(f"corpus/{half}/clean/{half}-speaker/0.wav", audio[len(half) :])
        put(f"corpus/{half}/noise/hiss/{half}.wav", noise())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def follow(page: Path, remarks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of the blocks with these remarks, in order; each has to end well."""
    for words in commands(page, remarks):
        if words[1] not in ELSEWHERE and (words[1], name(page)) not in TWICE:
            monkeypatch.setattr(sys, "argv", [*words, *limits(words)])
            assert run() == 0, words


def having(remark: str) -> list[Path]:
    """Pages with commands to run in blocks of this remark."""
    return [page for page in PAGES if commands(page, (remark,))]


@pytest.mark.parametrize("page", having(""), ids=name)
def test_commands_run(page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch):
    follow(page, ("",), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", having("slow"), ids=name)
def test_long_commands_run(page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch):
    if any(words[1:3] == ["data", "mix"] for words in commands(page, ("slow",))):
        shutil.rmtree(desk / "noisy-set")  # which the page makes
    if name(page) == "docs/guides/exporting.md":  # which begins where training ends
        train = [
            "sese",
            "train",
            "sese_2/base",
            "data.train=[corpus/train]",
            "data.validation=[corpus/val]",
        ]
        monkeypatch.setattr(sys, "argv", [*train, *LIMITS["train"]])
        assert run() == 0
    follow(page, ("slow",), monkeypatch)


def limits(words: list[str]) -> list[str]:
    """Return the options that make a command short."""
    verb = words[1]
    if verb == "data" and words[2] == "mix":
        short = [] if "--activity" in words else ["--seconds", "1"]  # conversations need time for speech
        return [*short, "--cache", "cache"]
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


def test_every_block_is_run_or_says_why():
    """Nothing that looks like code is only there to be looked at, unless its remark gives a reason."""
    for page in PAGES:
        assert 2 * len(blocks(page)) == len(FENCES.findall(page.read_text())), f"{name(page)}: a fence is odd"
        for block in blocks(page):
            where = f"{name(page)}: {block.text[:60]!r}"
            assert block.language in {"sh", "text", "python", "c", "js"} or block.title, where
            if block.language == "sh" and not block.remark.startswith("not run: "):
                begun = [part.split()[0] for line in lines(block) for part in line.split("&&")]
                assert set(begun) <= {"sese", "pip"}, where


FENCES = re.compile(r"^ *```", re.MULTILINE)
INSTALLED = re.compile(r"sese\[([\w,]+)\]|\"\.\[([\w,]+)\]\"")


def test_extras_that_pages_install_exist():
    project = (ROOT / "pyproject.toml").read_text()
    for page in PAGES:
        for found in INSTALLED.findall(page.read_text()):
            for extra in "".join(found).split(","):
                assert f"\n{extra} = [" in project, (name(page), extra)


def test_configurations_that_pages_train_are_read():
    """Each `sese train CONFIG key=value ...` of each page, without training: its file and its keys exist."""
    from sese.labels import training as labels
    from sese.training.config import read

    count = 0
    for page in set(PAGES) - {ROOT / "docs" / "develop" / "add_a_system.md"}:  # it makes its own
        for words in commands(page):
            if (
                words[:2] == ["sese", "train"]
                and not words[2].startswith("runs/")
                and "$" not in "".join(words)
            ):
                changes = [word for word in words[3:] if "=" in word and not word.startswith("-")]
                reader = labels.read if words[2].startswith("labels/") else read
                reader(
                    Path(words[2]), [change for change in changes if not change.startswith("max_minutes=")]
                )
                count += 1
    assert count > 15


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
