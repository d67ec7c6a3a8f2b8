"""A network on disk: `config.json` beside `model.safetensors`. Plain values and tensors, never pickles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import from_json
from sese.nn.backbones.registry import SYSTEMS
from sese.nn.bounded import bounded
from sese.nn.enhancer import Enhancer

CONFIG, WEIGHTS = "config.json", "model.safetensors"
POLICY = "policy."
"""Beginning of the names of a policy's weights."""


def save(folder: Path, system: str, config: Any, weights: dict[str, Tensor]) -> None:
    """Write a network into a folder, as `write` does.

    Args:
        folder: created if missing.
        system: key of `SYSTEMS`, or the name of another kind of network.
        config: dataclass of the network's values.
        weights: the network's state dict.
    """
    write(folder, {"system": system, **dataclasses.asdict(config)}, weights)


def write(
    folder: Path,
    values: dict[str, Any],
    weights: dict[str, Tensor],
    names: tuple[str, str] = (CONFIG, WEIGHTS),
) -> None:
    """Write a configuration and weights into a folder; each file appears whole or not at all.

    Args:
        folder: created if missing.
        values: of the configuration, as JSON has them.
        weights: state dict.
        names: names of the two files.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with replacing(folder / names[1]) as part:
        save_file(tensors, part, metadata={"format": "pt"})
    with replacing(folder / names[0]) as part:
        part.write_text(json.dumps(values, indent=2) + "\n")


def read_config(folder: Path) -> tuple[str, Any]:
    """Read the name of a folder's system and its configuration.

    Raises:
        InputError: the folder has no configuration, or an invalid one.
    """
    path = folder / CONFIG
    try:
        with bounded(path):
            values = from_json(path.read_text())
            system = values.pop("system")
            return system, SYSTEMS[system](**values)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a folder with {CONFIG} and {WEIGHTS}") from None


def load(folder: Path) -> Enhancer:
    """Build the network of a folder with its weights, ready for inference.

    Raises:
        InputError: missing or corrupt files, or weights of another network.
    """
    _, config = read_config(folder)
    with bounded(folder / CONFIG):
        model = config.build()
    load_into(model, folder)
    return model.eval()


def load_into(model: Enhancer, folder: Path, new: tuple[str, ...] = ()) -> set[str]:
    """Load the weights of a folder into a network.

    Args:
        model: network.
        folder: folder with the weights.
        new: beginnings of names of weights that may be missing in the folder; these stay unchanged. With
            `POLICY` among them, a network with a policy does not take one of another kind from the folder.

    Returns:
        Names of the weights that stayed unchanged.

    Raises:
        InputError: missing or corrupt file, or weights of another network.
    """
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
        own = model.state_dict()
        policies = [{name for name in names if name.startswith(POLICY)} for names in (weights, own)]
        if POLICY in new and policies[1] and not policies[0] <= policies[1]:
            weights = {name: weight for name, weight in weights.items() if name not in policies[0]}
        fresh = (
            {name: own[name] for name in own if name not in weights and name.startswith(new)} if new else {}
        )
        model.load_state_dict(weights | fresh)
        return set(fresh)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a folder with {CONFIG} and {WEIGHTS}") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} does not hold the weights of this network: {first}") from None
