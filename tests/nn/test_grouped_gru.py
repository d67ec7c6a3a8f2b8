from __future__ import annotations

import pytest
import torch
from torch import nn

from sese.nn.layers.grouped_gru import GroupedGRU


@pytest.mark.parametrize(("groups", "layers"), [(1, 1), (4, 1), (2, 3)])
def test_equals_a_gru_for_each_group(groups: int, layers: int):
    torch.manual_seed(0)
    batch, frames, channels = 3, 7, 16
    grouped, size = GroupedGRU(channels, groups, layers), channels // groups
    x, hidden = torch.randn(batch, frames, channels), torch.randn(batch, layers, channels)
    y, last = grouped(x, hidden)
    for group in range(groups):
        own = slice(group * size, (group + 1) * size)
        gru = nn.GRU(size, size, layers, batch_first=True)
        gru.load_state_dict(
            {
                f"{theirs}_l{layer}": getattr(grouped, ours)[layer, group].T.squeeze(1)
                for layer in range(layers)
                for theirs, ours in (
                    ("weight_ih", "input_weight"),
                    ("weight_hh", "hidden_weight"),
                    ("bias_ih", "input_bias"),
                    ("bias_hh", "hidden_bias"),
                )
            }
        )
        expected, expected_last = gru(x[..., own], hidden[..., own].transpose(0, 1).contiguous())
        torch.testing.assert_close(y[..., own], expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(last[..., own], expected_last.transpose(0, 1), atol=1e-6, rtol=1e-5)


def test_groups_do_not_hear_each_other():
    torch.manual_seed(0)
    gru = GroupedGRU(8, 2, 2)
    x = torch.randn(1, 5, 8)
    other = torch.cat([x[..., :4], torch.randn(1, 5, 4)], dim=2)
    y, y_other = (gru(signal, torch.zeros(1, 2, 8))[0] for signal in (x, other))
    assert torch.equal(y[..., :4], y_other[..., :4])
    assert not torch.allclose(y[..., 4:], y_other[..., 4:])
