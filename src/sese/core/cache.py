"""The folder where data is kept that can be computed or fetched again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the cache folder of this user, which may not exist yet.

    It is `$XDG_CACHE_HOME/sese` where that is set, on every system; else the system's own place, such as
    `~/.cache/sese`, `~/Library/Caches/sese` or `%LOCALAPPDATA%\\sese`. Earlier versions kept `~/.cache/sese`
    on every system: where that folder exists and the system's own does not, it stays in use.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sese"
    folder = platformdirs.user_cache_path("sese", appauthor=False, opinion=False)
    earlier = Path.home() / ".cache" / "sese"
    return earlier if earlier.is_dir() and not folder.is_dir() else folder


KINDS = {
    "decoded recordings": r"[0-9a-f]{32}\.(?:i16|json)",
    "labels of mixtures": r"labels/[^/]+-[0-9a-f]{16}\.npy",
    "labelled clips": r"quality/[0-9a-f]{16}\.(?:i16|npy)",
    "examples for the band above": r"above/[0-9a-f]{16}-\d+\.npz",
    "compiled kernels": r"kernel-[0-9a-f]{24}\.so",
    "ONNX Runtime for the browser": r"onnxruntime-web-[0-9.]+/ort[\w.-]+\.(?:mjs|wasm)",
}
"""Kinds of files in the cache, with the names that this package gives them, from the cache folder on."""


def kept_files(folder: Path | None = None) -> dict[str, list[Path]]:
    """Return the files that this package keeps in a cache folder, by kind.

    Any other file is left out, and so is whatever stands behind a link. A folder of another purpose may have
    the same name, such as a clone of this project in a folder that `XDG_CACHE_HOME` names.

    Args:
        folder: Cache folder; None for that of this user.
    """
    folder = folder or cache_folder()
    kept: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            continue
        for kind, name in KINDS.items():
            if re.fullmatch(name, path.relative_to(folder).as_posix()):
                kept[kind].append(path)
    return {kind: paths for kind, paths in kept.items() if paths}


def remove(paths: Iterable[Path]) -> list[OSError]:
    """Remove files of the cache and the folders that are empty then; return the errors of those that stay."""
    errors = []
    folders = {cache_folder()}
    for path in paths:
        folders.add(path.parent)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # on Windows a file that is in use stays
            errors.append(error)
    for folder in sorted(folders, reverse=True):  # the deepest first
        with suppress(OSError):  # not empty
            folder.rmdir()
    return errors
