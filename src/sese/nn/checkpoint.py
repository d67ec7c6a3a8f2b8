"""A network on disk: `config.json` beside `model.safetensors`. Plain values and tensors, never pickles."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sese.errors import InputError
from sese.nn.enhancer import Enhancer
from sese.nn.systems.registry import SYSTEMS

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save(folder: Path, system: str, config: Any, weights: dict[str, Tensor]) -> None:
    """Write a network into a folder, as `write` does.

    Args:
        folder: made if missing.
        system: key of `SYSTEMS`, or what another kind of network calls itself.
        config: dataclass of the network's values.
        weights: the network's state dict.
    """
    write(folder, {"system": system, **dataclasses.asdict(config)}, weights)


def write(folder: Path, values: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Write a configuration and weights into a folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    partial = folder / f".{WEIGHTS}.part"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / WEIGHTS)
    partial = folder / f".{CONFIG}.part"
    partial.write_text(json.dumps(values, indent=2) + "\n")
    os.replace(partial, folder / CONFIG)


def read_config(folder: Path) -> tuple[str, Any]:
    """The system's name and its configuration.

    Raises:
        InputError: no configuration there, or one that is not understood.
    """
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text())
        system = values.pop("system")
        return system, SYSTEMS[system](**values)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a folder with {CONFIG} and {WEIGHTS}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a configuration of this version: {error!r}") from None


def load(folder: Path) -> Enhancer:
    """Build the network of a folder and give it its weights, ready for inference.

    Raises:
        InputError: missing or corrupt files, or weights of another network.
    """
    _, config = read_config(folder)
    model = config.build()
    load_into(model, folder)
    return model.eval()


def load_into(model: Enhancer, folder: Path, new: tuple[str, ...] = ()) -> set[str]:
    """Give a network the weights of a folder.

    Args:
        model: the network.
        folder: holds the weights.
        new: beginnings of names of weights that may be missing there; they stay as they are.

    Returns:
        Names of those that stayed.

    Raises:
        InputError: missing or corrupt file, or weights of another network.
    """
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
        own = model.state_dict()
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
