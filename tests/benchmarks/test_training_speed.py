"""Steps of benchmarks/training_speed.py: whole ones, with the kernels and without, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from sese.core import compiled
from sese.core.errors import InputError
from sese.nn.layers import kernels
from training.tiny_run import DEBUG

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
SMALL = [
    "data.mix.seconds=0.25",
    "training.batch_size=2",
    "training.method=random_level",
    "training.stft_sizes=one",
    "training.losses={compressed_complex: 1}",
]
GATED = (
    "model: {n_fft: 128, hop_length: 64, bands: [[8, 8]], channels: 8, blocks: [1, 2], band_units: [4, 8], "
    "time_units: [4, 8]}"
)


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("training_speed")


@pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler")
def test_trains_each_in_turn_and_compares_them(speed: Any, tmp_path: Path) -> None:
    config = tmp_path / "gated.yaml"
    config.write_text(f"base: {DEBUG.parent / 'base.yaml'}\nname: gated\nsystem: gated_mixer\n{GATED}\n")
    runs = speed.trainings([DEBUG, config], SMALL)
    assert [training.name for training in runs] == [
        "debug",
        "debug, kernels off",
        "gated",
        "gated, kernels off",
    ]
    names = ["backbone.decoder.0.conv_bias"] * 2 + ["backbone.offset"] * 2
    before = [
        training.task.model.state_dict()[name].clone() for training, name in zip(runs, names, strict=True)
    ]
    assert torch.equal(*before[:2]), "the two start alike"
    assert torch.equal(*before[2:])
    on = kernels.on
    speed.run(runs, rounds=2, steps=1)
    assert kernels.on is on
    for training in runs:
        assert training.task.step == 3, "one more than is counted"
        assert len(training.cpu) == len(training.wall) == 2
    for training, name, was in zip(runs, names, before, strict=True):
        assert not torch.equal(training.task.model.state_dict()[name], was)
    lines = speed.table(runs)
    assert len(lines) == 6
    assert lines[2].endswith("| 1.00 (1.00 to 1.00) | 1.00 |")
    assert lines[3].startswith("| debug, kernels off | 2 of 0.25 |")
    assert lines[5].startswith("| gated, kernels off | 2 of 0.25 |")


def test_mean_macs_are_those_of_the_rows(speed: Any) -> None:
    macs = [
        speed.Training(speed.read(DEBUG, [*SMALL, *more]), "").macs
        for more in (
            ["training.method=full"],
            ["training.random_level.shares=[0, 0, 0, 1]"],
            ["training.method=routing", "model.router_channels=4"],
            ["training.method=all_levels"],
            [],
        )
    ]
    assert macs[0] == macs[1] == macs[2]
    assert macs[3] == pytest.approx(4 * macs[4])
    assert macs[4] < macs[0] < macs[3]


def test_other_trainings_are_refused(speed: Any) -> None:
    with pytest.raises(InputError, match=r"debug\.yaml: training\.method is 'sandwich'; timed are"):
        speed.trainings([DEBUG], ["training.method=sandwich"])
    with pytest.raises(InputError, match=r"debug\.yaml: training\.precision is '64-true'; timed are"):
        speed.trainings([DEBUG], ["training.precision=64-true"])
