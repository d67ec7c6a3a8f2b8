"""The configuration in a run's folder: what its method uses, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sese.training.config import RunConfig, parse
from sese.training.config_file import CONFIGS, read_values
from sese.training.methods import METHODS, SETTINGS
from sese.training.resolved import dump_run, values_in_use
from training.tiny_run import config

RUNS = sorted(
    path.relative_to(CONFIGS).with_suffix("").as_posix()
    for path in CONFIGS.glob("*/*.yaml")
    if "name: " in path.read_text()
    and path.parent.name not in ("above", "adaptation", "labels", "quality", "sweeps")
    if path.stem not in ("embedding", "autoencoder")  # which have other methods
)


def resolved(name: str) -> RunConfig:
    table = ["training.experts.table=classes.csv"] if "experts" in name else []
    return parse(read_values(Path(name), table))


@pytest.mark.parametrize(
    "name", [name for name in RUNS if name not in ("speakers/embedding", "speakers/autoencoder")]
)
def test_it_reads_back_to_an_equal_training(name: str) -> None:
    before = resolved(name)
    text = dump_run(before, policy=True)
    after = parse(yaml.safe_load(text))
    assert values_in_use(after) == values_in_use(before)
    assert (after.model, after.data, after.system) == (before.model, before.data, before.system)
    method = METHODS[before.training.method]
    for section in method.settings:
        assert getattr(after.training, section) == getattr(before.training, section)
    foreign = SETTINGS.keys() - method.settings.keys() - {"routing"}
    assert not foreign & set(yaml.safe_load(text)["training"])


def test_each_method_keeps_its_own_sections() -> None:
    training = values_in_use(config("training.method=random_level"), policy=False)["training"]
    assert set(training) & SETTINGS.keys() == {"random_level"}
    assert "distill" not in training
    assert "distill" in values_in_use(config("training.method=sandwich"))["training"]
    routed = config("training.method=random_level", "model.router_channels=4")
    assert "routing" in values_in_use(routed, policy=True)["training"], (
        "it has the learning rate of the policy"
    )


def test_boosting_has_an_optimiser_of_its_own() -> None:
    training = values_in_use(resolved("boosted_hashing/base"))["training"]
    assert set(training) == {"method", "boosting", "steps", "learning_rate", "checkpoint_steps", "threads"}


def test_lists_are_lines() -> None:
    assert "    snr_db: [-5.0, 20.0]\n" in dump_run(config(), policy=False)
