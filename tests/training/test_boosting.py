"""Boosting of hashes: slopes, weights, bits that beat chance where there is something to learn, resuming."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.backbones.boosted_hashing import fresh_projections, with_one
from sese.nn.layers.packed_bits import unpack
from sese.training.config import RunConfig
from sese.training.methods import boosting
from sese.training.methods.boosting import BoostingConfig
from sese.training.run import train
from training.tiny_run import config as tiny


def config(*overrides: str) -> RunConfig:
    return tiny(
        "system=boosted_hashing",
        "model={n_fft: 64, hop_length: 32, bits: [3, 6], frames: 60, neighbours: 4}",
        "training.method=boosting",
        "training.steps=48",
        "training.boosting={segments: 2, clips: 2, frames_per_clip: 20}",
        *overrides,
    )


KINDS = 8


def clusters(count: int = 60, bins: int = 12) -> torch.Tensor:
    """Frames of eight kinds, which differ in one of their bins: (frame, bin + 1)."""
    generator = torch.Generator().manual_seed(0)
    frames = 0.1 * torch.rand(count, bins, generator=generator)
    frames[torch.arange(count), torch.arange(count) % KINDS] += 1.0
    return with_one(frames)


def test_the_slope_of_the_bits_is_that_of_the_loss_over_all_pairs():
    """One product against autograd through the whole matrix of pairs."""
    segment = boosting.compared(clusters(), torch.zeros(60, 12), BoostingConfig())
    segment.weights.copy_(torch.rand(60, 60, generator=torch.Generator().manual_seed(1)))
    segment.weights.copy_((segment.weights + segment.weights.t()) / 2)
    start = fresh_projections(1, 12, torch.Generator().manual_seed(2))[0]
    projection = start.clone().requires_grad_()
    made = segment.frames @ projection
    soft = torch.tanh(made)
    bits = soft + (torch.where(made < 0, -1.0, 1.0) - soft).detach()
    said = (1 + bits * bits.unsqueeze(1)) / 2
    (segment.weights * (said * (1 - 2 * segment.alike) + segment.alike.square())).sum().backward()
    hard = torch.where(made < 0, -1.0, 1.0).detach()
    square = ((1 + hard * hard.unsqueeze(1)) / 2 - segment.alike).square()
    torch.testing.assert_close((said * (1 - 2 * segment.alike) + segment.alike.square()).detach(), square)
    gradient = projection.grad.sign()
    # Adam's first step goes against the sign of the gradient.
    moved = boosting.learn([segment], start, 1, 1e-3) - start
    assert torch.equal(moved.sign(), -gradient)


def test_weights_rise_where_a_bit_is_wrong_and_sum_to_one():
    segment = boosting.compared(clusters(), torch.zeros(60, 12), BoostingConfig())
    before = segment.weights.clone()
    projection = fresh_projections(1, 12, torch.Generator().manual_seed(3))[0]
    bits = torch.where(segment.frames @ projection < 0, -1.0, 1.0)
    wrong = ((1 + torch.outer(bits, bits)) / 2 - segment.alike).abs()
    boosting.raise_weights([segment], projection, 0.8)
    assert float(segment.weights.sum()) == pytest.approx(1, abs=1e-5)
    growth = segment.weights / before
    assert growth[wrong > 0.7].min() > growth[wrong < 0.3].max()


def test_strength_falls_to_nothing_at_half_an_error():
    assert boosting.strength(0.2) == pytest.approx(math.log(4))
    assert 0 < boosting.strength(0.5) < 1e-4
    assert 0 < boosting.strength(0.7) < 1e-4
    assert math.isfinite(boosting.strength(0.0))


def test_learned_bits_tell_kinds_apart_better_than_random_ones():
    frames = clusters(200)
    segment = boosting.compared(frames, torch.zeros(200, 12), BoostingConfig(balanced=True))
    kinds = torch.arange(200) % KINDS
    random = fresh_projections(6, 12, torch.Generator().manual_seed(4))

    def told(projections: torch.Tensor) -> float:
        """Share of the frames whose five nearest others are all of their kind."""
        bits = torch.where(frames @ projections.t() < 0, -1.0, 1.0)
        alike = bits @ bits.t()
        alike.fill_diagonal_(-9)
        return float((kinds[alike.topk(5, dim=1).indices] == kinds[:, None]).all(1).float().mean())

    learned = []
    for number in range(6):
        projection = boosting.learn([segment], random[number], 60, 0.05)
        error = boosting.weighted_error([segment], projection)
        assert error < 0.4
        boosting.raise_weights([segment], projection, boosting.strength(error))
        learned.append(projection)
    assert told(torch.stack(learned)) == 1
    assert told(random) < 0.7


def test_masks_can_be_what_bits_are_to_tell():
    masks = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]])
    settings = BoostingConfig(alike="masks", balanced=True)
    segment = boosting.compared(with_one(torch.rand(3, 4)), masks, settings)
    torch.testing.assert_close(
        segment.alike, torch.tensor([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]])
    )
    assert float((segment.weights * segment.alike).sum()) == pytest.approx(0.5, abs=0.2)
    bell = boosting.compared(with_one(torch.rand(3, 4)), masks, BoostingConfig(alike="masks", width=0.5))
    assert float(bell.alike[0, 1]) == pytest.approx(math.exp(-0.5))


def test_a_run_learns_its_bits_and_fills_its_dictionary(tmp_path: Path):
    assert train(config(), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(7))
    assert {"val/si_sdr/noisy", "val/si_sdr/0", "val/si_sdr/1"} < set(lines[-1])
    model = checkpoint.load(tmp_path / "run" / "best")
    hashing = model.backbone
    assert (hashing.strengths > 0).all()
    assert len(unpack(hashing.codes, 6).unique(dim=0)) > 4
    assert 0.02 < float(unpack(hashing.masks, 33).mean()) < 0.98


def test_a_stopped_run_ends_as_one_that_went_through(tmp_path: Path):
    train(config(), tmp_path / "whole")
    assert not train(config(), tmp_path / "stopped", max_minutes=0)
    while not train(config(), tmp_path / "stopped", resume=True, max_minutes=0):
        pass
    whole, stopped = (checkpoint.load(tmp_path / name / "best").state_dict() for name in ("whole", "stopped"))
    for name, value in whole.items():
        torch.testing.assert_close(stopped[name], value, msg=name)


def test_an_existing_run_is_kept(tmp_path: Path):
    train(config(), tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run"):
        train(config(), tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"segments": 0}, "segments is 0"), ({"clips": 0}, "clips is 0"), ({"width": -1.0}, "width is -1")],
)
def test_refused_settings(values, message):
    with pytest.raises(InputError, match=message):
        BoostingConfig(**values)
