"""Any plan of any backbone: what it costs is what runs, more is never cheaper, and masks are slices."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract import as_mask, audio, build, count_macs
from nn.test_contract import ROUTED, SYSTEMS
from sese.nn.cost import macs_per_frame
from sese.nn.enhancer import Enhancer
from sese.nn.plan import (
    Plan,
    Site,
    Slices,
    check,
    choice_to_mask,
    counts_to_mask,
    full,
    kept,
    resolve,
    utilization,
)
from sese.nn.policies.budget import budget

FEWER = max(1, settings().max_examples // 4)
NETWORKS = {**SYSTEMS, **{name: ROUTED[name] for name in ("demucs-router", "local-experts-gate")}}


@functools.cache
def network(name: str) -> Enhancer:
    return build(NETWORKS[name])


def counts_of(sites: tuple[Site, ...], batch: int, frames: int) -> st.SearchStrategy[dict[str, Tensor]]:
    """For each site how many units, or which, each row keeps in each frame: (batch, frame)."""

    def one(site: Site) -> st.SearchStrategy[Tensor]:
        size = batch * frames
        lists = st.lists(st.integers(1, site.units), min_size=size, max_size=size)
        steady = st.integers(1, site.units).map(lambda count: [count] * size)
        return (lists | steady).map(lambda counts: torch.tensor(counts).view(batch, frames))

    return st.fixed_dictionaries({site.name: one(site) for site in sites})


def masks(sites: tuple[Site, ...], counts: dict[str, Tensor]) -> dict[str, Tensor]:
    return {site.name: as_mask(counts[site.name], site) for site in sites}


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=FEWER)
@given(data=st.data(), batch=st.integers(1, 3), frames=st.integers(1, 6))
def test_the_cost_is_what_runs(name: str, data: st.DataObject, batch: int, frames: int) -> None:
    model = network(name)
    sites = tuple(model.sites)
    counts = data.draw(counts_of(sites, batch, frames), "counts")
    plan = masks(sites, counts)
    check(plan, sites, batch, frames)
    cost = macs_per_frame(model, plan)
    assert count_macs(model, audio(model, frames, batch), plan) == cost.sum()
    for row in range(batch):
        for frame in range(frames):
            alone: Plan = {site.name: int(counts[site.name][row, frame]) for site in sites}
            assert macs_per_frame(model, alone).item() == cost[row, frame]
            torch.testing.assert_close(
                utilization(alone, sites).squeeze(), utilization(plan, sites)[row, frame]
            )


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=FEWER)
@given(data=st.data())
def test_more_is_never_cheaper(name: str, data: st.DataObject) -> None:
    model = network(name)
    sites = tuple(model.sites)
    some, others = (data.draw(counts_of(sites, 1, 3), which) for which in ("some", "others"))
    if any(site.kind == "one_hot" for site in sites):  # which cost the same, whichever runs
        assert macs_per_frame(model, masks(sites, some)).unique().numel() == 1
        return
    more = {name: torch.maximum(count, others[name]) for name, count in some.items()}
    less, enough = masks(sites, some), masks(sites, more)
    assert (macs_per_frame(model, less) <= macs_per_frame(model, enough)).all()
    assert (utilization(less, sites) <= utilization(enough, sites) + 1e-6).all()
    assert (utilization(enough, sites) <= utilization(full(sites), sites) + 1e-6).all()
    assert (utilization(less, sites) > 0).all()


@given(
    data=st.data(), weights=st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1)
)
def test_a_mixture_of_plans_costs_the_mixture(data: st.DataObject, weights: list[float]) -> None:
    """The cost is linear in the plan, so a penalty on the expected plan is one on the expected cost."""
    model = network("demucs-router")
    sites = tuple(model.sites)
    shares = torch.tensor(weights) / sum(weights)
    plans = [masks(sites, data.draw(counts_of(sites, 2, 4), "counts")) for _ in weights]
    mixed = {
        site.name: sum(share * plan[site.name] for share, plan in zip(shares, plans, strict=True))
        for site in sites
    }
    for measure in (lambda plan: macs_per_frame(model, plan), lambda plan: utilization(plan, sites)):
        expected = sum(share * measure(plan) for share, plan in zip(shares, plans, strict=True))
        torch.testing.assert_close(measure(mixed), expected, rtol=1e-5, atol=1e-6)


@st.composite
def sites_(draw: st.DrawFn) -> Site:
    shares = draw(st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
    kind = draw(st.sampled_from(["prefix", "any", "one_hot"]))
    return Site("site", tuple(share / sum(shares) for share in shares), kind)


@given(data=st.data(), site=sites_(), batch=st.integers(1, 3), frames=st.integers(1, 8))
def test_choices_counts_and_masks_say_the_same(
    data: st.DataObject, site: Site, batch: int, frames: int
) -> None:
    counts = data.draw(counts_of((site,), batch, frames), "counts")["site"]
    choice = torch.nn.functional.one_hot(counts - 1, site.units).float()
    mask = choice_to_mask(choice, site)
    assert torch.equal(mask, as_mask(counts, site))
    expected = torch.tensor([[kept(site.shares, int(count), site) for count in row] for row in counts])
    torch.testing.assert_close(utilization({"site": mask}, [site]), expected)


@given(data=st.data(), units=st.integers(1, 6), batch=st.integers(1, 3), frames=st.integers(1, 8))
def test_slices_serve_each_frame_once_at_its_count(
    data: st.DataObject, units: int, batch: int, frames: int
) -> None:
    counts = data.draw(counts_of((Site("site", (1 / units,) * units),), batch, frames), "counts")["site"]
    slices = resolve(counts_to_mask(counts, units), batch, frames)
    assert isinstance(slices, Slices)
    served = torch.zeros(batch * frames, dtype=torch.int64)
    for count, where in slices.groups:
        where = slice(None) if where is None else where
        assert (served[where] == 0).all()
        served[where] = count
    assert torch.equal(served, counts.flatten())


@settings(max_examples=max(1, FEWER // 2))
@given(data=st.data(), target=st.floats(0.15, 0.95), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**31))
def test_a_price_holds_the_mean_whatever_the_scores(
    data: st.DataObject, target: float, scale: float, seed: int
) -> None:
    """`nn/policies/budget.py` over 40 s, in a window of 30 s: within 5 %, be the scores what they may."""
    used = torch.tensor([0.1, 0.3, 0.55, 1.0])
    frames = 2500
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(1, frames, 4, generator=generator)
    scores = (
        scores * torch.linspace(0.2, 2, frames)[None, :, None]
        + data.draw(st.floats(-2, 2), "lean") * scale * used
    )
    chosen, _ = budget(target, used, 1875)(scores, torch.zeros(1, 4))
    spent = (chosen * used).sum(-1)[0]
    mean = spent.cumsum(0) / torch.arange(1, frames + 1)
    assert (mean[250:1875] / target - 1).abs().max() < 0.06
