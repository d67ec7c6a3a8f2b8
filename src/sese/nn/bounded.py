"""Limits of the networks that are built from files: sizes in a damaged file must not fill the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from sese.core.errors import InputError
from sese.core.untrusted import MALFORMED

LARGEST = 1 << 28
"""Largest number of values in all tensors of a network, 1 GiB; networks here have some millions at most."""

MOST_TENSORS = 1 << 14
"""Largest number of tensors of a network and its initialisation: layers and experts can be too many, too."""

# What Python, NumPy and PyTorch raise for sizes and values of the wrong type or range.
_NONSENSE = (*MALFORMED, RuntimeError, MemoryError)


class _Counted(TorchDispatchMode):
    """Count the values of tensors before they are created."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.made = LARGEST, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.made += 1
        size = args[0] if args else ()
        if isinstance(size, int):
            self.left -= size
        elif isinstance(size, list | tuple) and all(isinstance(each, int) for each in size):
            self.left -= math.prod(size) if size else 0
        if self.left < 0 or self.made > MOST_TENSORS:
            raise InputError(
                f"its sizes make over {LARGEST} values or {MOST_TENSORS} tensors; use smaller ones"
            )
        return function(*args, **(kwargs or {}))


@contextmanager
def bounded(what: object) -> Iterator[None]:
    """Return a context in which a network is built from a file.

    Args:
        what: name of the file, for errors.

    Raises:
        InputError: the sizes are too large, or no such network can be built.
    """
    try:
        with _Counted():
            yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    except FileNotFoundError:
        raise
    except _NONSENSE as error:
        raise InputError(f"{what} is not a configuration of this version: {error!r}") from None
