"""Folder of a run of any training: its configuration, its checkpoint, its measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sese.core.errors import InputError, brief
from sese.core.files import replacing
from sese.core.untrusted import from_json
from sese.training import renamed
from sese.training.config_file import flat, plain_values, read_sections

LAST = "checkpoints/last.ckpt"
RESOLVED = "config.yaml"
METRICS = "metrics.jsonl"
BEST = "best/score.json"

FREE = frozenset(
    {"name", "data.cache_dir", "data.pesq_clips", "training.logger"}
    | {f"training.{name}" for name in ("batch_size", "steps", "precision", "devices", "strategy", "threads")}
    | {f"training.{name}_steps" for name in ("decay", "validate", "checkpoint", "log")}
)
"""Values that may change when a run is resumed. All others decide the weights, the comparison of their
scores, and which speakers are held out."""


def check(folder: Path, config: Any, resume: bool, last: str = LAST) -> None:
    """Check that a folder fits a run that starts, or resumes.

    Args:
        folder: Folder of the run.
        config: Configuration of the run, a dataclass.
        resume: Whether the run resumes.
        last: File in the folder that a resumed run continues from.

    Raises:
        InputError: the folder holds a run that is not to be resumed, none to resume, or another one.
    """
    found = (folder / last).exists()
    if resume and not found:
        raise InputError(f"{folder} holds no run to go on with (no {last}); leave --resume out to start it")
    if not resume and found:
        raise InputError(f"{folder} already holds a run; add --resume to go on, or name another folder")
    if resume:
        check_same(folder, config)


def check_same(folder: Path, config: Any, free: Set[str] = FREE) -> None:
    """Check that a configuration is that of the run in a folder.

    Args:
        folder: Folder of the run.
        config: Configuration, a dataclass.
        free: Dotted names of values that may differ.

    Raises:
        InputError: a value differs; the first one is named.
    """
    began = flat(
        renamed.sections(read_sections(folder / RESOLVED, "the folder of a run, with its configuration"))
    )
    wanted = flat(plain_values(config))
    for name in began:
        if name in wanted.keys() - free and began[name] != wanted[name]:
            raise InputError(
                f"{folder} is a run with {name} {brief(began[name])}, not {brief(wanted[name])}; "
                "leave that as it was, or start in a new folder"
            )


def best(folder: Path) -> dict[str, Any] | None:
    """Return the step, score and means of the best validation of a run; None before the first."""
    path = folder / BEST
    return from_json(path.read_text()) if path.exists() else None


def write_best(folder: Path, record: Mapping[str, Any]) -> None:
    """Write what `best` returns."""
    with replacing(folder / BEST) as part:
        part.write_text(json.dumps(record) + "\n")


def write_config(folder: Path, text: str) -> None:
    """Write the resolved configuration into a run's folder, which is created where it is missing."""
    with replacing(folder / RESOLVED) as part:
        part.write_text(text)


def note(folder: Path, values: Mapping[str, Any]) -> None:
    """Append a line to the run's measurements."""
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps(values) + "\n")


def write_checkpoint(folder: Path, values: Mapping[str, Any]) -> None:
    """Replace the last checkpoint, whole or not at all."""
    with replacing(folder / LAST) as part:
        torch.save(values, part)


@contextmanager
def restoring(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a checkpoint in a context that restores it; only tensors and plain values are read.

    Args:
        path: File that `write_checkpoint` wrote.

    Raises:
        InputError: there is no checkpoint, or it is damaged or of another run.
    """
    try:
        yield torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; leave --resume out to start") from None
    except Exception as error:  # PyTorch raises a dozen kinds, without a common base
        raise InputError(
            f"{path} is damaged, or of another run ({error!r:.200}); start in a new folder"
        ) from None
