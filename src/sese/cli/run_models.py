"""Models that were trained and not exported: the folder of a run stands for its model."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import overload

from sese.core.errors import plain

EXPORTED = "exported"
"""Folder in a run's folder with the model that was exported from its weights."""


@overload
def usable(model: str) -> str: ...
@overload
def usable(model: None) -> None: ...
def usable(model: str | None) -> str | None:
    """Return a model that can be opened: the one that was named, or that of the run whose folder was named.

    The model of a run is exported into its folder at the first use, and again when the run's weights have
    changed.

    Args:
        model: Name or path, as the user gave it; None for the default model.

    Returns:
        The same, or the path of the folder with the exported model.

    Raises:
        InputError: The run holds no network that can be exported, or what exporting needs is not installed.
    """
    if model is None or not _is_run(Path(model)):
        return model
    from sese.runtime.weights_folder import weights_folder

    run = Path(model)
    source, target = weights_folder(run), run / EXPORTED
    if not _is_current(source, target):
        from sese.cli.extras import require

        require("train", "torch", "onnx", "onnxscript")
        from sese.export.folder import export_folder

        print(f"sese: exporting {plain(source)} to {plain(target)}, once", file=sys.stderr, flush=True)
        with redirect_stdout(sys.stderr):  # standard output is for the results, or for audio
            export_folder(run, target, name=run.resolve().name, force=target.exists())
    return str(target)


def _is_run(folder: Path) -> bool:
    """Return whether a folder holds weights, or a run with weights, and no model that can be opened."""
    from sese.runtime.weights_folder import weights_folder

    try:
        return (
            folder.is_dir()
            and not (folder / "model.onnx").exists()
            and _weights(weights_folder(folder)).is_file()
        )
    except (OSError, ValueError):  # no name that a folder can have
        return False


def _is_current(source: Path, target: Path) -> bool:
    """Return whether the model in `target` was exported from the weights in `source`."""
    if not (target / "model.onnx").is_file():
        return False
    try:
        return all(
            (source / name).read_bytes() == (target / name).read_bytes()
            for name in (_weights(source).name, "config.json")
        )
    except OSError:
        return False


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"
