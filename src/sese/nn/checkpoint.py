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
from sese.nn.build import SYSTEMS
from sese.nn.enhancer import Enhancer

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save(folder: Path, system: str, config: Any, weights: dict[str, Tensor]) -> None:
    """Write a network into a folder; each file appears whole or not at all.

    Args:
        folder: made if missing.
        system: key of `SYSTEMS`.
        config: the system's dataclass.
        weights: the network's state dict.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    partial = folder / f".{WEIGHTS}.part"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / WEIGHTS)
    partial = folder / f".{CONFIG}.part"
    partial.write_text(json.dumps({"system": system, **dataclasses.asdict(config)}, indent=2) + "\n")
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
    path = folder / WEIGHTS
    model = config.build()
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a folder with {CONFIG} and {WEIGHTS}") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} does not hold the weights of its {CONFIG}: {first}") from None
    return model.eval()
