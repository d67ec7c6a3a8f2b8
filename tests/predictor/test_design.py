"""The published sizes, and what they cost: counts seen in the authors' figures, and PyTorch's own count."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from quality.networks import ODD, PUBLISHED, network
from sese.core.errors import InputError
from sese.predictor.design import Design


def test_the_published_network():
    assert PUBLISHED.frames == 249
    assert PUBLISHED.maps == [(32, 120, 249), (32, 60, 124), (32, 30, 62), (64, 15, 31)]
    assert PUBLISHED.parameters == 45_697
    assert sum(PUBLISHED.macs) / 1e6 == pytest.approx(102.9, abs=0.05)


def test_the_claim_of_25_times_less_memory():
    assert PUBLISHED.memory(32, 32) / PUBLISHED.memory(8, 1) == pytest.approx(25.8, abs=0.05)


@pytest.mark.parametrize("design", [PUBLISHED, ODD], ids=["published", "odd"])
def test_counts_are_those_of_the_network(design: Design):
    made = network(design)
    assert sum(p.numel() for p in made.parameters()) == design.parameters
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        maps = made.maps(torch.zeros(1, design.bands, design.frames))
        made.score(made.vector(maps[-1]))
    assert counter.get_total_flops() == 2 * sum(design.macs)
    pooled = [(channels, band // 2, frame // 2) for channels, band, frame in design.maps]
    assert [tuple(each.shape[1:]) for each in maps] == pooled


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"channels": (32, 32, 32)}, "network.channels"),
        ({"beta": 0.0}, "network.beta is 0.0"),
        ({"bands": 8}, "8 bands"),
        ({"seconds": 0.1}, "0.1 s"),
        ({"activation": "tanh"}, "'tanh'; choose relu or binary"),
        ({"pool": "min"}, "'min'; choose max or mean"),
    ],
)
def test_bad_sizes(values: dict, said: str):
    with pytest.raises(InputError, match=said):
        Design(**values)
