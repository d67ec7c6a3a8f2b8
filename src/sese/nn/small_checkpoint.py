"""Load small networks from files that may be missing, damaged or hostile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sese.core.errors import InputError
from sese.core.untrusted import MALFORMED, from_json
from sese.nn.bounded import bounded
from sese.nn.checkpoint import CONFIG, WEIGHTS

Net = TypeVar("Net", bound=nn.Module)


def load_network(
    folder: Path,
    build: Callable[[dict[str, Any]], Net],
    called: str,
    names: tuple[str, str] = (CONFIG, WEIGHTS),
) -> Net:
    """Load a network from the two files that `sese.nn.checkpoint.write` wrote, ready for inference.

    Args:
        folder: folder of the files.
        build: function from the values of the configuration to a network; it may raise InputError.
        called: name of the kind of network, for errors.
        names: names of the files with the configuration and with the weights.

    Raises:
        InputError: missing or corrupt files, or weights of another network.
    """
    config, weights = (folder / name for name in names)
    try:
        with bounded(config):
            network = build(from_json(config.read_text()))
        network.load_state_dict(load_file(weights))
    except FileNotFoundError:
        missing = weights if config.is_file() else config
        raise InputError(
            f"{missing} does not exist; give the folder of a {called}, with {names[0]} and {names[1]}"
        ) from None
    except InputError:
        raise
    except (OSError, RuntimeError, SafetensorError, *MALFORMED) as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"{folder} holds no {called} of this version: {first}") from None
    return network.eval()
