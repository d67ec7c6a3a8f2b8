"""The passage of the late input through a network on samples, in the forms in which it is traced.

For one frame there is a form for each of three cases, since most of `Backbone.at_rest` is not needed then.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sese.nn.backbones.demucs import Demucs, fade
from sese.nn.parts import Backbone
from sese.nn.state import State, delay

Mix = Callable[[Backbone, Tensor, Tensor, Tensor, State], tuple[Tensor, dict[str, Tensor]]]
"""(backbone, hidden, signal, gain, state) -> as from `Backbone.at_rest`."""


def at_rest(
    backbone: Backbone, hidden: Tensor, signal: Tensor, gain: Tensor, state: State
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute `Backbone.at_rest` for any number of frames."""
    return backbone.at_rest(hidden, signal, gain, state)


def after_rest(
    backbone: Backbone, hidden: Tensor, signal: Tensor, gain: Tensor, state: State
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute it for one frame that is awake."""
    return backbone.at_rest(hidden, signal, torch.zeros(1, 1), state)


def settled(
    backbone: Backbone, hidden: Tensor, signal: Tensor, gain: Tensor, state: State
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute it for one frame that is awake, as the two before it: the output is the network's."""
    if not state:
        return hidden, {}
    _, passed = delay(state["passed"], signal)
    return hidden, {"passed": passed, "rest": torch.cat([state["rest"][:, :2], hidden[:, -1:]], dim=1)}


def resting(
    backbone: Backbone, hidden: Tensor, signal: Tensor, gain: Tensor, state: State
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute it for one frame at rest, as products of few values with matrices over its samples."""
    assert isinstance(backbone, Demucs)
    late, passed = delay(state["passed"], signal)
    size = backbone.frame_samples
    ramp = torch.arange(1, size + 1) / size
    before, _, last = state["rest"].split(1, dim=1)
    gain = gain.expand(late.shape[0], -1)
    known = before > 0
    y = late * (torch.cat([torch.where(known, before, gain), gain], dim=1) @ torch.stack([1 - ramp, ramp]))
    step = torch.where(known, 0.0, last - y[:, :1])
    y = torch.addmm(y, step, fade(size).unsqueeze(0))
    return y, {"passed": passed, "rest": torch.cat([gain, gain, y[:, -1:]], dim=1)}
