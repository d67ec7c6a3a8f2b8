"""Pages that train: no command trains into the folder of another, and stages find what they start from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, commands, name

from sese.training.config_file import changed, find_config, flat, read_values

TRAIN = {("train",): 2, ("speakers", "train"): 3, ("quality", "train"): 3, ("above", "train"): 3}
"""Words of a command that trains -> number of its configuration among its words."""


def trainings(page: Path) -> list[tuple[str, str]]:
    """Return the folder of each training of a page, and the model that it starts from; empty for none."""
    found = []
    for words in commands(page):
        places = [place for verb, place in TRAIN.items() if tuple(words[1 : 1 + len(verb)]) == verb]
        if not places or "--resume" in words or not find_config(Path(words[places[0]])).is_file():
            continue
        changes = [word for word in words[places[0] + 1 :] if re.match(r"[\w.]+=", word) and "$" not in word]
        changes = [change for change in changes if not change.startswith("max_minutes=")]
        values = flat(changed(read_values(Path(words[places[0]])), changes))
        folder = words[words.index("--run-dir") + 1] if "--run-dir" in words else f"runs/{values['name']}"
        loop = "$" in "".join(word for word in words if word.startswith("name=")) or "$" in words[places[0]]
        found += [] if loop else [(folder, str(values.get("training.initial", "")))]
    return found


TRAINING = [page for page in PAGES if trainings(page)]


def test_there_are_trainings() -> None:
    assert len(TRAINING) > 15
    assert sum(len(trainings(page)) for page in TRAINING) > 35


@pytest.mark.parametrize("page", TRAINING, ids=name)
def test_folders_differ(page: Path) -> None:
    folders = [folder for folder, _ in trainings(page)]
    assert sorted(folders) == sorted(set(folders))


@pytest.mark.parametrize("page", TRAINING, ids=name)
def test_stages_start_from_runs_above(page: Path) -> None:
    """Or from those of another page."""
    elsewhere = {folder for other in TRAINING if other != page for folder, _ in trainings(other)}
    known = elsewhere - {folder for folder, _ in trainings(page)}
    for folder, initial in trainings(page):
        if initial.startswith("runs/"):
            assert "/".join(initial.split("/")[:2]) in known, (folder, initial)
        known.add(folder)
