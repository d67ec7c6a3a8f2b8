"""Choices: from a policy's scores to a level for every frame.

A choice is an argument, apart from the policy that scores: training, inference and a budget
(`policies.budget`) differ in it alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Choose = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(scores (batch, frame, level), memory (batch, value)) -> one-hot choice (batch, frame, level), memory."""


def best(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Choose the level with the best score in every frame.

    Args:
        scores: (batch, frame, level).
        memory: (batch, value), returned as it is.

    Example:
        >>> best(torch.tensor([[[0.1, 0.9]]]), torch.zeros(1, 4))[0]
        tensor([[[0., 1.]]])
    """
    return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype), memory


def gumbel(temperature: float, generator: torch.Generator | None = None) -> Choose:
    """Return a random choice for training, by Gumbel-softmax (Jang et al., arXiv 1611.01144).

    The choice is hard in the forward pass; its gradient is that of the relaxed choice.

    Args:
        temperature: of the softmax, above 0; lower is closer to the hard choice.
        generator: on the CPU; makes the choice repeatable.
    """

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        uniform = torch.rand(scores.shape, generator=generator).clamp(1e-9, 1 - 1e-7).to(scores.device)
        soft = torch.softmax((scores - torch.log(-torch.log(uniform))) / temperature, dim=-1)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        return hard - soft.detach() + soft, memory

    return choose
