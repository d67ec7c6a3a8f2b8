"""`sese adapt`: what it makes, what it refuses, and that it can be stopped."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import sese as package
from command_line import Run
from sese.adaptation import guard
from sese.adaptation.config import AdaptConfig, read
from sese.cli import adapt as cli
from sese.core.install import install_command
from sese.nn import checkpoint
from sese.nn.backbones.local_experts import LocalExpertsConfig

ROOT = Path(__file__).parents[2]
RATE = 16000
QUICK = (
    *("steps=30", "validate_steps=15", "batch_size=4", "least_seconds=5", "precision=32-true"),
    *("learning_rate=0.01", "warmup_steps=1"),
)
SHORT = ("steps=8", "validate_steps=4", "learning_rate=0.001")
"""For a network that has learnt much."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learnt nothing yet."""
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    config = LocalExpertsConfig(hidden=8)
    checkpoint.save(folder, "local_experts", config, config.build().state_dict())
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 s of two noisy readers, in two files."""
    folder = tmp_path_factory.mktemp("user") / "recordings"
    folder.mkdir()
    for name in ("playground", "dryer"):
        audio, rate = soundfile.read(ROOT / "examples" / f"{name}.wav", dtype="float32")
        soundfile.write(folder / f"{name}.wav", audio, rate)
    return folder


@pytest.fixture(autouse=True)
def fewer_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first four pairs of the general set, to be quick."""
    whole = guard.general_set

    def some(sample_rate: int) -> guard.Pairs:
        pairs = whole(sample_rate)
        return guard.Pairs(pairs.noisy[:4], pairs.clean[:4], sample_rate)

    monkeypatch.setattr(guard, "general_set", some)


Refused = Callable[..., str]


@pytest.fixture
def refused(sese: Run, student: Path, recordings: Path, tmp_path: Path) -> Refused:
    """Run what must be refused: exit code 2, one line on what and what to do, nothing written."""

    def run(*arguments: object, model: object = student, given: object = recordings) -> str:
        output = tmp_path / "out" / "adapted"
        ran = sese("adapt", model, "--recordings", given, "-o", output, *QUICK, *arguments)
        assert ran.code == 2, ran
        last = ran.err.splitlines()[-1]
        assert last.startswith("sese: error: ")
        assert ";" in last, "a remedy follows the problem"
        assert "Traceback" not in ran.err
        assert not output.parent.exists()
        return last

    return run


def test_adapts_and_goes_on_where_it_was_stopped(
    sese: Run,
    student: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    untouched = {path.name: path.read_bytes() for path in student.iterdir()}

    def adapt(name: str, *more: str) -> Any:
        output = tmp_path / name
        return sese("adapt", student, "--recordings", recordings, "-o", output, *QUICK, "--json", *more)

    tell = cli._tell

    def stop(line: str) -> None:
        tell(line)
        if line.startswith("step 15 "):
            raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_tell", stop)
    assert adapt("halves", "--tolerance", "100").code == 130
    monkeypatch.setattr(cli, "_tell", tell)
    assert not (tmp_path / "halves").exists()
    again = adapt("halves", "--tolerance", "100")
    assert again.code == 2
    assert "add --resume to go on, or --force to start anew" in again.err
    other = adapt("halves", "--tolerance", "100", "--resume", "--seed", "3")
    assert other.code == 2
    assert "another model, teacher, settings or recordings" in other.err
    resumed = adapt("halves", "--tolerance", "100", "--resume")
    assert resumed.code == 0, resumed.err
    assert "\nstep 30 " in resumed.err
    assert "\nstep 15 " not in resumed.err

    report = json.loads(resumed.out)
    level = report["levels"][0]
    assert level["after_db"] > level["before_db"]
    assert report["cost"]["steps"] == 30
    assert report["recordings"]["files"] == 2
    assert report["refused"] == ""
    weights, original = (load_file(folder / checkpoint.WEIGHTS) for folder in (tmp_path / "halves", student))
    assert any(not torch.equal(value, original[name]) for name, value in weights.items())
    assert {path.name: path.read_bytes() for path in student.iterdir()} == untouched
    assert sorted(path.name for path in tmp_path.iterdir()) == ["halves"]

    card = (tmp_path / "halves" / "README.md").read_text()
    assert "sese adapt small --recordings RECORDINGS -o halves --teacher sese-2 '" in card
    assert "'steps=30'" in card
    assert "Seed 0" in card
    for private in (str(tmp_path), str(recordings), "playground", "dryer"):
        assert private not in card
    enhanced = tmp_path / "enhanced.wav"
    done = sese("enhance", recordings / "dryer.wav", "-o", enhanced, "--model", tmp_path / "halves")
    assert done.code == 0, done.err
    assert soundfile.info(enhanced).frames == 8 * RATE


@pytest.mark.slow
def test_low_levels_learn_from_the_highest_under_the_guard(
    sese: Run,
    recordings: Path,
    tmp_path: Path,
) -> None:
    """An adaptation that harms other voices is refused with the figures; a part that does not is taken."""
    output = tmp_path / "own"
    adapt = ("adapt", "demucs-slim-small", "--recordings", recordings, "-o", output, *QUICK, *SHORT, "--json")
    ran = sese(*adapt, "--levels", "0.125", "draw_back=false", "--tolerance", "0.01", "--force")
    report = json.loads(ran.out)
    assert ran.code == 1, report
    lost = [row["change_db"]["mean"] for row in report["general"]["levels"]]
    assert min(lost) < -0.01
    last = ran.err.splitlines()[-1]
    assert last.startswith("sese: refused: it harms other voices and noises")
    assert last.endswith("nothing was written")
    assert f"{min(lost):+.2f} dB" in last
    assert not output.exists(), "--force does not hide the harm"

    tolerance = -0.8 * min(lost)
    taken = sese(*adapt, "--levels", "0.125", "--tolerance", tolerance, "--resume")
    assert taken.code == 0, taken.err
    assert "at 100% of the way, SI-SDR on the general set falls by" in taken.err
    report = json.loads(taken.out)
    assert report["share"] < 1
    assert min(row["change_db"]["mean"] for row in report["general"]["levels"]) >= -tolerance
    assert [row["adapted"] for row in report["levels"]] == [True, False, False, False]
    assert report["levels"][0]["after_db"] > report["levels"][0]["before_db"]
    assert report["teacher"]["name"] == "its own highest level"
    bundled = Path(package.__file__).parent / "pretrained" / "demucs-slim-small"
    weights, before = (load_file(folder / checkpoint.WEIGHTS) for folder in (output, bundled))
    changed = [name for name, value in weights.items() if not torch.equal(value, before[name])]
    assert changed
    assert not any(name.startswith("policy.") for name in changed), "the router stays"


def test_nothing_gained_is_refused(sese: Run, student: Path, recordings: Path, tmp_path: Path) -> None:
    output = tmp_path / "worse"
    ran = sese(
        *("adapt", student, "--recordings", recordings, "-o", output, *QUICK),
        "learning_rate=300",
    )
    assert ran.code == 1
    assert "no step came nearer to the teacher" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_expert_of_a_mixture_learns(
    sese: Run,
    recordings: Path,
    tmp_path: Path,
) -> None:
    mixture, output = tmp_path / "mixture", tmp_path / "adapted"
    torch.manual_seed(0)
    config = LocalExpertsConfig(hidden=8, experts=2, gate_hidden=4)
    checkpoint.save(mixture, "local_experts", config, config.build().state_dict())
    adapt = ("adapt", mixture, "--recordings", recordings, "-o", output, *QUICK, "--tolerance", "100")
    assert "no level '3'; use low, all, or some of 1, 2" in sese(*adapt, "--levels", "3").err
    ran = sese(*adapt, "--levels", "2")
    assert ran.code == 0, ran.err
    assert "levels that are kept as they are: 1\n" in ran.err
    rows = [line.split()[0] for line in ran.out.splitlines() if "->" in line]
    assert rows == ["1", "2"]
    card = (output / "README.md").read_text()
    assert "--teacher sese-2 --levels 2 " in card
    assert "| 1 | kept as it was |" in card
    assert package.load(output).stream(budget="auto").routed


def write(folder: Path, *clips: np.ndarray, rate: int = RATE) -> Path:
    folder.mkdir()
    for number, clip in enumerate(clips):
        soundfile.write(folder / f"{number}.wav", clip, rate)
    return folder


def test_recordings_that_cannot_be_used_are_refused(refused: Refused, tmp_path: Path) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(8 * RATE)
    assert "does not exist" in refused(given=tmp_path / "nowhere")
    assert "holds no recordings" in refused(given=write(tmp_path / "empty"))
    assert "are shorter than 2 s" in refused(given=write(tmp_path / "short", noise[:RATE], noise[:RATE]))
    assert "are silent" in refused(given=write(tmp_path / "silent", 0 * noise))
    assert "no speech was found" in refused(given=write(tmp_path / "noise", noise))
    damaged = write(tmp_path / "damaged")
    (damaged / "talk.wav").write_bytes(b"RIFF no audio")
    assert "damaged or not audio" in refused(given=damaged)


def test_too_little_speech_is_refused(refused: Refused, recordings: Path) -> None:
    message = refused("least_seconds=60")
    assert "16.0 s of recordings with speech; give 60 s or more" in message


def test_models_that_do_not_fit_are_refused(
    refused: Refused, student: Path, tiny: Path, tmp_path: Path
) -> None:
    assert "unknown model" in refused(model=tmp_path / "nothing")
    assert "an ONNX file cannot be trained" in refused(model=tiny)
    assert "unknown model" in refused("--teacher", "nobody")
    assert "cannot teach itself" in refused("--teacher", "own")
    assert "teacher and student do not fit" in refused("--teacher", student)
    assert "no level '0.3'" in refused("--levels", "0.3", model="demucs-slim-small")
    assert "the highest level is the teacher" in refused("--levels", "all", model="demucs-slim-small")
    assert "has gates" in refused(model="conv-fsenet-dyncp")


def test_settings_that_cannot_be_used_are_refused(refused: Refused, tmp_path: Path) -> None:
    assert "unknown key 'speed'" in refused("speed=3")
    assert "has no '='" in refused("fast")
    assert "tolerance_db is -1" in refused("--tolerance", "-1")
    assert "--max-minutes is 0" in refused("--max-minutes", "0")
    assert "does not exist; leave --resume out" in refused("--resume")


def test_the_original_and_what_exists_are_not_replaced(
    sese: Run,
    student: Path,
    recordings: Path,
    tmp_path: Path,
) -> None:
    same = sese("adapt", student, "--recordings", recordings, "-o", student, "--force", *QUICK)
    assert same.code == 2
    assert "is read and cannot be the output" in same.err
    over = sese("adapt", student, "--recordings", recordings, "-o", recordings, "--force", *QUICK)
    assert over.code == 2
    assert "is read and cannot be the output" in over.err
    assert len(list(recordings.iterdir())) == 2
    existing = sese("adapt", student, "--recordings", recordings, "-o", tmp_path, *QUICK)
    assert existing.code == 2
    assert "add --force to replace it" in existing.err


def test_a_missing_extra_is_named(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert f"needs torch; {install_command('train')}" in refused()


def test_the_configuration_file_holds_the_defaults() -> None:
    assert read(ROOT / "src" / "sese" / "configs" / "adaptation" / "default.yaml") == AdaptConfig()
    assert (
        read(ROOT / "src" / "sese" / "configs" / "adaptation" / "reverberation.yaml").segment_seconds
        > AdaptConfig().segment_seconds
    )
