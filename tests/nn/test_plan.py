from __future__ import annotations

import pytest
import torch

from sese.core.errors import InputError
from sese.nn.plan import Site, Slices, check, choice_to_mask, counts_to_mask, full, resolve, utilization
from sese.nn.policies.fixed import level_plan, levels_plan

WIDTH = Site("width", (0.125, 0.125, 0.25, 0.5))
DEPTH = Site("depth", (0.5, 0.5))
EXPERT = Site("expert", (0.5, 0.5), "one_hot")


def test_full_and_level_plans():
    assert full([WIDTH, DEPTH]) == {"width": 4, "depth": 2}
    assert level_plan([WIDTH, DEPTH], 0) == {"width": 1, "depth": 1}
    assert level_plan([WIDTH, DEPTH], 2) == {"width": 3, "depth": 2}


def test_choices_become_masks():
    choice = torch.eye(3).unsqueeze(0)  # (1, frame, level)
    assert choice_to_mask(choice, WIDTH).tolist() == [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]
    relaxed = choice_to_mask(torch.tensor([[[0.2, 0.5, 0.3]]]), WIDTH)
    torch.testing.assert_close(relaxed, torch.tensor([[[1.0, 0.8, 0.3]]]))


def test_one_of_several_is_kept():
    choice = torch.eye(2).unsqueeze(0)
    assert choice_to_mask(choice, EXPERT) is choice
    assert level_plan([EXPERT], 0) == {"expert": 1}
    assert full([EXPERT]) == {"expert": 2}
    uneven = Site("expert", (0.25, 0.75), "one_hot")
    assert [utilization({"expert": keep}, [uneven]).item() for keep in (1, 2)] == [0.25, 0.75]
    assert levels_plan([uneven], torch.tensor([[1, 0]]))["expert"].tolist() == [[[0, 1], [1, 0]]]


def test_counts_become_prefixes():
    mask = counts_to_mask(torch.tensor([[1, 3], [2, 1]]), 3)
    assert mask.tolist() == [[[1, 0, 0], [1, 1, 1]], [[1, 1, 0], [1, 0, 0]]]
    assert mask.dtype == torch.float32


def test_utilization():
    assert utilization({"width": 2}, [WIDTH]).tolist() == [[0.25]]
    mask = counts_to_mask(torch.tensor([[1, 4], [3, 2]]), 4)
    assert utilization({"width": mask}, [WIDTH]).tolist() == [[0.125, 1.0], [0.5, 0.25]]
    both = utilization({"width": mask, "depth": 1}, [WIDTH, DEPTH])
    assert both.tolist() == [[0.3125, 0.75], [0.5, 0.375]]


@pytest.mark.parametrize(
    "plan",
    [
        {"width": 1},
        {"width": 4},
        {"width": torch.ones(2, 3, 4)},
        {"width": torch.ones(1, 3, 4)},
        {"width": torch.ones(2, 1, 4)},
    ],
)
def test_accepted(plan: dict):
    check(plan, [WIDTH], batch=2, frames=3)


@pytest.mark.parametrize(
    ("plan", "sites", "message"),
    [
        ({}, [WIDTH], r"names the sites \[\], the backbone has \['width'\]"),
        ({"width": 1, "depth": 1}, [WIDTH], r"\['depth', 'width'\]"),
        ({"width": 0}, [WIDTH], r"'width' \(prefix\) cannot keep 0 units; it has 1 to 4"),
        ({"width": 5}, [WIDTH], "cannot keep 5 units"),
        ({"expert": 3}, [EXPERT], r"'expert' \(one_hot\) cannot keep 3 units"),
        ({"width": torch.ones(3, 4)}, [WIDTH], r"shape \(3, 4\)"),
        (
            {"width": torch.ones(3, 3, 4)},
            [WIDTH],
            r"shape \(3, 3, 4\); expected \(batch=2 or 1, frame=3 or 1",
        ),
        ({"width": torch.ones(2, 2, 4)}, [WIDTH], r"shape \(2, 2, 4\)"),
        ({"width": torch.ones(2, 3, 5)}, [WIDTH], "5 units, not 4"),
    ],
)
def test_refused(plan: dict, sites: list, message: str):
    with pytest.raises(InputError, match=message):
        check(plan, sites, batch=2, frames=3)


def test_resolved_to_masks_only_for_gradients():
    mask = counts_to_mask(torch.tensor([[1, 4, 1]]), 4)
    relaxed = resolve(mask.clone().requires_grad_(), 2, 3)
    assert isinstance(relaxed, torch.Tensor)
    assert relaxed.shape == (2, 3, 4)
    scattered = resolve(mask, 2, 3)
    assert isinstance(scattered, Slices)
    assert {count: index.tolist() for count, index in scattered.groups} == {1: [0, 2, 3, 5], 4: [1, 4]}
    runs = resolve(counts_to_mask(torch.tensor([[3], [1]]), 4), 2, 3)
    assert runs == Slices(6, ((3, slice(0, 3)), (1, slice(3, 6))))
    assert resolve(mask[:, :1], 2, 3) == resolve(1, 2, 3) == Slices(6, ((1, None),))


@pytest.mark.parametrize("units", [[0.0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0.5, 0.5, 0, 0]])
def test_a_mask_that_is_no_prefix_is_not_sliced(units: list[float]):
    with pytest.raises(InputError, match="no prefix"):
        resolve(torch.tensor([[units]]), batch=1, frames=1)
