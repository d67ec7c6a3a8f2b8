"""Tests that every system must pass, as one class: parametrise a subclass over configurations.

A configuration is a frozen dataclass with `build()`, as in `sese.nn.backbones`; the enhancer that it builds
has random weights here. The checks know nothing of what is inside.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.backbones.registry import SYSTEMS
from sese.nn.cost import macs_per_frame, macs_per_sample
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, Site, counts_to_mask, full, utilization
from sese.nn.policies.budget import budget
from sese.nn.policies.choice import Choose, best, gumbel
from sese.nn.policies.fixed import level_plan, level_plans
from sese.nn.policies.router import Router
from sese.nn.state import fresh

TOLERANCE = 1e-5  # of outputs that peak at 0.3 and more


class BackboneContract:
    """Each test takes `config`, a configuration of a system."""

    # Time

    def test_output_depends_on_no_later_frame(self, config: Any) -> None:
        model = build(config)
        hop = model.hop_length
        frames = 6 + seen_ahead(model)
        x, plan = audio(model, frames), random_plan(model, 1, frames)
        before = model(x, plan).audio
        for t in (0, hop - 1, 3 * hop, 5 * hop + hop // 2):
            changed = x.clone()
            changed[..., t] += 0.5
            after = model(changed, plan).audio
            heard = t // hop * hop  # the frame that contains t, and all that follow, may change
            assert torch.equal(after[..., :heard], before[..., :heard])
            assert not torch.equal(after[..., heard:], before[..., heard:])

    def test_aligned_output_depends_on_nothing_beyond_the_latency(self, config: Any) -> None:
        model = build(config)
        assert model.latency_samples == model.lookahead_samples + model.hop_length
        time = 6 * model.hop_length
        x = audio(model, 6)
        before = model.enhance_clip(x)
        for t in (model.latency_samples, time - 1):
            changed = x.clone()
            changed[..., t:] = 0.0
            safe = t - model.latency_samples + 1  # what must leave before sample t arrives
            after = model.enhance_clip(changed)  # where a router changes its mind, sums are rounded otherwise
            torch.testing.assert_close(after[..., :safe], before[..., :safe], atol=1e-6, rtol=0)

    def test_a_decision_acts_from_its_frame_on(self, config: Any) -> None:
        model = build(config)
        frames = 5 + seen_ahead(model)
        x, plan = audio(model, frames), random_plan(model, 1, frames)
        before = model(x, plan).audio
        changed = {name: keep.clone() for name, keep in plan.items()}
        for site in model.sites:
            changed[site.name][:, 3:] = random_plan(model, 1, frames, seed=3)[site.name][:, 3:]
        after, heard = model(x, changed).audio, 3 * model.hop_length
        assert torch.equal(after[..., :heard], before[..., :heard])
        assert not torch.equal(after[..., heard:], before[..., heard:])

    def test_chunked_equals_whole(self, config: Any) -> None:
        model = build(config)
        frames = 13
        x, plan = audio(model, frames, batch=2), random_plan(model, 2, frames)
        whole = model(x, plan)
        for chunks in ([1] * 13, [3, 3, 3, 3, 1], [5, 1, 7], [2, 11], [13]):
            outputs, state, first = [], None, 0
            for length in chunks:
                span = slice(first, first + length)
                samples = x[..., first * model.hop_length : (first + length) * model.hop_length]
                part = model(samples, {name: keep[:, span] for name, keep in plan.items()}, state)
                outputs.append(part.audio)
                state, first = part.state, first + length
            torch.testing.assert_close(torch.cat(outputs, -1), whole.audio, atol=TOLERANCE, rtol=0)
            for name, value in whole.state.items():
                torch.testing.assert_close(state[name], value, atol=10 * TOLERANCE, rtol=1e-4)

    def test_clips_of_any_length_keep_it_and_their_tail(self, config: Any) -> None:
        model = build(config)
        hop = model.hop_length
        for time in (1, hop - 1, hop, hop + 1, 1000):
            clip = audio(model, 1000 // hop + 2)[..., :time]
            enhanced = model.enhance_clip(clip)
            assert enhanced.shape == clip.shape
            longer = model.enhance_clip(torch.nn.functional.pad(clip, (0, 2 * hop + 7)))
            torch.testing.assert_close(enhanced, longer[..., :time], atol=TOLERANCE, rtol=0)
            assert torch.equal(model.enhance_clip(clip), enhanced), "a call leaves nothing behind"
            assert model.frames(time) * hop == time + model.padding(time)

    # State

    def test_state_is_as_declared_and_starts_at_zero(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 4, batch=3)
        after = model(x).state
        assert {name: tuple(value.shape) for name, value in after.items()} == {
            name: (3, *shape) for name, shape in model.state_shapes().items()
        }
        given = fresh(model.state_shapes(), 3, x)
        assert torch.equal(model(x, state=given).audio, model(x).audio)
        assert not any(value.any() for value in given.values()), "the state handed in is left as it was"

    def test_reset_rows_equal_fresh_ones(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 10, batch=3)
        head, tail = x.split([4 * model.hop_length, 6 * model.hop_length], dim=2)
        state = model(head).state
        reset = {name: value.clone() for name, value in state.items()}
        for value in reset.values():
            value[1] = 0
        new = model(tail, state=reset).audio
        torch.testing.assert_close(new[1], model(tail[1:2]).audio[0], atol=TOLERANCE, rtol=0)
        # Rows that run alike share a product, so who else is in it may change the rounding.
        kept = model(tail, state=state).audio[[0, 2]]
        torch.testing.assert_close(new[[0, 2]], kept, atol=TOLERANCE, rtol=0)
        assert not torch.allclose(new[1], model(tail, state=state).audio[1], atol=1e-4), "rows do remember"

    def test_frozen_rows_do_not_advance(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 9, batch=2)
        first, missed, last = x.split(3 * model.hop_length, dim=2)
        before = model(first).state
        after = model(missed, state=before).state
        state = {name: torch.stack([before[name][0], after[name][1]]) for name in after}
        resumed = model(last, state=state).audio
        for row, state in enumerate((before, after)):
            expected = model(last, state=state).audio[row]
            torch.testing.assert_close(resumed[row], expected, atol=TOLERANCE, rtol=0)
        assert not torch.allclose(resumed[0], model(last, state=after).audio[0], atol=1e-4), (
            "rows do remember"
        )

    # Plans

    def test_masked_equals_sliced(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 12, batch=3)
        for plan in plans(model, 3, 12):
            masked = model(x, {name: keep.clone().requires_grad_() for name, keep in plan.items()}).audio
            assert masked.requires_grad
            torch.testing.assert_close(masked, model(x, plan).audio, atol=1e-6, rtol=0)

    def test_counts_equal_masks_and_levels_differ(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 5, batch=2)
        outputs = []
        for level in range(levels(model)):
            plan = level_plan(model.sites, level)
            outputs.append(model(x, plan).audio)
            for batch, frames in ((2, 5), (1, 5), (2, 1), (1, 1)):
                masks = as_masks(model, plan, batch, frames)
                torch.testing.assert_close(model(x, masks).audio, outputs[-1], atol=1e-6, rtol=0)
        if model.policy is None:
            assert torch.equal(model(x).audio, outputs[-1]), "without a plan everything runs"
        for one, next_one in itertools.pairwise(outputs):
            assert not torch.allclose(one, next_one, atol=1e-4)

    def test_levels_together_equal_each_alone(self, config: Any) -> None:
        model = build(config)
        clip = audio(model, 7, batch=2)[..., : 6 * model.hop_length + 1]
        plans = level_plans(model)
        wanted = list(range(len(plans)))[::-2]
        for level, made in zip(wanted, model.enhance_levels(clip, wanted), strict=True):
            expected = model.enhance_clip(clip, plans[level])
            torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)

    def test_a_row_is_served_by_its_own_plan(self, config: Any) -> None:
        model = build(config)
        x, plan = audio(model, 6, batch=3), random_plan(model, 3, 6)
        together = model(x, plan).audio
        for row in range(3):
            alone = model(x[row : row + 1], {name: keep[row : row + 1] for name, keep in plan.items()}).audio
            torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=0)

    def test_gradients_reach_every_mask(self, config: Any) -> None:
        model = build(config)
        frames = 5 + seen_ahead(model)
        plan = {name: keep.requires_grad_() for name, keep in random_plan(model, 2, frames).items()}
        model(audio(model, frames, batch=2), plan).audio.square().sum().backward()
        for keep in plan.values():
            assert torch.isfinite(keep.grad).all()
            assert (keep.grad[:, :5] != 0).all(), "the choice of every unit in every frame matters"

    # Cost

    def test_cost_is_what_runs(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 6, batch=2)
        executed = []
        for level in range(levels(model)):
            plan = level_plan(model.sites, level)
            executed.append(count_macs(model, x, plan))
            assert executed[-1] == macs_per_sample(model, plan) * x.numel()
        if alternatives(model):
            assert len(set(executed)) == 1, "experts are as large as each other"
        else:
            assert executed == sorted(set(executed)), "a lower level runs less"
        for plan in plans(model, 2, 6):
            assert count_macs(model, x, plan) == macs_per_frame(model, plan).sum()
            assert macs_per_sample(model, plan) * x.numel() == pytest.approx(count_macs(model, x, plan))

    def test_cost_never_falls_when_a_unit_is_added(self, config: Any) -> None:
        model = build(config)
        for site in model.sites:
            others = {other.name: other.units for other in model.sites}
            costs = [
                macs_per_sample(model, others | {site.name: count}) for count in range(1, site.units + 1)
            ]
            assert costs == sorted(costs)
            shares = [
                float(utilization(others | {site.name: c}, model.sites)) for c in range(1, site.units + 1)
            ]
            assert shares == sorted(shares)
            assert shares[-1] == pytest.approx(1 / site.units if alternatives(model) else 1)

    def test_cost_is_differentiable_in_masks(self, config: Any) -> None:
        model = build(config)
        plan = {name: keep.requires_grad_() for name, keep in random_plan(model, 2, 3).items()}
        macs_per_frame(model, plan).sum().backward()
        adds = model.macs()[1]
        for name, keep in plan.items():
            assert torch.equal(keep.grad, torch.tensor(adds[name]).float().expand(2, 3, -1))

    # On disk

    def test_saved_and_loaded_is_the_same(self, config: Any, tmp_path: Path) -> None:
        model = build(config)
        x, plan = audio(model, 6), random_plan(model, 1, 6)
        system = next(name for name, kind in SYSTEMS.items() if isinstance(config, kind))
        checkpoint.save(tmp_path / "model", system, config, model.state_dict())
        assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
            "config.json",
            "model.safetensors",
        ]
        assert checkpoint.read_config(tmp_path / "model") == (system, config)
        loaded = checkpoint.load(tmp_path / "model")
        assert not loaded.training
        assert torch.equal(loaded(x, plan).audio, model(x, plan).audio)

    def test_configuration_keeps_what_it_was_given(self, config: Any) -> None:
        values = dataclasses.asdict(config)
        again = type(config)(**values)
        assert again == config
        again.build()
        assert dataclasses.asdict(again) == values

    # What is refused

    def test_refused_shapes_carry_the_value(self, config: Any) -> None:
        model = build(config)
        hop = model.hop_length
        for shape in ((hop,), (1, hop), (1, 2, hop), (2, 1, hop + 1), (1, 1, 0), (1, 1, 1, hop)):
            with pytest.raises(InputError, match=re.escape(str(shape))) as refused:
                model(torch.zeros(shape))
            assert str(hop) in str(refused.value)

    def test_refused_plans_say_what_and_where(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 4, batch=3)
        good = random_plan(model, 3, 4)
        with pytest.raises(InputError, match="nowhere"):
            model(x, good | {"nowhere": 1})
        with pytest.raises(InputError, match=re.escape("[]")):
            model(x, {})
        for site in model.sites:
            units = site.units
            for count in (0, -1, units + 1):
                with pytest.raises(InputError, match=f"'{site.name}'.* {count} units"):
                    model(x, good | {site.name: count})
            for shape in ((4, units), (2, 4, units), (3, 5, units)):
                with pytest.raises(InputError, match=re.escape(str(shape))):
                    model(x, good | {site.name: torch.ones(shape)})
            with pytest.raises(InputError, match=f"'{site.name}' has {units + 1} units"):
                model(x, good | {site.name: torch.ones(3, 4, units + 1)})

    # Level

    def test_louder_in_louder_out(self, config: Any) -> None:
        model = build(config)
        x = 0.5 * audio(model, 12)
        once, fourfold = model(x).audio, model(4 * x).audio
        assert (fourfold - 4 * once).norm() < 0.05 * fourfold.norm(), "up to the floor of the level"

    def test_silence_in_is_near_silence_out(self, config: Any) -> None:
        model = build(config)
        quiet = model(torch.zeros(1, 1, 8 * model.hop_length)).audio
        assert torch.isfinite(quiet).all()
        assert quiet.abs().max() < 0.01 * model(audio(model, 8)).audio.abs().max()


class PolicyContract(BackboneContract):
    """Further tests that a system with a policy must pass."""

    def choices(self, model: Enhancer) -> dict[str, Choose]:
        """The ways in which a level is chosen where a model runs."""
        if alternatives(model):  # whose costs are the same: there is nothing to hold
            return {"best": best}
        used = torch.tensor(model.sites[0].shares).cumsum(0)
        return {"best": best, **{f"held {t}": budget(t, used, 100) for t in (0.3, 0.6)}}

    def test_choices_depend_on_no_later_frame(self, config: Any) -> None:
        model = build(config)
        x, frames = audio(model, 20), 20
        for choose in self.choices(model).values():
            before = decided(model, model(x, choose=choose).plan)
            for frame in (3, 11):
                changed = x.clone()
                changed[..., frame * model.hop_length :] = audio(model, frames - frame).flip(2)
                after = decided(model, model(changed, choose=choose).plan)
                assert torch.equal(after[:, :frame], before[:, :frame])

    def test_chosen_chunked_equals_whole(self, config: Any) -> None:
        model = build(config)
        frames = 24
        x = audio(model, frames, batch=2)
        for name, choose in self.choices(model).items():
            whole = model(x, choose=choose)
            used = decided(model, whole.plan)
            assert len(used.unique()) > 1, f"{name}: levels change"
            for length in (1, 5, 7):
                outputs, plans, state = [], [], None
                for samples in x.split(length * model.hop_length, dim=2):
                    part = model(samples, None, state, choose)
                    outputs.append(part.audio)
                    plans.append(decided(model, part.plan))
                    state = part.state
                assert torch.equal(torch.cat(plans, 1), used)
                torch.testing.assert_close(torch.cat(outputs, -1), whole.audio, atol=TOLERANCE, rtol=0)

    def test_drawn_masks_equal_slices(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 12, batch=3)
        drawn = model(x, choose=gumbel(1.0, torch.Generator().manual_seed(0)))
        assert all(keep.requires_grad for keep in drawn.plan.values())
        plan = {name: keep.detach().round() for name, keep in drawn.plan.items()}
        torch.testing.assert_close(drawn.audio, model(x, plan).audio, atol=1e-6, rtol=0)

    def test_cost_with_the_policy_is_what_runs(self, config: Any) -> None:
        model = build(config)
        x = audio(model, 8, batch=2)
        plan = model(x).plan
        assert count_macs(model, x, None) == macs_per_frame(model, plan, routed=True).sum()
        assert count_macs(model, x, plan) == macs_per_frame(model, plan).sum()


@functools.lru_cache
def build(config: Any) -> Enhancer:
    """The system with random weights, the same each time.

    Biases drown the signal in some networks that are freshly made; there no check would mean much. So the
    weights are raised until another input gives another output. A router that is freshly made may prefer one
    level whatever it hears; its scores are made even on average.
    """
    torch.manual_seed(0)
    model = config.build().eval()
    x = audio(model, 8 + seen_ahead(model))
    with torch.no_grad():
        for _ in range(10):
            y, other = (model(signal, full(model.sites)).audio for signal in (x, x.flip(2)))
            if (y - other).norm() > 0.3 * y.norm():
                if isinstance(model.policy, Router):
                    scores = model(audio(model, 24, batch=2)).scores
                    assert scores is not None
                    model.policy.pointwise.bias -= scores.mean((0, 1))
                return model
            for parameter in model.parameters():
                parameter *= 1.25
    raise AssertionError("the output hardly depends on the input")


def audio(model: Enhancer, frames: int, batch: int = 1) -> Tensor:
    """Noise whose level changes from frame to frame: (batch, 1, time)."""
    generator = torch.Generator().manual_seed(1)
    levels = 0.05 + 0.15 * torch.rand(batch, 1, frames, 1, generator=generator)
    return (levels * torch.randn(batch, 1, frames, model.hop_length, generator=generator)).flatten(2)


def levels(model: Enhancer) -> int:
    return max(site.units for site in model.sites)


def seen_ahead(model: Enhancer) -> int:
    """Frames after which all that a frame makes has come out."""
    return -(-model.latency_samples // model.hop_length)


def random_plan(model: Enhancer, batch: int, frames: int, seed: int = 2) -> dict[str, Tensor]:
    """Masks that change with row and frame; every count occurs where there is room for it."""
    generator = torch.Generator().manual_seed(seed)
    plan = {}
    for site in model.sites:
        counts = torch.randperm(batch * frames, generator=generator) % site.units + 1
        plan[site.name] = as_mask(counts.view(batch, frames), site)
    return plan


def plans(model: Enhancer, batch: int, frames: int) -> list[dict[str, Tensor]]:
    """Random plans, and two where a count serves frames that follow each other."""
    found = [random_plan(model, batch, frames, seed) for seed in range(3)]
    for falling in (False, True):
        runs = {}
        for site in model.sites:
            counts = torch.arange(batch * frames) * site.units // (batch * frames) + 1
            counts = counts.flip(0) if falling else counts
            runs[site.name] = as_mask(counts.view(batch, frames), site)
        found.append(runs)
    return found


def as_masks(model: Enhancer, plan: Plan, batch: int, frames: int) -> dict[str, Tensor]:
    counts = {site.name: torch.full((batch, frames), int(plan[site.name])) for site in model.sites}
    return {site.name: as_mask(counts[site.name], site) for site in model.sites}


def as_mask(counts: Tensor, site: Site) -> Tensor:
    """Masks from what an int would say: (batch, frame) -> (batch, frame, unit)."""
    if site.kind == "one_hot":
        return torch.nn.functional.one_hot(counts - 1, site.units).float()
    return counts_to_mask(counts, site.units)


def alternatives(model: Enhancer) -> bool:
    """Whether levels are one beside the other, and none within another."""
    return any(site.kind == "one_hot" for site in model.sites)


def decided(model: Enhancer, plan: Plan) -> Tensor:
    """Return the choice of each frame, (batch, frame): its utilization, or its level if all cost the same."""
    if alternatives(model):
        keep = plan[model.sites[0].name]
        assert isinstance(keep, Tensor)
        return keep.argmax(-1)
    return utilization(plan, model.sites)


def count_macs(model: Enhancer, x: Tensor, plan: Plan | None) -> int:
    """Multiply-accumulates that PyTorch executes."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x, plan)
    return counter.get_total_flops() // 2
