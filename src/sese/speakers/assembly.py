"""A mixture of experts put together: copies of a generalist, and a speaker embedding as their gate."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.core.files import require_new
from sese.nn import checkpoint
from sese.nn.backbones.local_experts import LocalExpertsConfig
from sese.runtime.weights_folder import weights_folder
from sese.speakers.embedding import SpeakerNet
from sese.speakers.groups import Groups

SHARED = ("sample_rate", "n_fft", "hop_length", "level_seconds", "compression")
"""Settings that an enhancer and the embedding that gates it must share."""


def assemble(
    experts: LocalExpertsConfig, weights: dict[str, Tensor], net: SpeakerNet, groups: Groups
) -> tuple[LocalExpertsConfig, dict[str, Tensor]]:
    """Build a mixture with one expert for each group, and the embedding network as its gate.

    The gate's recurrent layers are those of the embedding. Its logits are at first the squared distances from
    the groups' centres, less what all have in common: the nearest centre has the highest.

    Args:
        experts: configuration of a generalist, which is copied, or of one expert a group, which are kept.
        weights: weights of that network; a gate of its own is left out.
        net: the embedding network.
        groups: groups of speakers, by that network's embeddings.

    Returns:
        The configuration and the weights of the mixture.

    Raises:
        InputError: parts that do not fit.
    """
    count, config = len(groups.centres), net.config
    if experts.experts not in (1, count):
        raise InputError(f"the model has {experts.experts} experts for {count} groups; give 1, or as many")
    if groups.centres.shape[1] != config.hidden:
        raise InputError(
            f"the groups' centres have {groups.centres.shape[1]} values and the embedding {config.hidden}; "
            "give the groups that were made with it"
        )
    for name in SHARED:
        if getattr(experts, name) != getattr(config, name):
            raise InputError(
                f"the model has {name} {getattr(experts, name)} and the embedding {getattr(config, name)}; "
                "train the embedding with that of the model"
            )
    made = {name: tensor for name, tensor in weights.items() if not name.startswith("policy.")}
    if experts.experts == 1:
        first = "backbone.experts.0."
        for name in [name for name in made if name.startswith(first)]:
            for number in range(1, count):
                made[f"backbone.experts.{number}.{name.removeprefix(first)}"] = made[name].clone()
    mixture = LocalExpertsConfig(
        **{name: getattr(experts, name) for name in (*SHARED, "hidden", "layers")},
        experts=count,
        gate_hidden=config.hidden,
        gate_layers=config.layers,
        gate_bands=0 if config.bands == config.n_fft // 2 else config.bands,
    )
    centres = torch.from_numpy(groups.centres).float()
    gate = recurrent_weights(net) | {
        "logits.weight": 2 * centres,
        "logits.bias": -centres.square().sum(1),
    }
    return mixture, made | {f"policy.{name}": tensor for name, tensor in gate.items()}


def recurrent_weights(net: SpeakerNet) -> dict[str, Tensor]:
    """Return the embedding's GRU layers, by the names and in the shapes that a gate has."""
    made = {}
    for layer in range(net.config.layers):
        for ours, theirs in (("input", "ih"), ("hidden", "hh")):
            weight = getattr(net.gru, f"weight_{theirs}_l{layer}").detach()
            bias = getattr(net.gru, f"bias_{theirs}_l{layer}").detach()
            made[f"recurrent.{layer}.{ours}_weight"] = weight.t().clone()[None, None]
            made[f"recurrent.{layer}.{ours}_bias"] = bias.clone()[None, None, None]
    return made


def write(model: Path, net: SpeakerNet, groups: Groups, out: Path) -> LocalExpertsConfig:
    """Read a model of experts, put the mixture together, and write it into a folder.

    Args:
        model: folder of a generalist or of experts of `local_experts`, such as a run's ``best``.
        net, groups: same as in `assemble`.
        out: folder of the mixture, new or empty, which `training.initial` takes.

    Returns:
        The mixture's configuration.

    Raises:
        InputError: another system, parts that do not fit, or a folder that holds something.
    """
    require_new(out)
    model = weights_folder(model)
    system, config = checkpoint.read_config(model)
    if not isinstance(config, LocalExpertsConfig):
        raise InputError(f"{model} is a model of {system}; give one of local_experts")
    mixture, weights = assemble(config, checkpoint.load(model).state_dict(), net, groups)
    built = mixture.build()
    built.load_state_dict(weights)  # every weight has its place
    checkpoint.save(out, system, mixture, built.state_dict())
    return mixture
