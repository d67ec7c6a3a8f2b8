"""The policy that lets a network rest, in the form in which it is traced for one frame."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.export.forms.form import Form
from sese.export.forms.recurrent import diagonal_step
from sese.nn.policies.activity import (
    MEMORY,
    PARTS,
    QUIET_GAIN,
    Activity,
    detected,
)
from sese.nn.state import State


def decide_frame(
    scores: Tensor, memory: Tensor, target: Tensor, utilizations: Tensor, window: int, ceiling: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `decide` for one frame: what was heard lately is one product with the memory.

    Args:
        scores: (1, 2).
        memory: (1, MEMORY).
        target, utilizations, window, ceiling: as there.

    Returns:
        Level (1,), gain (1,), next memory.
    """
    joined, kinds = torch.cat([memory, detected(scores)], dim=1), len(PARTS) - 1
    lately, kept, begin = torch.zeros(MEMORY + kinds, kinds), [], 0
    for kind, size in enumerate(PARTS[:-1]):
        lately[begin : begin + size, kind] = lately[MEMORY + kind, kind] = 1.0
        kept += [*range(begin + 1, begin + size), MEMORY + kind]
        begin += size
    speech, sure, disturbed = (torch.matmul(joined, lately) > 0.5).to(scores.dtype).split(1, dim=1)
    awake = speech * disturbed
    asleep = 1 - awake
    rest = memory[:, begin:] * (1 - 1 / window) + asleep / window
    within = (utilizations[1:] * (1 - rest) <= target).to(scores.dtype).sum(1)
    wide = torch.where(target > 0, within, float(len(utilizations) - 1)).clamp_max(ceiling)
    wide = (wide - torch.where(target > 0, 0.0, 1 - sure.flatten())).clamp_min(0)
    level = (awake.flatten() * (wide + 1) - 1).long()
    gain = asleep * (1 - disturbed * (1 - QUIET_GAIN))
    after = torch.cat([joined.index_select(1, torch.tensor(kept)), rest], dim=1)
    return level, gain.flatten(), after


def _activity(layer: Activity, evidence: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Compute `Activity.forward` for one frame."""
    hidden = diagonal_step(layer.gru, F.relu(layer.inward(evidence)), state["gru"])
    return layer.outward(hidden).unsqueeze(1), hidden


def _activity_form(layer: Activity, many: bool) -> dict[str, Any]:
    return {} if many else {"forward": partial(_activity, layer)}


FORMS: dict[type[nn.Module], Form] = {Activity: _activity_form}
"""Where a network is traced for many frames, the policy is traced as it is."""
