"""Optimisers of a training: AdamW, and Muon for matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
"""Share of the past in the gradient that Muon makes orthogonal."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the polynomial that drives singular values towards one, for `orthogonal`."""

ITERATIONS = 5
"""Number of times that the polynomial is applied."""

UPDATE_RMS = 0.2
"""Root mean square of an update of Muon at a learning rate of 1: about that of AdamW."""


class Muon(torch.optim.AdamW):
    """Step matrices by Muon, and all other parameters by AdamW.

    Muon replaces a matrix's averaged gradient by the nearest orthogonal matrix, so that no direction is
    learned much faster than another. A tensor of more axes is read as the matrices that `matrices` names.

    Groups with the value ``orthogonal`` are stepped by Muon. They take `lr` and `weight_decay` as AdamW does.

    Args:
        groups: Groups of parameters.
        lr: Learning rate.
        betas: Betas of AdamW.

    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024; the scale of the
        update is that of Liu et al., Muon is Scalable for LLM Training, arXiv 2502.16982, section 2.2.

    Example:
        >>> weight = torch.nn.Parameter(torch.eye(2))
        >>> weight.grad = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> Muon([{"params": [weight], "orthogonal": True, "weight_decay": 0.0}], lr=0.1).step()
        >>> bool(weight[0, 0] < 1)
        True
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.99)):
        super().__init__([{"orthogonal": False} | group for group in groups], lr=lr, betas=betas)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step.

        Args:
            closure: Function that computes the loss and the gradients, as PyTorch's optimisers take it.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["orthogonal"]:
                self._step_matrices(group)
        super().step()
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        """Step the matrices of a group, and take their gradients away, so that AdamW leaves them alone."""
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)  # AdamW looks for it in a loaded state
                state["momentum_buffer"] = torch.zeros_like(parameter)
            averaged = state["momentum_buffer"].mul_(MOMENTUM).add_(parameter.grad)
            update = parameter.grad.add(averaged, alpha=MOMENTUM)
            alike.setdefault(tuple(parameter.shape), []).append((parameter, update))
            parameter.grad = None
        for pairs in alike.values():
            updates = orthogonal(torch.stack([matrices(update) for _, update in pairs]))
            longest = max(updates.shape[-2:])
            for (parameter, _), update in zip(pairs, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                matrices(parameter).sub_(update, alpha=group["lr"] * UPDATE_RMS * longest**0.5)


def matrices(tensor: Tensor) -> Tensor:
    """View a weight as matrices (..., output, input).

    A weight (output, part, input) is one matrix for each part, as those of `nn.layers.gated` are.
    """
    return tensor.transpose(0, 1) if tensor.ndim == 3 else tensor


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate the orthogonal matrix nearest to a matrix, by Newton-Schulz iterations.

    Args:
        matrix: Matrices (..., row, column).

    Returns:
        Matrices of the same shape whose singular values lie between 0.7 and 1.2; small ones lie below.

    Example:
        >>> made = orthogonal(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> bool((made.diag() > 0.6).all() and (made.diag() < 1.3).all())
        True
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
