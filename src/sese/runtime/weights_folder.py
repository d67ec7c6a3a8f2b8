"""Find the folder with a network's weights."""

from __future__ import annotations

from pathlib import Path

from sese.runtime.artefact import PRETRAINED, bundled_models


def weights_folder(model: Path) -> Path:
    """Return the folder with the weights of a network that is named in one of several ways.

    Nothing is read or checked: a caller that finds no weights there says what it needed.

    Args:
        model: a run folder (its best weights, or its last where there are no best), a folder that holds a
            network itself, or the name of a bundled model.

    Returns:
        The folder; `model` itself where it is none of these.
    """
    if not model.exists() and str(model) in bundled_models():
        model = PRETRAINED / model
    return next((folder for folder in (model / "best", model / "last") if folder.is_dir()), model)
