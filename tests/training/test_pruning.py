"""How gates are trained: the schedule of their target, the rows that run whole, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn import checkpoint
from sese.nn.plan import full
from sese.training.config import RunConfig, read
from sese.training.methods import pruning as method
from sese.training.methods.pruning import PruningConfig, pruning
from sese.training.run import train
from sese.training.task import EnhancementTask
from training.tiny_run import SMALLER

pytestmark = pytest.mark.filterwarnings(
    "ignore:You are trying to `self.log:UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
MODEL = "model={channels: 8, hidden: 16, units: 16, stacks: 1, blocks: 2, gate_channels: 4}"


def config(*overrides: str) -> RunConfig:
    settings = ["data.synthetic=true", "data.mix.reverb=0.0", *SMALLER, MODEL, *overrides]
    return read(CONFIGS / "conv_fsenet" / "dyncp.yaml", settings)


def task(*overrides: str) -> EnhancementTask:
    torch.manual_seed(0)
    return EnhancementTask(config(*overrides))


def batch(rows: int = 4, time: int = 4096) -> Mixture:
    generator = torch.Generator().manual_seed(1)
    clean = 0.1 * torch.randn(rows, 1, time, generator=generator)
    return Mixture(clean + 0.05 * torch.randn(rows, 1, time, generator=generator), clean, torch.zeros(rows))


def test_target_falls_in_a_line_and_stays():
    falling = PruningConfig(target=0.2, fall=0.5)
    shares = [falling.target_at(done) for done in (0.0, 0.25, 0.5, 1.0)]
    assert shares == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert PruningConfig(target=0.2).target_at(0.0) == 0.2


@pytest.mark.parametrize(
    "values",
    [
        {"target": 0.0},
        {"target": 1.1},
        {"weight": -1},
        {"fall": 1.5},
        {"dense_share": 1},
        {"learning_rate": 0},
    ],
)
def test_unusable_settings_are_named(values: dict):
    with pytest.raises(InputError, match=rf"training\.pruning\.{next(iter(values))} is"):
        PruningConfig(**values)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["training.method=all_levels"], "'all_levels' and the model has gates"),
        (["training.method=pruning", "model.gate_channels=0"], "has no gates; set model.gate_channels"),
    ],
)
def test_gates_and_ways_to_train_must_fit(overrides: list[str], named: str):
    with pytest.raises(InputError, match=named):
        config(*overrides)


@pytest.mark.parametrize("dense", [0.0, 0.5])
def test_a_step_trains_every_weight(dense: float):
    training = task(f"training.pruning.dense_share={dense}")
    training.training_step(batch(), 0).backward()
    for name, parameter in training.model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_rows_that_run_whole_lie_first_and_do_not_cost():
    training, mixture = task("training.pruning={dense_share: 0.5, weight: 3}"), batch()
    training.eval()  # batch norm would couple the rows
    with torch.no_grad():
        losses = method.losses(training, mixture, torch.Generator())
        whole = training.model.enhance_clip(mixture.noisy[:2], full(training.model.sites))
        pruned = training.model.run_clip(mixture.noisy[2:])
        expected = training.losses(torch.cat([whole, pruned.audio]), mixture.clean, mixture.noisy)
    assert torch.equal(losses.pop("pruning"), 3 * pruning(pruned.plan, 0.25))
    assert losses == expected


def test_the_gates_have_their_own_learning_rate():
    groups = task("training.pruning.learning_rate=5").configure_optimizers()["optimizer"].param_groups
    rates = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    model = task("training.pruning.learning_rate=5").model
    assert sorted(set(rates.values())) == pytest.approx([8e-4, 4e-3])
    assert sum(rate > 1e-3 for rate in rates.values()) == len(list(model.policy.parameters()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gated"
    train(config("training.pruning={dense_share: 0.25, weight: 2}"), folder)
    return folder


def test_a_run_reports_the_gated_and_the_dense_network(finished: Path):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    validations = [line for line in lines if "val/score" in line]
    assert len(validations) == 2
    for line in validations:
        assert {"val/loss/0", "val/si_sdr/0", "val/si_sdr/gated"} <= set(line)
        assert "val/loss/1" not in line
        assert 0 < line["val/utilization"] <= 1
        gated = line["val/loss/gated"] + 2 * line["val/pruning"]
        assert line["val/score"] == pytest.approx(0.25 * line["val/loss/0"] + 0.75 * gated, rel=1e-5)
    assert all("train/pruning" in line for line in lines if "train/loss" in line)


def test_a_gated_run_starts_from_a_dense_one(finished: Path, tmp_path: Path):
    dense = config("training.method=full", "model.gate_channels=0", "model.units=1").model.build()
    checkpoint.save(
        tmp_path,
        "conv_fsenet",
        config("training.method=full", "model.gate_channels=0", "model.units=1").model,
        dense.state_dict(),
    )
    model = task(f"training.initial={tmp_path}").model
    for name, value in dense.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_fresh_gates_with_a_bias_are_open():
    for bias, least, most in ((0.0, 0.2, 0.8), (3.0, 0.97, 1.0)):
        model = task(f"model.gate_bias={bias}").model.eval()
        with torch.no_grad():
            plan = model.run_clip(batch().noisy).plan
        assert least <= torch.stack([mask.mean() for mask in plan.values()]).mean() <= most
