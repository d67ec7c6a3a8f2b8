"""`sese configs`: the list, one file, and names in place of paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sese.cli import configs
from sese.training.config import read
from sese.training.config_file import CONFIGS, find_config

INDEX = (CONFIGS / "README.md").read_text()


def test_the_index_lists_each_with_its_line():
    listed, before = INDEX.split("## Names before")
    rows = dict(re.findall(r"^\| `(\S+)` \| (.+) \|$", listed, re.MULTILINE))
    assert rows == configs.described()
    new = {row.split()[0] for row in re.findall(r"^\| `configs/\S+` \| `(.+)` \|$", before, re.MULTILINE)}
    assert new <= set(rows)


def test_run_names_are_unique():
    names = re.findall(
        r"^name: (.+)$", "\n".join(p.read_text() for p in CONFIGS.rglob("*.yaml")), re.MULTILINE
    )
    assert sorted(names) == sorted(set(names))


def test_a_name_stands_for_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(Path("sese_2/base")) == CONFIGS / "sese_2" / "base.yaml"
    assert find_config(Path("sese_2/none")) == Path("sese_2/none")
    assert read(Path("sese_2/base")) == read(CONFIGS / "sese_2" / "base.yaml")
    Path("mine.yaml").write_text("base: nsnet2/small\nname: mine")
    assert read(Path("mine.yaml")).model == read(Path("nsnet2/small")).model
    Path("debug").mkdir()  # a folder is no configuration
    assert read(Path("debug")).name == "debug"
    Path("debug.yaml").write_text("name: own")
    assert read(Path("debug.yaml")).name == "own"


def test_one_is_printed(capsys: pytest.CaptureFixture[str]):
    configs.configs("nsnet2/base")
    assert capsys.readouterr().out == (CONFIGS / "nsnet2" / "base.yaml").read_text()
