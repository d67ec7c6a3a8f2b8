"""What the README promises: its commands and options exist, its Python runs, its files are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.main import get_command

from sese.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [
    shlex.split(part, comments=True)
    for block in blocks("sh")
    for line in block.splitlines()
    for part in line.split("&&")
    if part.strip().startswith("sese ")
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_exist(words: list[str]):
    command = get_command(app)
    rest = words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    assert not hasattr(command, "commands") or command.invoke_without_command, words
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("-")} <= known


def test_python_runs():
    audio, rate = soundfile.read(ROOT / "examples" / "playground.wav", dtype="float32")
    audio = audio[: 2 * rate]
    played: list[np.ndarray] = []
    names = {"audio": audio, "microphone": np.array_split(audio, 7), "play": played.append}
    (code,) = blocks("python")
    exec(code.replace("48000", str(rate)), names)
    assert names["clean"].shape == audio.shape
    assert sum(len(chunk) for chunk in played) == len(audio)


def test_files_are_there():
    named = set(re.findall(r"(?:src|docs|configs|examples)/[\w./-]+\w", README))
    assert named
    missing = [name for name in named if not (ROOT / name).exists() and "_enhanced" not in name]
    assert missing == []
