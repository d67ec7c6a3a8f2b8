"""Whole runs, in this process: what they leave behind, and that stopping costs nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sese.core import files as atomic
from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.training.config import read
from sese.training.run import Keeper, train
from training.tiny_run import DEBUG, assert_same_checkpoints, checkpoint_of, config

# Lightning's own use of what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps in one go."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(config(), folder)
    return folder


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses_of(folder: Path) -> list[float]:
    return [line["train/loss"] for line in metrics_of(folder) if "train/loss" in line]


def test_folder_holds_what_is_promised(finished: Path):
    assert {path.name for path in finished.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "tensorboard",
        "samples",
        "checkpoints",
        "last",
        "best",
    }
    assert [path.name for path in (finished / "checkpoints").iterdir()] == ["last.ckpt"]
    assert read(finished / "config.yaml") == config()
    assert list((finished / "tensorboard").glob("events.out.tfevents.*"))


def test_metrics_are_lines_of_json(finished: Path):
    lines = metrics_of(finished)
    steps = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in steps] == [0, 1, 2, 3, 4, 5]
    assert {"train/l1", "train/multi_resolution_stft", "train/gradient_norm", "learning_rate"} <= set(
        steps[0]
    )
    assert steps[0]["train/loss"] == pytest.approx(
        steps[0]["train/l1"] + steps[0]["train/multi_resolution_stft"], rel=1e-5
    )
    validations = [line for line in lines if "val/score" in line]
    assert len(validations) == 2
    for line in validations:
        scores = [line[f"val/loss/{level}"] for level in range(4)]
        assert line["val/score"] == pytest.approx(sum(scores) / 4, rel=1e-5)
        assert {"val/si_sdr/noisy", *(f"val/si_sdr/{level}" for level in range(4))} <= set(line)


def test_models_are_the_averaged_weights(finished: Path):
    saved = checkpoint_of(finished)
    last, best = (checkpoint.load(finished / name).state_dict() for name in ("last", "best"))
    for name, weights in last.items():
        assert torch.equal(weights, saved[f"/state_dict/model.{name}"])
    assert any(not torch.equal(w, saved[f"/current_model_state/model.{name}"]) for name, w in last.items())
    assert set(best) == set(last)


@pytest.mark.parametrize(("decay", "share"), [(0.8, 2 / 11), (0.1, 0.1)])
def test_the_average_is_quick_to_forget_at_first(tmp_path: Path, decay: float, share: float):
    settings = config(f"training.ema_decay={decay}")
    saved = []
    for resume in (False, True):
        train(settings, tmp_path, resume, max_minutes=0)  # one step
        saved.append(checkpoint_of(tmp_path))
    first, second = saved
    for name in (name for name in first if name.startswith("/current_model_state/")):
        averaged = name.replace("current_model_state", "state_dict")
        assert torch.equal(first[averaged], first[name])
        expected = share * first[name] + (1 - share) * second[name]
        torch.testing.assert_close(second[averaged], expected, atol=1e-7, rtol=1e-6)


def test_samples_are_the_first_validation_clips(finished: Path):
    folder = finished / "samples" / "step_6"
    names = ["clean", "noisy", *(f"level_{level}" for level in range(4))]
    assert {path.name for path in folder.iterdir()} == {
        f"{clip}_{name}.wav" for clip in (0, 1) for name in names
    }
    sound = {name: soundfile.read(folder / f"0_{name}.wav") for name in names}
    assert {rate for _, rate in sound.values()} == {16000}
    assert {len(samples) for samples, _ in sound.values()} == {4000}
    model = checkpoint.load(finished / "last")
    noisy = torch.tensor(sound["noisy"][0]).float().view(1, 1, -1)
    expected = model.enhance_clip(noisy, {"width": 2}).detach().view(-1)
    torch.testing.assert_close(torch.tensor(sound["level_1"][0]).float(), expected, atol=1e-3, rtol=0)


def test_stopped_and_resumed_equals_uninterrupted(finished: Path, tmp_path: Path):
    folder = tmp_path / "run"
    train(config(), folder, max_minutes=0)  # stops after its first step
    assert losses_of(folder) == losses_of(finished)[:1]
    train(config(), folder, resume=True)
    assert_same_checkpoints(folder, finished)
    steps, whole = (
        [line["train/loss"] for line in metrics_of(path) if "train/loss" in line]
        for path in (folder, finished)
    )
    assert steps == whole


def test_every_strategy_resumes_where_it_stopped(tmp_path: Path):
    for levels in ("random_level", "sandwich"):
        settings = config(f"training.method={levels}", "training.steps=3", "training.validate_steps=3")
        train(settings, tmp_path / levels / "whole")
        train(settings, tmp_path / levels / "stopped", max_minutes=0)
        train(settings, tmp_path / levels / "stopped", resume=True)
        assert_same_checkpoints(tmp_path / levels / "stopped", tmp_path / levels / "whole")


def test_muon_resumes_where_it_stopped_and_learns_otherwise_than_adamw(finished: Path, tmp_path: Path):
    settings = config("training.optimizer=muon")
    train(settings, tmp_path / "whole")
    train(settings, tmp_path / "stopped", max_minutes=0)
    train(settings, tmp_path / "stopped", resume=True)
    assert_same_checkpoints(tmp_path / "stopped", tmp_path / "whole")
    assert losses_of(tmp_path / "whole")[0] == losses_of(finished)[0]  # no step is made yet
    assert losses_of(tmp_path / "whole")[-1] != losses_of(finished)[-1]


def test_the_seed_decides(finished: Path, tmp_path: Path):
    train(config("training.steps=1", "seed=7"), tmp_path / "other")
    assert losses_of(tmp_path / "other")[0] != losses_of(finished)[0]


class Crash(Exception):
    pass


def crash_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training fail right after a step, and after the checkpoint where one is due."""
    whole = Keeper.on_train_batch_end

    def end(self: Keeper, trainer: Any, *arguments: Any) -> None:
        whole(self, trainer, *arguments)
        if trainer.global_step == step:
            raise Crash

    monkeypatch.setattr(Keeper, "on_train_batch_end", end)


def test_a_resumed_run_remembers_what_was_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        crash_after(5, patch)
        with pytest.raises(Crash):
            train(config(), tmp_path)
    record = tmp_path / "best" / "score.json"
    assert json.loads(record.read_text())["step"] == 3
    record.write_text(json.dumps({"step": 3, "score": 0.0}))  # better than any that follows
    best = checkpoint.load(tmp_path / "best").state_dict()
    train(config(), tmp_path, resume=True)
    assert metrics_of(tmp_path)[-1]["val/score"] > 0
    kept = checkpoint.load(tmp_path / "best").state_dict()
    assert all(torch.equal(kept[name], best[name]) for name in best)


def test_a_validation_that_a_crash_prevented_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        crash_after(3, patch)
        with pytest.raises(Crash):
            train(config("training.checkpoint_steps=1"), tmp_path)
    train(config(), tmp_path, resume=True)
    assert [line["step"] for line in metrics_of(tmp_path) if "val/score" in line] == [2, 5]


def test_the_last_weights_are_validated_whatever_their_step(tmp_path: Path):
    scores = {}
    for every in (3, 5):
        folder = tmp_path / str(every)
        train(config("training.steps=5", f"training.validate_steps={every}"), folder)
        scores[every] = [line["val/score"] for line in metrics_of(folder) if "val/score" in line]
    assert len(scores[3]) == 2
    assert scores[3][-1] == pytest.approx(scores[5][-1], rel=1e-6)


def test_a_crash_while_saving_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = config("training.checkpoint_steps=1", "training.validate_steps=6")
    replace = atomic.os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(target).name == "last.ckpt" and Path(target).exists():
            raise Crash
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", fail)
        with pytest.raises(Crash):
            train(settings, tmp_path)
    assert checkpoint_of(tmp_path)["/global_step"] == 1
    train(settings, tmp_path, resume=True)
    assert checkpoint_of(tmp_path)["/global_step"] == 6


def test_an_existing_run_is_not_overwritten(finished: Path):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(InputError, match=r"whole already holds a run; add --resume"):
        train(config("training.steps=1"), finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_nothing_to_resume(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere holds no run to go on with .*leave --resume out"):
        train(config(), tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_run_at_a_steady_rate_goes_on_with_more_steps(tmp_path: Path):
    """Another end, and another fall before it: up to there the steps are those of one run."""

    def steady(steps: int, decay: int):
        return config(f"training.steps={steps}", f"training.decay_steps={decay}", "training.warmup_steps=2")

    train(steady(1_000_000, 2), tmp_path / "run", max_minutes=0)
    train(steady(5, 3), tmp_path / "run", resume=True)
    train(steady(5, 3), tmp_path / "whole")
    assert losses_of(tmp_path / "run") == losses_of(tmp_path / "whole")
    assert_same_checkpoints(tmp_path / "run", tmp_path / "whole")
    rates = [line["learning_rate"] for line in metrics_of(tmp_path / "run") if "learning_rate" in line]
    assert rates[0] == rates[1] == max(rates)
    assert rates[-1] < 0.5 * max(rates)


def test_a_damaged_checkpoint_is_named(finished: Path, tmp_path: Path):
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"last\.ckpt is damaged, or of another run"):
        train(config(), folder, resume=True)


def test_another_run_does_not_go_on_with_a_checkpoint(finished: Path):
    before = (finished / "config.yaml").read_text()
    for change, told in (
        ("model.depth=2", "model.depth 3, not 2"),
        ("seed=9", "seed 2036, not 9"),
        ("data.train=[elsewhere]", r"data.train \[\], not \['elsewhere'\]"),
        ("training.method=random_level", "training.method 'all_levels', not 'random_level'"),
        ("training.losses={l1: 1.0}", "training.losses {.*}, not {'l1': 1.0}"),
    ):
        with pytest.raises(InputError, match=f"whole is a run with {told}; leave that as it was"):
            train(config(change), finished, resume=True)
    assert (finished / "config.yaml").read_text() == before


def test_a_resume_that_is_refused_keeps_the_configuration(finished: Path, tmp_path: Path):
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    before = (folder / "config.yaml").read_text()
    with pytest.raises(InputError, match=r"cannot train with training\.precision 'nonsense'"):
        train(config("training.precision=nonsense", "training.steps=8"), folder, resume=True)
    assert (folder / "config.yaml").read_text() == before
    train(config("training.steps=8"), folder, resume=True)
    assert read(folder / "config.yaml").training.steps == 8


def test_what_a_run_started_from_may_be_gone_when_it_is_resumed(finished: Path, tmp_path: Path):
    first = Path(shutil.copytree(finished / "best", tmp_path / "first"))
    settings = config(f"training.initial={first}")
    train(settings, tmp_path / "run", max_minutes=0)
    shutil.rmtree(first)
    train(settings, tmp_path / "run", resume=True)
    assert checkpoint_of(tmp_path / "run")["/global_step"] == settings.training.steps


def test_a_score_without_a_checkpoint_is_no_rival(tmp_path: Path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "score.json").write_text('{"step": 1, "score": -100}')
    train(config(), tmp_path)
    assert json.loads((tmp_path / "best" / "score.json").read_text())["score"] > -100


def test_a_finished_run_resumes_to_nothing_more(finished: Path, tmp_path: Path):
    train(config("training.steps=1"), tmp_path)
    before = checkpoint_of(tmp_path)
    train(config("training.steps=1"), tmp_path, resume=True)
    after = checkpoint_of(tmp_path)
    assert after["/global_step"] == before["/global_step"] == 1
    assert all(
        torch.equal(after[name], value) for name, value in before.items() if name.startswith("/state_dict")
    )


def test_pesq_of_the_first_clips(tmp_path: Path):
    pytest.importorskip("pesq")
    clips = ("data.validation_seconds=1", "data.validation_clips=3", "data.pesq_clips=2")
    train(config("training.steps=1", "training.validate_steps=1", *clips), tmp_path)
    (scores,) = (line for line in metrics_of(tmp_path) if "val/score" in line)
    assert {f"val/pesq/{level}" for level in range(4)} | {"val/pesq/noisy"} <= set(scores)
    assert 1 < scores["val/pesq/noisy"] < 4.64


def test_debug_configuration_learns(tmp_path: Path):
    """As shipped, in its mixed precision; only with shorter clips and a higher rate."""
    overrides = ["data.mix.seconds=0.25", "training.learning_rate=1e-2", "training.steps=40"]
    overrides += ["training.validate_steps=20", "training.ema_decay=0.7", "data.validation_seconds=0.5"]
    overrides += ["training.losses={l1: 1, compressed_complex: 1}"]
    train(read(DEBUG, overrides), tmp_path)
    scores = [line["val/score"] for line in metrics_of(tmp_path) if "val/score" in line]
    assert len(scores) == 2
    assert scores[1] < 0.95 * scores[0]
    assert all(
        torch.isfinite(value).all() for value in checkpoint.load(tmp_path / "best").state_dict().values()
    )


@pytest.mark.parametrize(
    ("validation", "said"),
    [("shared", "voice is in the training speech too"), ("missing", "missing is not a folder")],
)
def test_validation_data_is_refused_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: str, said: str
) -> None:
    """Decoding a large corpus takes minutes."""
    for split in ("train", "shared"):
        for name in ("clean/voice/a.wav", "noise/wind/a.wav"):
            file = tmp_path / split / name
            file.parent.mkdir(parents=True)
            soundfile.write(file, np.zeros(1600), 16000)
    monkeypatch.setattr("sese.data.corpus_banks.load_bank", lambda *_: pytest.fail("decoded"))
    settings = config(
        "data.synthetic=false",
        f"data.train=[{tmp_path / 'train'}]",
        f"data.validation=[{tmp_path / validation}]",
    )
    with pytest.raises(InputError, match=said):
        train(settings, tmp_path / "run")
