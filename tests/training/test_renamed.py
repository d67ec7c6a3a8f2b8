"""Old names of keys and training methods are still read, with a one-line warning each."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import yaml

from sese.core.errors import InputError
from sese.training import renamed, run_folder, sweep
from sese.training.config import parse, read
from sese.training.config_file import dump
from sese.training.methods import METHODS

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
DATA = {"synthetic": True}


def written(folder: Path, **training: object) -> Path:
    """Write a configuration over base.yaml, whose own key is the new one."""
    path = folder / "old.yaml"
    path.write_text(yaml.safe_dump({"base": str(CONFIGS / "base.yaml"), "data": DATA, "training": training}))
    return path


def test_old_keys_of_a_file_win_over_the_base_of_new_ones(tmp_path):
    path = written(tmp_path, levels="deal", level_shares=[1, 0, 0, 0], hand_over=0.5, rest=0)
    with pytest.warns(FutureWarning) as seen:
        settings = read(path).training
    assert settings.method == "random_level"
    assert (settings.random_level.shares, settings.random_level.switching) == ((1.0, 0.0, 0.0, 0.0), 0.5)
    texts = [str(warning.message) for warning in seen]
    assert len(texts) == 5
    assert all("\n" not in text for text in texts)
    assert texts[0].startswith("training.levels is now training.method; write")
    assert "training.method 'deal' is now 'random_level'; write" in texts[-1]


@pytest.mark.parametrize(
    "override",
    [
        "training.levels=deal",
        "training.method=deal",
        "training.levels=random_level",
        "training={levels: deal}",
    ],
)
def test_old_overrides_are_read(override):
    with pytest.warns(FutureWarning, match="is now"):
        assert (
            read(CONFIGS / "base.yaml", ["data.synthetic=true", override]).training.method == "random_level"
        )


@pytest.mark.parametrize(("old", "new"), renamed.METHODS.items())
def test_every_old_method_has_a_new_name(old, new):
    assert new in METHODS
    assert old not in METHODS
    with pytest.warns(FutureWarning, match=f"'{old}' is now '{new}'"):
        assert renamed.value("training.method", old) == new


def test_an_old_and_a_new_name_together_are_refused():
    given = {"data": DATA, "training": {"levels": "all", "method": "full"}}
    message = r"training\.levels is the old name of training\.method, and both are given"
    with pytest.warns(FutureWarning), pytest.raises(InputError, match=message):
        parse(given)
    assert given["training"] == {"levels": "all", "method": "full"}


def test_new_names_are_read_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in CONFIGS.glob("*.yaml"):
            read(path)


def test_a_stopped_run_of_old_names_goes_on(tmp_path):
    config = read(CONFIGS / "base.yaml", ["data.synthetic=true"])
    values = yaml.safe_load(dump(config))
    values["training"]["levels"] = values["training"].pop("method").replace("all_levels", "all")
    (tmp_path / run_folder.RESOLVED).write_text(yaml.safe_dump(values))
    with pytest.warns(FutureWarning):
        run_folder.check_same(tmp_path, config)
    other = read(CONFIGS / "base.yaml", ["data.synthetic=true", "training.method=full"])
    with pytest.warns(FutureWarning), pytest.raises(InputError, match=r"training\.method 'all_levels', not"):
        run_folder.check_same(tmp_path, other)


def test_a_sweep_of_old_names_takes_new_overrides(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        f"config: {CONFIGS / 'base.yaml'}\n"
        "set: {data.synthetic: true, training.levels: all}\n"
        "runs: {a: {set: {training.levels: sandwich}}, b: {}}\n"
    )
    with pytest.warns(FutureWarning):
        runs = sweep.plan(path, tmp_path)
    with pytest.warns(FutureWarning):
        methods = [run.resolve().training.method for run in runs]
    assert methods == ["sandwich", "all_levels"]
    with pytest.warns(FutureWarning):
        runs = sweep.plan(path, tmp_path, ["training.method=full"])
    assert [run.resolve().training.method for run in runs] == ["full", "full"]
