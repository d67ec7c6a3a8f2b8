"""The page on adding a system, followed literally: its files, the contract, a model that enhances."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "develop" / "add_a_system.md"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the page was followed."""
    folder = tmp_path_factory.mktemp("project")
    hidden = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=hidden)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    shutil.copyfile(ROOT / "examples" / "playground.wav", folder / "talk.wav")
    for block in blocks(PAGE):
        if block.title:
            (apply if block.language == "diff" else write)(folder / block.title, block)
    return folder


def write(path: Path, block: Block) -> None:
    """Write a new file."""
    assert not path.exists()
    path.parent.mkdir(exist_ok=True)
    path.write_text(block.text)


def apply(path: Path, block: Block) -> None:
    """Added lines, each before or behind the line of context beside it."""
    text = path.read_text()
    for part in block.text.split("@@\n"):
        added = "".join(line[1:] for line in part.splitlines(keepends=True) if line.startswith("+"))
        (context,) = [line[1:] for line in part.splitlines(keepends=True) if not line.startswith("+")]
        assert text.count(context) == 1, context
        behind = part.startswith(" ")
        text = text.replace(context, context + added if behind else added + context)
    path.write_text(text)


def run(folder: Path, *words: str) -> None:
    """A command in the copy, which has to end well."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_contract_holds(checkout: Path):
    run(checkout, sys.executable, "-m", "pytest", "-q", "tests/nn/test_contract.py", "-k", "slim-mask")


def test_it_trains_and_enhances(checkout: Path):
    (commands,) = [block.text for block in blocks(PAGE) if block.language == "sh" and "sese " in block.text]
    for line in commands.splitlines():
        words = line.split()
        run(checkout, sys.executable, "-m", "sese.cli.main", *words[1:])
    assert (checkout / "talk_enhanced.wav").exists()
