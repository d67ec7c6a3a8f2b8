"""What every run's folder holds, whatever is trained: its configuration, its checkpoint, its measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sese.atomic import replacing
from sese.errors import InputError, brief
from sese.training.config_file import plain_values, read_sections

LAST = "checkpoints/last.ckpt"
RESOLVED = "config.yaml"
METRICS = "metrics.jsonl"


FIXED = ("system", "task", "model", "network", "training.levels", "training.train_only")
"""Parts of a configuration that a run keeps: its checkpoint holds these weights, and their optimiser."""


def check(folder: Path, config: Any, resume: bool, last: str = LAST) -> None:
    """Refuse to lose a run, to go on with none, or with another network.

    Args:
        folder: of the run.
        config: of the run, a dataclass.
        resume: whether to go on.
        last: the file in it that a run goes on from.

    Raises:
        InputError: a run lies there and is not to be resumed, nothing lies there to resume, or what lies
            there is the run of another network.
    """
    found = (folder / last).exists()
    if resume and not found:
        raise InputError(f"{folder / last} does not exist; leave --resume out to start the run")
    if not resume and found:
        raise InputError(f"{folder} already holds a run; add --resume to go on, or name another folder")
    if resume:
        wanted = dict(_flat(plain_values(config)))
        for name, value in _flat(
            read_sections(folder / RESOLVED, "the configuration that the run began with")
        ):
            if name.startswith(FIXED) and wanted.get(name, value) != value:
                raise InputError(
                    f"{folder} is a run with {name} {brief(value)}, not {brief(wanted[name])}; "
                    "leave that as it was, or start in a new folder"
                )


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def write_config(folder: Path, text: str) -> None:
    """Write the resolved configuration into a run's folder, made where missing."""
    with replacing(folder / RESOLVED) as part:
        part.write_text(text)


def note(folder: Path, values: Mapping[str, Any]) -> None:
    """Add a line to the run's measurements."""
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps(values) + "\n")


def write_checkpoint(folder: Path, values: Mapping[str, Any]) -> None:
    """Put a checkpoint in the place of the one before, whole or not at all."""
    with replacing(folder / LAST) as part:
        torch.save(values, part)


@contextmanager
def restoring(path: Path) -> Iterator[dict[str, Any]]:
    """What `write_checkpoint` wrote, in a context in which it is taken up; only tensors and plain values.

    Raises:
        InputError: there is no checkpoint, or it is damaged or another's.
    """
    try:
        yield torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; leave --resume out to start") from None
    except Exception as error:  # PyTorch raises a dozen kinds, without a common base
        raise InputError(
            f"{path} is damaged, or of another run ({error!r:.200}); start in a new folder"
        ) from None
