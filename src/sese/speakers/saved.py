"""Small networks on disk: `config.json`, which names the kind, beside `model.safetensors`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sese.core.errors import InputError
from sese.core.untrusted import MALFORMED, from_json
from sese.nn import checkpoint
from sese.nn.bounded import bounded
from sese.nn.checkpoint import CONFIG, WEIGHTS
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
    folder = weights_folder(folder)
    try:
        values = from_json((folder / CONFIG).read_text())
        if values.pop("system") != sizes.system:
            raise InputError(f"{folder} holds no network that is {called}; give one of that kind")
        if set(values) != {field.name for field in dataclasses.fields(sizes)}:
            raise InputError(f"{folder / CONFIG} is not a configuration of this version; train it again")
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        with bounded(folder / CONFIG):
            net = kind(sizes(**values))
        net.load_state_dict(load_file(folder / WEIGHTS))
        return net.eval()
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename} does not exist; give the folder of {called}, with {CONFIG} and {WEIGHTS}"
        ) from None
    except InputError:
        raise
    except (OSError, RuntimeError, SafetensorError, *MALFORMED) as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{folder} does not hold {called}: {first}") from None
