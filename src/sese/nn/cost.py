"""Cost: multiply-accumulates (MACs) a frame as a function of the plan, written once.

It is the penalty in training, the x-axis in evaluation and the budget at run time. What is counted: the
weights' products of convolutions, linear and recurrent layers and of resampling filters; not counted:
biases, activations, gate products, element-wise scaling, Fourier transforms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, kept


def macs_per_frame(model: Enhancer, plan: Plan, routed: bool = False) -> Tensor:
    """MACs that each frame runs under a plan; differentiable in relaxed masks.

    Args:
        model: the network.
        plan: what runs.
        routed: whether the model's policy made the plan, which costs as well.

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
    """Mean MACs for each sample of audio under a plan."""
    return float(macs_per_frame(model, plan).mean()) / model.hop_length


def parameters(module: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in module.parameters())


def prefixes(model: Enhancer, units: int) -> dict[str, tuple[int, ...]]:
    """What a level with `units` units uses of each weight that it uses in part: lengths from axis 0 on.

    A module that knows speaks for all that is in it.
    """
    found: dict[str, tuple[int, ...]] = {}
    known: list[str] = []
    for name, module in model.named_modules():
        if hasattr(module, "prefixes") and not name.startswith(tuple(known)):
            known.append(f"{name}.")
            found |= {f"{name}.{weight}": lengths for weight, lengths in module.prefixes(units).items()}
    return found


def parameters_used(model: Enhancer, units: int) -> int:
    """Number of weights that a level with `units` units kept touches."""
    lengths = prefixes(model, units)
    return sum(
        weight[tuple(slice(length) for length in lengths.get(name, ()))].numel()
        for name, weight in model.named_parameters()
    )
