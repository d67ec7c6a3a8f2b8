"""Small networks on disk: `config.json`, which names the kind, beside `model.safetensors`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sese.archive import from_json
from sese.errors import InputError
from sese.nn import checkpoint
from sese.nn.bounded import bounded
from sese.nn.checkpoint import CONFIG, WEIGHTS


def save(folder: Path, config: Any, weights: dict[str, Tensor]) -> None:
    """Write a network into a folder; its configuration's class says of which kind it is."""
    checkpoint.save(folder, config.system, config, weights)


def load(folder: Path, kind: Any, called: str) -> tuple[Any, dict[str, Tensor]]:
    """The configuration and the weights of a folder, or of the folder ``best`` in it.

    Args:
        folder: of a network, or of a run.
        kind: dataclass of the configuration.
        called: what the network is, for errors.

    Raises:
        InputError: missing or corrupt files, or a network of another kind.
    """
    folder = folder if (folder / CONFIG).exists() else folder / "best"
    try:
        values = from_json((folder / CONFIG).read_text())
        if values.pop("system") != kind.system:
            raise InputError(f"{folder} holds no network that is {called}; give one of that kind")
        names = {field.name for field in dataclasses.fields(kind)}
        if set(values) != names:
            raise InputError(f"{folder / CONFIG} is not a configuration of this version; train it again")
        with bounded(folder / CONFIG):
            config = kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
        return config, load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename} does not exist; give the folder of {called}, with {CONFIG} and {WEIGHTS}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{folder} does not hold {called}: {first}") from None


def give(net: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    """Give a network its weights.

    Raises:
        InputError: they are another network's.
    """
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{folder} does not hold the weights of this network: {first}") from None
