"""The policy that lets a network rest, in the form in which it is traced for one frame."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.export.forms.form import STEEP, hard_sigmoid
from sese.export.forms.recurrent import diagonal_step
from sese.nn.policies.activity import (
    HOLDS,
    LISTEN_EVERY,
    LISTEN_FRAMES,
    MISS,
    NOISE,
    QUIET_GAIN,
    SPEECH,
    SURE,
    THRESHOLDS,
    Activity,
)


def activity_step(policy: Activity, evidence: Tensor, hidden: Tensor) -> Tensor:
    """Compute the policy's next hidden state (batch, unit) from the evidence (batch, size) of a frame."""
    return diagonal_step(policy.gru, F.relu(policy.inward(evidence)), hidden)


def decide_frame(policy: Activity, hidden: Tensor, memory: Tensor, window: int) -> tuple[Tensor, ...]:
    """Compute the scores of `Activity`, and what `decide` decides but the level, for a frame of a stream.

    The rows of a batch are the channels of the stream; what is detected in any of them counts. Each row of
    the memory has the detections of its own channel.

    Args:
        policy: the policy.
        hidden: (batch, unit) of this frame.
        memory: (batch, MEMORY).
        window: as for `decide`.

    Returns:
        Whether the network is awake, whether speech is sure (each 1 or 0), the gain at rest, the probability
        of speech, (1,) each; then the next memory.
    """
    weight, bias = policy.outward.weight, policy.outward.bias
    kinds, none = [SPEECH, SPEECH, NOISE], torch.zeros_like(weight[:2])
    thresholds = torch.tensor([THRESHOLDS[SPEECH], SURE, THRESHOLDS[NOISE]])
    beyond = torch.cat([bias[kinds] - thresholds, -torch.ones(2)])  # clock and share of rest: never detected
    heard = hard_sigmoid(torch.addmm(beyond, hidden, torch.cat([weight[kinds], none]).t()), STEEP, 0.0)
    # A frame takes its part of what is left. The share of rest is one of a frame at rest at first.
    held = len(HOLDS)
    steps = torch.tensor([-1 / hold for hold in HOLDS] + [1.0, 1 / window])
    kept = torch.diag(torch.tensor([1.0] * held + [1.0, 1 - 1 / window]))
    memory = torch.maximum(torch.addmm(steps, memory, kept), heard)
    memory = memory.fmod(torch.tensor([2.0] * held + [float(LISTEN_EVERY), 2.0]))  # only the clock goes round
    # 1 from half the smallest step on, and from the clock's last frames.
    steep = torch.diag(torch.tensor([8.0 * max(HOLDS)] * held + [8.0, 0.0]))
    begins = torch.tensor([-2.0] * held + [4.0 - 8.0 * (LISTEN_EVERY - LISTEN_FRAMES), 0.0])
    present = hard_sigmoid(torch.addmm(begins, memory, steep), 1.0, 0.0).amax(0)
    speech, sure, disturbed, listens, _ = present.split(1)
    awake = torch.maximum(speech, listens) * disturbed
    memory = memory - awake * torch.tensor([0.0] * (held + 1) + [1 / window])
    gain = hard_sigmoid(disturbed, QUIET_GAIN - 1, 1.0)
    scores = torch.addmm(bias[[SPEECH]] - math.log(MISS), hidden, weight[[SPEECH]].t())
    return awake, sure, gain, torch.sigmoid(scores).amax(0), memory


def level_of_frame(
    sure: Tensor, memory: Tensor, target: Tensor, utilizations: Tensor, ceiling: Tensor
) -> Tensor:
    """Compute the level that `decide` chooses for a frame in which the network is awake.

    Args:
        sure: (1,) 1 where speech is sure, else 0.
        memory: (batch, MEMORY) after the frame.
        target, utilizations, ceiling: as for `decide`.

    Returns:
        Level (1,).
    """
    rest = memory[0, -1:]
    within = (utilizations[1:] * (1 - rest) <= target).to(sure.dtype).sum(0, keepdim=True)
    wide = torch.where(target > 0, within, float(len(utilizations) - 1)).clamp_max(ceiling)
    return (wide - torch.where(target > 0, 0.0, 1 - sure)).clamp_min(0).long()
