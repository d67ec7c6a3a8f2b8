"""Training of bitwise networks: codes, targets, shares, and runs that stop and resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.backbones.bitwise import BitwiseConfig
from sese.nn.layers.bitwise import Binarisation
from sese.training.config import parse
from sese.training.methods.masks import MasksConfig, ideal_masks, lloyd_max, mask_error
from sese.training.run import train
from training.tiny_run import assert_same_checkpoints
from training.tiny_run import config as tiny

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

NET = {"n_fft": 64, "hop_length": 32, "hidden": 16, "sparsity": 0.0}


def config(folder: str = "", binary: bool = False, shares: str = "[0.0]", *more: str):
    return tiny(
        "system=bitwise",
        f"model={{n_fft: 64, hop_length: 32, hidden: 16, sparsity: 0.0, binary: {str(binary).lower()}}}",
        "training.method=masks",
        f"training.masks.shares={shares}",
        f"training.initial='{folder}'",
        *more,
    )


def test_lloyd_max_finds_the_quantiser_of_least_error():
    values = np.random.default_rng(0).normal(size=20_000)
    found = lloyd_max(values, 4)
    # Max (1960), table I: thresholds of four levels for the normal distribution.
    np.testing.assert_allclose(found, [-0.9816, 0, 0.9816], atol=0.04)
    few = lloyd_max(np.array([0.0, 0, 0, 1, 1, 5]), 8)
    assert len(few) == 7
    assert (np.diff(few) >= 0).all()


def test_ideal_masks_are_one_where_speech_is_stronger():
    model = BitwiseConfig(**NET).build()
    time = torch.arange(3200) / 16000
    speech = torch.sin(2 * torch.pi * 1000 * time)[None]
    noise = 0.3 * torch.sin(2 * torch.pi * 5000 * time)[None]
    state = {"past": torch.zeros(1, 32), "power": torch.zeros(1, 1), "weight": torch.zeros(1, 1)}
    _, spectrum, _ = model.features(speech + noise, state)
    masks = ideal_masks(model, spectrum, speech)
    assert masks.shape == (1, 100, 33)
    assert masks[0, 2:, 4].all()  # 1 kHz
    assert not masks[0, 2:, 20].any()  # 5 kHz


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_gradients_reach_every_weight_at_every_share(share: float):
    torch.manual_seed(0)
    model = BitwiseConfig(**NET, layers=2).build()
    noisy, clean = torch.randn(2, 1, 640), torch.randn(2, 1, 640)
    how = Binarisation(share, torch.Generator().manual_seed(0))
    mask_error(model, noisy, clean, how).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
        assert (parameter.grad != 0).float().mean() > 0.05, name  # hard gates stop many


def test_shares_follow_each_other():
    settings = MasksConfig((0.1, 0.5, 1.0))
    assert [settings.share_at(done) for done in (0, 0.3, 0.34, 0.66, 0.67, 1)] == [0.1, 0.1, 0.5, 0.5, 1, 1]


def test_two_stages_learn_and_a_stopped_run_ends_as_one_that_went_through(tmp_path: Path):
    train(config(), tmp_path / "soft")
    soft = checkpoint.load(tmp_path / "soft" / "last")
    start = config().model.build()
    assert not torch.equal(soft.features.thresholds, start.features.thresholds), "codes are fitted"
    stage = config(str(tmp_path / "soft" / "last"), True, "[0.3, 0.6, 1.0]")
    assert train(stage, tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [line["train/share"] for line in lines if "train/share" in line] == pytest.approx(
        [0.3, 0.3, 0.6, 0.6, 1, 1]
    )
    assert not train(stage, tmp_path / "stopped", max_minutes=0)
    assert train(stage, tmp_path / "stopped", resume=True)
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "stopped")
    bits = checkpoint.load(tmp_path / "whole" / "last")
    assert torch.equal(bits.features.thresholds, soft.features.thresholds), "codes stay what they were"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "masks"}, r"training\.method is 'masks', which trains bits, and demucs has none"),
        ({"masks": {"shares": []}}, r"training\.masks\.shares is \[\]"),
        ({"masks": {"shares": [1.5]}}, r"training\.masks\.shares is \[1\.5\]"),
        ({"method": "boosting"}, r"training\.method is 'boosting' and system 'demucs'"),
    ],
)
def test_refused(values, message):
    with pytest.raises(InputError, match=message):
        parse({"training": values})


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, {"method": "full"}, "the model has bits; use masks"),
        ({}, {"method": "masks"}, r"shares is \[0\.0\] and model\.binary true"),
        ({"binary": False}, {"method": "masks", "masks": {"shares": [0.5]}}, r"model\.binary false"),
    ],
)
def test_refused_of_a_bitwise_network(model, training, message):
    with pytest.raises(InputError, match=message):
        parse({"system": "bitwise", "model": model, "training": training})
