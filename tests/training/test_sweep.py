"""A sweep: its plan, its stops and resumes, its claims on folders."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from sese.core.errors import InputError
from sese.training.config_file import dump
from sese.training.run_folder import write_config
from sese.training.sweep import plan, sweep
from training.tiny_run import DEBUG, SMALLER

FILE = """
config: {config}
seeds: [1, 2]
set: {{training.steps: 2, training.validate_steps: 2}}
runs:
  backbone: {{set: {{training.method: random_level}}}}
  joint:
    grid: {{training.routing.target: [0.25, 0.5]}}
    set: {{training.method: routing, model.router_channels: 4}}
    seeds: [1]
  finetune:
    set: {{training.method: routing, model.router_channels: 4, training.initial: "{{backbone}}"}}
    seeds: [2]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE.format(config=DEBUG))
    return path


def test_plan_lists_grid_and_seeds_in_order(file: Path, tmp_path: Path) -> None:
    runs = plan(file, tmp_path / "out", ["training.steps=6", "data.validation_seconds=0.5"])
    names = [str(run.folder.relative_to(tmp_path / "out")) for run in runs]
    assert names == [
        "backbone/seed-1",
        "backbone/seed-2",
        "joint-0.25/seed-1",
        "joint-0.5/seed-1",
        "finetune/seed-2",
    ]
    config = runs[3].resolve()
    assert (config.seed, config.training.routing.target) == (1, 0.5)
    assert (config.training.validate_steps, config.training.steps) == (2, 6)  # the command line's
    assert config.data.validation_seconds == 0.5
    assert runs[4].resolve().training.initial == str(tmp_path / "out" / "backbone" / "seed-2" / "last")


def test_plan_goes_seed_by_seed_where_the_file_says_so(file: Path, tmp_path: Path) -> None:
    text = file.read_text().replace("    seeds: [1]\n", "").replace("    seeds: [2]\n", "")
    file.write_text(text.replace("seeds: [1, 2]", "seeds: [2, 10]\norder: seeds"))
    runs = plan(file, tmp_path / "out")
    names = ["backbone", "joint-0.25", "joint-0.5", "finetune"]
    expected = [tmp_path / "out" / name / f"seed-{seed}" for seed in (2, 10) for name in names]
    assert [run.folder for run in runs] == expected
    assert runs[7].after == runs[4].folder  # finetune of seed 10 comes after the backbone that it starts from


def test_any_value_of_the_file_reaches_the_runs(file: Path, tmp_path: Path) -> None:
    text = file.read_text().replace("training.steps: 2", "data.cache_dir: 'a\U0001f600 \"é'")
    file.write_text(text, encoding="utf-8")
    assert plan(file, tmp_path / "out")[0].resolve().data.cache_dir == 'a\U0001f600 "é'


@pytest.mark.parametrize(
    "override", ["seed=3", "training.routing.target=0.3", "training.routing={target: 1}"]
)
def test_the_command_line_leaves_what_differs_between_the_runs(
    file: Path, tmp_path: Path, override: str
) -> None:
    with pytest.raises(InputError, match="differs between the runs of"):
        plan(file, tmp_path / "out", [override])


def test_a_run_of_other_values_is_not_taken_for_done(file: Path, tmp_path: Path) -> None:
    run = plan(file, tmp_path / "out")[0]
    write_config(run.folder, dump(run.resolve()))
    (run.folder / "done.json").touch()
    assert plan(file, tmp_path / "out")[0].state == "done"
    with pytest.raises(InputError, match=r"seed-1 is a run with training.steps 2, not 5; leave that"):
        plan(file, tmp_path / "out", ["training.steps=5"])


def test_a_run_may_build_on_a_configuration_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    other = DEBUG.parent / "spectral_mixer" / "base.yaml"
    path.write_text(f"runs: {{one: {{config: {DEBUG}}}, other: {{config: {other}}}}}")
    assert [run.resolve().system for run in plan(path, tmp_path / "out")] == ["demucs", "spectral_mixer"]


def test_sweep_stops_goes_on_and_skips_what_is_done(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [run for run in plan(file, tmp_path / "out", SMALLER) if run.folder.name == "seed-2"]
    sweep(runs, max_minutes=1e-6)
    assert runs[0].state == "stopped"
    assert runs[1].state == "open"
    sweep(runs)
    assert [run.state for run in runs] == ["done", "done"]
    weights = [(run.folder / "last" / "model.safetensors").stat().st_mtime_ns for run in runs]
    capsys.readouterr()
    sweep(runs)
    assert capsys.readouterr().out == ""
    assert [(run.folder / "last" / "model.safetensors").stat().st_mtime_ns for run in runs] == weights
    assert json.loads((runs[0].folder / "done.json").read_text())["seconds"] > 0


def test_a_stopped_boosted_run_goes_on(tmp_path: Path) -> None:
    """It has no checkpoint: what it goes on from is its network."""
    path = tmp_path / "sweep.yaml"
    path.write_text(f"config: {DEBUG}\nruns: {{bits: {{}}}}")
    boosted = (
        "system=boosted_hashing",
        "model={n_fft: 64, hop_length: 32, bits: [3, 6], frames: 60, neighbours: 4}",
        "training.method=boosting",
        "training.boosting={segments: 2, clips: 2, frames_per_clip: 20}",
    )
    (run,) = plan(path, tmp_path / "out", [*SMALLER, *boosted])
    sweep([run], max_minutes=1e-6)
    assert run.state == "stopped"
    sweep([run])
    assert run.state == "done"


def test_sweep_leaves_a_run_that_another_process_holds(file: Path, tmp_path: Path) -> None:
    run = plan(file, tmp_path / "out", SMALLER)[0]
    run.folder.mkdir(parents=True)
    with (run.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep([run])
    assert run.state == "open"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{{backbone}}", "{{nobody}}", "names no run above"),
        ("seeds: [1]", "sedes: [1]", "unknown key 'sedes'"),
        ("runs:", "rums:", "is no sweep"),
        ("config:", "konfig:", "unknown key 'konfig'"),
        ("config: {config}", "", "run 'backbone' builds on nothing"),
        ("[0.25, 0.5]", "0.25", "needs a list"),
        ("[0.25, 0.5]", "[0.25, 5]", "routing.target is 5.0"),
        ("[0.25, 0.5]", "[0.25, '0.25']", r"two runs would lie in .*joint-0\.25"),
        ("seeds: [1, 2]", "order: seed", r"order is 'seed'; choose from \['runs', 'seeds'\]"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "two runs would lie in .*backbone"),
        ("training.steps: 2,", "data.cache_dir: 2024-01-01,", "data.cache_dir is datetime"),
    ],
)
def test_plan_refuses(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE.replace(old, new, 1).format(config=DEBUG))
    with pytest.raises(InputError, match=message):
        plan(path, tmp_path / "out")


@pytest.mark.parametrize("path", sorted((DEBUG.parent / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_of_the_project_can_be_planned(path: Path, tmp_path: Path) -> None:
    runs = plan(path, tmp_path)
    assert len({run.folder for run in runs}) == len(runs)
    assert {run.after for run in runs if run.after} <= {run.folder for run in runs}


@pytest.mark.parametrize("text", ["[" * 3000, "runs: 2020-13-45", "- 1"], ids=["deep", "date", "list"])
def test_plan_refuses_what_is_no_yaml_of_a_sweep(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(InputError, match=r"sweep\.yaml"):
        plan(tmp_path / "sweep.yaml", tmp_path / "out")


def test_plan_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        plan(tmp_path / "none.yaml", tmp_path / "out")
