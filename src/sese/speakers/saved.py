"""Small networks on disk: `config.json`, which names the kind, beside `model.safetensors`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.small_checkpoint import load_network
from sese.runtime.weights_folder import weights_folder

Net = TypeVar("Net", bound=nn.Module)


def save(folder: Path, net: Any) -> None:
    """Write a network into a folder; its configuration's class says of which kind it is."""
    checkpoint.save(folder, net.config.system, net.config, net.state_dict())


def load(folder: Path, kind: type[Net], sizes: Any, called: str) -> Net:
    """Load the network of a folder, or of a run's best, ready for inference.

    Args:
        folder: folder of a network or of a run.
        kind: class of the network, made from its configuration alone.
        sizes: dataclass of the configuration.
        called: name of the kind of network, for errors.

    Raises:
        InputError: missing or corrupt files, or a network of another kind or other sizes.
    """

    def build(values: dict[str, Any]) -> Net:
        if values.pop("system") != sizes.system:
            raise InputError(f"it holds no network that is {called}; give one of that kind")
        if set(values) != {field.name for field in dataclasses.fields(sizes)}:
            raise InputError("it is not a configuration of this version; train it again")
        return kind(sizes(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}))

    return load_network(weights_folder(folder), build, f"network that is {called}")
