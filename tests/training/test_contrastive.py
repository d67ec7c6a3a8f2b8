"""Contrastive mixtures and purified frames: their terms, their settings, and runs that stop and resume."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from sese.core.errors import InputError
from sese.nn.label_network import LabelNet, LabelNetConfig, save
from sese.training.config import read
from sese.training.losses import at_target_level
from sese.training.methods.contrastive import ContrastiveConfig, distance, pair_losses
from sese.training.methods.purification import PurificationConfig, Purifier
from sese.training.run import train
from training.tiny_run import assert_same_checkpoints, checkpoint_of, config

# Lightning's own use of what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
NET = LabelNetConfig(n_fft=256, hop_length=64, bands=8, units=4, layers=1)


def noise(seed: int, rows: int = 4, time: int = 4000) -> torch.Tensor:
    return 0.1 * torch.randn(rows, time, generator=torch.Generator().manual_seed(seed))


def predictor(folder: Path, bias: float | None = None, task: str = "frame_snr") -> Path:
    """A folder with a small network; with a bias, one that predicts the same SNR everywhere, in 10 dB."""
    torch.manual_seed(0)
    weights = LabelNet(NET).state_dict()
    if bias is not None:
        weights["score.weight"].zero_()
        weights["score.bias"].fill_(bias)
    save(folder, task, NET, weights)
    return folder


def test_distance_is_minus_the_snr():
    target = noise(0)
    error = noise(1)
    error *= 0.1 * target.norm(dim=1, keepdim=True) / error.norm(dim=1, keepdim=True)
    made, aim = at_target_level(7 * (target + error), 7 * target)
    assert aim.square().mean(1).tolist() == pytest.approx([1.0] * 4, abs=1e-4)
    assert distance(made, aim).tolist() == pytest.approx([-2.0] * 4, abs=1e-2)  # an SNR of 20 dB
    assert distance(aim, aim).tolist() == pytest.approx([-6.0] * 4, abs=1e-3)
    silent = at_target_level(target, torch.zeros_like(target))
    assert distance(*silent).isfinite().all()


def test_pairs_are_right_when_outputs_differ_as_targets_do():
    targets = torch.tensor([-6.0, 0.3, -6.0, 0.2])
    perfect = pair_losses(targets, targets, ContrastiveConfig(positive=0.5, negative=2.0))
    assert perfect["positive"].item() == pytest.approx(-3.0)
    assert perfect["negative"].item() == 0.0
    made = torch.tensor([-1.0, 0.1, -2.0, 0.3])
    losses = pair_losses(made, targets, ContrastiveConfig(positive=0.5, negative=2.0))
    assert losses["positive"].item() == pytest.approx(0.5 * -1.5)
    assert losses["negative"].item() == pytest.approx(2.0 * (0.2**2 + 0.1**2) / 2)


def test_frames_count_by_the_predicted_snr(tmp_path: Path):
    target = noise(2)
    half = target.clone()
    half[:, 2000:] += noise(3)[:, 2000:]
    for bias, weight in ((0.0, 0.5), (10.0, 1.0), (-10.0, 0.0)):
        purifier = Purifier(PurificationConfig(str(predictor(tmp_path / str(bias), bias))), 16000)
        weights = purifier.weights(target)
        assert weights.shape == (4, 1 + (4000 - 256) // 64)
        torch.testing.assert_close(weights, torch.full_like(weights, weight), atol=1e-4, rtol=0)
        made, aim = at_target_level(half, target)
        distances = purifier.distances(made, aim)
        assert distances.shape == weights.shape
        assert (distances[:, :25] < -2.8).all()  # no error: 30 dB, where errors gain nothing more
        assert abs(distances[:, 35:].mean()) < 0.1  # errors as strong as the target
        whole = purifier.distance(made, aim, weights)
        torch.testing.assert_close(whole, weight * distances.mean(1), atol=1e-3, rtol=0)
    assert Purifier(PurificationConfig(str(predictor(tmp_path / "any"))), 16000).weights(target).std() > 0


def test_predictors_that_do_not_fit(tmp_path: Path):
    with pytest.raises(InputError, match="was trained for voice_activity"):
        Purifier(PurificationConfig(str(predictor(tmp_path / "voice", task="voice_activity"))), 16000)
    with pytest.raises(InputError, match="hears 16000 Hz and the model 48000 Hz"):
        Purifier(PurificationConfig(str(predictor(tmp_path / "net"))), 48000)
    with pytest.raises(InputError, match="does not exist"):
        Purifier(PurificationConfig(str(tmp_path / "none")), 16000)


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("training.contrastive.positive=-1", "contrastive.positive is -1.0"),
        ("training.batch_size=6", "multiple of 4"),
        ("training.method=purification", "name training.purification.predictor"),
    ],
)
def test_settings_are_checked(override: str, word: str):
    with pytest.raises(InputError, match=word):
        config("training.method=contrastive", "training.batch_size=4", override)
    with pytest.raises(InputError, match="use contrastive or purification"):
        config("training.purification.predictor=somewhere")


@pytest.mark.parametrize("way", ["contrastive", "purified", "both"])
def test_a_run_that_was_stopped_is_the_same(way: str, tmp_path: Path):
    settings = ["training.batch_size=4", "training.losses={sdr: 1.0}", "training.checkpoint_steps=2"]
    settings.append(f"training.method={'purification' if way == 'purified' else 'contrastive'}")
    if way != "contrastive":
        settings.append(f"training.purification.predictor={predictor(tmp_path / 'net')}")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train(config(*settings), whole)
    assert not train(config(*settings), stopped, max_minutes=0)
    assert train(config(*settings), stopped, resume=True)
    assert_same_checkpoints(whole, stopped)
    assert not any("gru" in name and "purifier" in name for name in checkpoint_of(whole))
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "train/loss" in line]
    terms = {"contrastive": {"sdr"}, "purified": {"purified"}, "both": {"purified"}}[way]
    terms |= set() if way == "purified" else {"positive", "negative"}
    for line in steps:
        values = [line[f"train/{name}"] for name in terms]
        assert all(map(math.isfinite, values))
        assert line["train/loss"] == pytest.approx(sum(values), rel=1e-4)


def test_the_configurations_are_what_they_say():
    folder = CONFIGS / "self_supervised"
    names = ("pseudo_enhancement", "contrastive", "purified", "both")
    found = {name: read(folder / f"{name}.yaml") for name in (*names[:3], "few_shot")}
    found["both"] = read(folder / "contrastive.yaml", ["training.purification.predictor=runs/frame-snr/best"])
    levels = [found[name].training.method for name in names]
    assert levels == ["full", "contrastive", "purification", "contrastive"]
    predictors = [bool(found[name].training.purification.predictor) for name in names]
    assert predictors == [False, False, True, True]
    for one in found.values():
        assert one.model == found["few_shot"].model
        assert dict(one.training.losses) == {"sdr": 1.0}
        assert one.data.mix.snr_db == (-5.0, 5.0)
