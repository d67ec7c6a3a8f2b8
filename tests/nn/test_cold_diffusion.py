"""Cold diffusion: the algebra of its steps, what each is trained on, what early stops leave, its one file."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from contract import audio, build, count_macs
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.cold_diffusion import ColdDiffusionConfig
from sese.nn.cost import macs_per_sample, parameters, parameters_used, prefixes
from sese.nn.features.stft import compress, product
from sese.nn.plan import counts_to_mask
from sese.nn.policies.fixed import level_plan, levels_plan
from sese.nn.state import fresh
from sese.runtime.artefact import open_artefact
from sese.runtime.step import Step
from sese.training.config import parse, read
from sese.training.methods.milestones import draw, pairs, targets
from sese.training.task import EnhancementTask

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
GAINS = (0.56, 0.32, 0.1, 0.0)
TINY = ColdDiffusionConfig(
    n_fft=128,
    hop_length=64,
    bands=((8, 8),),
    channels=8,
    blocks=1,
    band_units=4,
    time_units=8,
    channel_units=8,
)
KINDS = {
    "separate": TINY,
    "shared": replace(TINY, shared=True),
    "plain": replace(TINY, aim="clean"),
    "one-shot": replace(TINY, noise_gains=(0.0,)),
}
ONE_SHOT = (
    "small model.noise_gains=[0] model.blocks=4 "
    "model.band_units=36 model.time_units=36 model.channel_units=72"
)
every_kind = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)


# Sizes


@pytest.mark.parametrize(
    ("name", "millions", "weights"),
    [
        ("base", [121.09, 242.18, 363.26, 484.35], [83_172, 166_344, 249_516, 332_688]),
        ("small", [24.06, 48.13, 72.19, 96.26], [20_260, 40_520, 60_780, 81_040]),
        ("small model.aim=clean", [24.06, 48.13, 72.19, 96.26], [20_260, 40_520, 60_780, 81_040]),
        ("small model.shared=true", [24.06, 48.13, 72.19, 96.26], [21_028, 21_796, 22_564, 23_332]),
        (ONE_SHOT, [96.54], [68_372]),
    ],
)
def test_cost_and_weights_of_the_configurations(name: str, millions: list[float], weights: list[int]) -> None:
    name, *overrides = name.split()
    config = read(CONFIGS / "cold_diffusion" / f"{name}.yaml", overrides)
    model = config.model.build().eval()
    assert config.training.method == "milestones"
    assert config.model.levels == len(millions)
    x = torch.randn(1, 1, 2 * model.hop_length)
    for units, (cost, used) in enumerate(zip(millions, weights, strict=True), 1):
        plan = {"steps": units}
        assert macs_per_sample(model, plan) * 16000 / 1e6 == pytest.approx(cost, abs=0.005)
        assert count_macs(model, x, plan) == macs_per_sample(model, plan) * x.numel()
        assert parameters_used(model, units) == used
    assert parameters(model) == weights[-1]
    assert model.latency_samples == 512


@every_kind
def test_a_level_uses_the_beginnings_that_it_names(config: ColdDiffusionConfig) -> None:
    model = build(config)
    x = audio(model, 6)
    for units in range(1, config.levels + 1):
        other, ends = copy.deepcopy(model), prefixes(model, units)
        with torch.no_grad():
            for name, parameter in other.named_parameters():
                if name in ends:
                    parameter[ends[name][0] :] = float("nan")
        assert torch.equal(other(x, {"steps": units}).audio, model(x, {"steps": units}).audio)
        assert len(ends) == (1 if config.shared else (config.levels - units) * len(list(names(model))))


def names(model: Any) -> Any:
    return model.backbone.nets[0].named_parameters()


# Algebra


def clips(model: Any, rows: int = 2, frames: int = 20) -> tuple[Tensor, Tensor]:
    """Noisy and clean, (row, 1, time), with nothing at the Nyquist frequency, which spectra leave out."""
    clean = audio(model, frames, rows)
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    for _ in range(3):
        clean, noise = (x + x.roll(1, 2) for x in (clean / 2, noise / 2))
    return clean + noise, clean


def all_rows(model: Any, rows: int) -> list[Tensor]:
    return [torch.arange(rows)] * model.backbone.steps


def ideal(x: Tensor, wanted: Tensor) -> Tensor:
    """The mask that makes one of another, each (batch, frame, 2, bin)."""
    x, wanted = (torch.complex(*value.unbind(2)) for value in (x, wanted))
    ratio = wanted / x
    return torch.stack([ratio.real, ratio.imag], dim=2)


def test_residuals_between_milestones_are_shares_of_the_noise() -> None:
    model = build(TINY)
    noisy, clean = clips(model)
    milestones = [noisy, *targets(model, noisy, clean)]
    assert torch.equal(milestones[-1], clean)
    steps = zip(pairwise(milestones), pairwise((1.0, *GAINS)), strict=True)
    for (before, after), (gain, next_gain) in steps:
        torch.testing.assert_close(before - after, (gain - next_gain) * (noisy - clean))


@pytest.mark.parametrize("aim", ["milestone", "clean"])
@pytest.mark.parametrize("true", [True, False])
@torch.no_grad()
def test_ideal_steps_reach_every_milestone(aim: Any, true: bool) -> None:
    """With masks that are right, each step starts from its milestone and makes what it aims at."""
    model = copy.deepcopy(build(replace(TINY, aim=aim)))
    noisy, clean = clips(model)
    state = fresh(model.features.state_shapes(), len(noisy), noisy)
    padded, speech = (
        torch.nn.functional.pad(x, (0, model.padding(x.shape[2]))).squeeze(1) for x in (noisy, clean)
    )
    _, spectrum, level, _ = model.features.steadied(padded, state)
    quiet = model.features.analyse(speech, state["past"])[0]
    started = []

    def at(gain: float) -> Tensor:
        return compress(quiet + gain * (spectrum - quiet)) / level[:, :, None, None]

    for number, net in enumerate(model.backbone.nets):

        def run(x: Tensor, *_: Any, number: int = number) -> tuple[Tensor, dict[str, Tensor]]:
            started.append(x)
            return ideal(x, at(0.0 if aim == "clean" else GAINS[number])), {}

        net.run = run
    made, aims, _ = pairs(model, noisy, clean, true, all_rows(model, len(noisy)))
    for x, gain in zip(started, (1.0, *GAINS), strict=False):
        torch.testing.assert_close(x, at(gain), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(aims, torch.cat(targets(model, noisy, clean)))
    torch.testing.assert_close(made, aims, atol=1e-3, rtol=1e-3)
    assert (noisy - clean).norm() > 0.1 * clean.norm()


def test_plain_steps_follow_the_formula() -> None:
    """x - D(s, y, t) + D(s, y, t - 1) with D(s, y, t) = s + g_t (y - s), on spectra."""
    backbone = build(KINDS["plain"]).backbone
    generator = torch.Generator().manual_seed(0)
    x, mask = torch.randn(2, 2, 5, 2, 64, generator=generator).double()

    def expanded(value: Tensor) -> Tensor:
        return value * value.square().sum(2, keepdim=True)

    before, clean = expanded(x), expanded(product(x, mask))
    for number, (gain, later) in enumerate(pairwise((1.0, *GAINS[:-1]))):
        noisy = clean + (before - clean) / gain
        expected = before - (clean + gain * (noisy - clean)) + (clean + later * (noisy - clean))
        made = expanded(product(x, backbone.onward(number, mask)))
        torch.testing.assert_close(made, expected, atol=1e-6, rtol=1e-6)


# Early stops


@pytest.mark.parametrize("masked", [False, True])
def test_steps_that_a_frame_does_not_take_hold_their_states(masked: bool) -> None:
    model = build(TINY)
    x, hop = audio(model, 12), model.hop_length
    counts = torch.tensor([[4, 4, 3, 4, 4, 2, 1, 1, 2, 1, 2, 2]])
    keep = counts_to_mask(counts, 4).requires_grad_(masked)
    state = model(x, {"steps": keep}).state
    for step, last in enumerate([12, 12, 5, 5]):  # frames until the step's last one
        early = model(x[..., : last * hop], {"steps": keep[:, :last].detach()}).state
        name = f"backbone.step.{step}.gru.0"
        torch.testing.assert_close(state[name], early[name])
        assert state[name].all()


# Training


@every_kind
@torch.no_grad()
def test_steps_from_their_own_outputs_are_the_levels(config: ColdDiffusionConfig) -> None:
    model = build(config)
    noisy, clean = clips(model)
    made, _, heard = pairs(model, noisy, clean, False, all_rows(model, 2))
    for level, part in enumerate(made.chunk(config.levels)):
        expected = model.enhance_clip(noisy, level_plan(model.sites, level))
        torch.testing.assert_close(part, expected, atol=1e-5, rtol=0)
    assert torch.equal(heard, noisy.repeat(config.levels, 1, 1))


@pytest.mark.parametrize(
    ("true", "joined", "learn"), [(True, False, {2}), (False, False, {2}), (False, True, {0, 1, 2})]
)
def test_gradients_lead_to_earlier_steps_only_where_they_are_joined(
    true: bool, joined: bool, learn: set[int]
) -> None:
    model = copy.deepcopy(build(TINY))
    noisy, clean = clips(model)
    made, _, _ = pairs(model, noisy, clean, true, all_rows(model, 2), joined)
    made.chunk(4)[2].square().sum().backward()
    for number, net in enumerate(model.backbone.nets):
        for name, parameter in net.named_parameters():
            assert (parameter.grad is not None and bool(parameter.grad.any())) == (number in learn), name


@pytest.mark.parametrize("true", [True, False])
@torch.no_grad()
def test_a_share_of_the_rows_is_that_part_of_all(true: bool) -> None:
    model = build(TINY)
    noisy, clean = clips(model, rows=4)
    parts = draw(4, 4, 0.5, torch.Generator().manual_seed(1))
    counts = torch.cat(parts).bincount(minlength=4)
    assert counts.tolist() == [2] * 4, "two steps of four for every row"
    whole = [part.chunk(4) for part in pairs(model, noisy, clean, true, all_rows(model, 4))]
    some = [part.chunk(4) for part in pairs(model, noisy, clean, true, parts)]
    for everything, drawn in zip(whole, some, strict=True):
        for every_row, row, rows in zip(everything, drawn, parts, strict=True):
            torch.testing.assert_close(row, every_row[rows], atol=1e-5, rtol=0)


def task(model: dict[str, Any], **training: Any) -> EnhancementTask:
    torch.manual_seed(0)
    sizes = {"bands": [[8, 8]], "channels": 8, "blocks": 1, "band_units": 4, "time_units": 8}
    small = {"n_fft": 128, "hop_length": 64, "channel_units": 8, **sizes, **model}
    training = {"losses": {"sdr": 1.0}, "learning_rate": 0.01, "warmup_steps": 1, **training}
    return EnhancementTask(
        parse({"system": "cold_diffusion", "model": small, "training": {"method": "milestones", **training}})
    )


def mixture() -> Mixture:
    t = torch.arange(2048) / 16000
    clean = 0.2 * torch.sin(2 * torch.pi * torch.tensor([[[300.0]], [[450.0]]]) * t)
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return Mixture(clean + noise, clean, torch.zeros(2))


@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize(
    "model", [{}, {"shared": True}, {"aim": "clean"}, {"noise_gains": [0.0]}], ids=KINDS.keys()
)
def test_training_reduces_the_loss_of_every_step(model: dict[str, Any], share: float) -> None:
    training = task(model, milestones={"true_share": share})
    optimizer = training.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(25):
        loss = training.training_step(mixture(), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1, "1 dB"
    assert all(parameter.grad.any() for parameter in training.model.parameters())


def test_what_cannot_be_is_refused() -> None:
    for gains in ([], [0.5], [0.5, 0.5, 0.0], [1.0, 0.0], [0.2, 0.4, 0.0]):
        with pytest.raises(InputError, match=re.escape(f"noise_gains is {gains}")):
            replace(TINY, noise_gains=gains)
    with pytest.raises(InputError, match="aim is 'noise'"):
        replace(TINY, aim="noise")
    with pytest.raises(InputError, match="bins must sum to 64"):
        replace(TINY, bands=((8, 4),))
    for name, value in (("true_share", 1.5), ("row_share", 0.0)):
        with pytest.raises(InputError, match=f"milestones.{name} is {value}"):
            task({}, milestones={name: value})
    with pytest.raises(InputError, match="demucs has none"):
        parse({"system": "demucs", "training": {"method": "milestones"}})


# One file


@torch.no_grad()
def test_exported_file_is_the_network(tmp_path: Path) -> None:
    """With what steps may have besides: weights that they share, and a way on that is not what they make."""
    config = replace(TINY, noise_gains=(0.4, 0.0), shared=True, aim="clean", router_channels=10)
    model = build(config)
    checkpoint.save(tmp_path / "run", "cold_diffusion", config, model.state_dict())
    export_folder(tmp_path / "run", tmp_path / "made")
    artefact = open_artefact(tmp_path / "made")
    assert [level.utilization for level in artefact.card.levels] == [0.5, 1.0]
    x = audio(model, 20)
    levels = torch.tensor([1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1])
    for given in (torch.zeros(20, dtype=torch.long), torch.ones(20, dtype=torch.long), levels):
        expected = model(x, levels_plan(model.sites, given.unsqueeze(0))).audio[0].numpy()
        assert np.abs(expected).max() > 0.01
        for calls in ([1] * 20, [3, 17]):
            step, parts, at = Step(artefact, 1), [], 0
            for frames in calls:
                samples = x[0, :, at * 64 : (at + frames) * 64].numpy()
                parts.append(step(samples, given[at : at + frames].numpy())[0].copy())
                at += frames
            np.testing.assert_allclose(np.concatenate(parts, 1), expected, atol=1e-5)
