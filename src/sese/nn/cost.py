"""Cost: multiply-accumulates (MACs) of a frame as a function of the plan, written once.

It is the penalty in training, the x-axis in evaluation and the budget at run time. It counts the products
with the weights of convolutions, linear and recurrent layers and resampling filters. It does not count
biases, activations, products of gates, element-wise scaling and Fourier transforms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, kept


def macs_per_frame(model: Enhancer, plan: Plan, routed: bool = False) -> Tensor:
    """Return the MACs that each frame runs under a plan; differentiable in relaxed masks.

    Args:
        model: network.
        plan: what runs.
        routed: whether to add the MACs of the model's policy, which decided on the plan.

    Returns:
        (batch, frame); both of size 1 for a plan of ints.
    """
    static, units = model.macs()
    policy = model.policy.macs() if routed and model.policy is not None else 0
    total = torch.tensor([[float(static + policy)]])
    for site in model.sites:
        keep, adds = plan[site.name], units[site.name]
        if isinstance(keep, int):
            total = total + kept(adds, keep, site)
        else:
            total = total.to(keep.device) + (keep * keep.new_tensor([float(a) for a in adds])).sum(-1)
    return total


def macs_per_sample(model: Enhancer, plan: Plan) -> float:
    """Return the mean MACs of a sample of audio under a plan."""
    return float(macs_per_frame(model, plan).mean()) / model.hop_length


def parameters(module: nn.Module) -> int:
    """Return the number of weights of a module.

    Example:
        >>> parameters(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in module.parameters())


def prefixes(model: Enhancer, units: int) -> dict[str, tuple[int, ...]]:
    """Return the lengths, from axis 0 on, of each weight that a level uses in part.

    A module with a method `prefixes` answers for all modules in it.

    Args:
        model: network.
        units: number of units that the level keeps.

    Returns:
        Name of a weight -> lengths.
    """
    found: dict[str, tuple[int, ...]] = {}
    known: list[str] = []
    for name, module in model.named_modules():
        if hasattr(module, "prefixes") and not name.startswith(tuple(known)):
            known.append(f"{name}.")
            found |= {f"{name}.{weight}": lengths for weight, lengths in module.prefixes(units).items()}
    return found


def parameters_used(model: Enhancer, units: int) -> int:
    """Return the number of weights that a level with `units` kept units uses."""
    lengths = prefixes(model, units)
    return sum(
        weight[tuple(slice(length) for length in lengths.get(name, ()))].numel()
        for name, weight in model.named_parameters()
    )
