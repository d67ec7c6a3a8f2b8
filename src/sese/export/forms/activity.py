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
    NOISE,
    QUIET_GAIN,
    SPEECH,
    SPEECH_FRAMES,
    THRESHOLDS,
    Activity,
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
    heard = (scores > scores.new_tensor(THRESHOLDS)).to(scores.dtype)
    begin, end = SPEECH_FRAMES - 1, MEMORY - 1  # of the noise in the memory
    joined = torch.cat([memory, heard], dim=1)
    lately = torch.zeros(MEMORY + 2, 2)
    lately[:begin, SPEECH] = lately[begin:end, NOISE] = 1.0
    lately[MEMORY + SPEECH, SPEECH] = lately[MEMORY + NOISE, NOISE] = 1.0
    speech, disturbed = (torch.matmul(joined, lately) > 0.5).to(scores.dtype).split(1, dim=1)
    awake = speech * disturbed
    asleep = 1 - awake
    rest = memory[:, end:] * (1 - 1 / window) + asleep / window
    within = (utilizations[1:] * (1 - rest) <= target).to(scores.dtype).sum(1)
    wide = torch.where(target > 0, within, float(len(utilizations) - 1)).clamp_max(ceiling)
    level = (awake.flatten() * (wide + 1) - 1).long()
    gain = asleep * (1 - disturbed * (1 - QUIET_GAIN))
    kept = [*range(1, begin), MEMORY + SPEECH, *range(begin + 1, end), MEMORY + NOISE]
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
