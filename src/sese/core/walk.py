"""Find the files below a folder, also in linked folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(
    folder: Path, closed: Callable[[OSError], object], without: Path | None = None
) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, in the order of their names.

    Links to folders are followed, after all real folders, so that each folder is searched once, under its own
    name where it has one. A link to a folder that holds `folder` itself is not followed. Hidden files and
    folders are passed over.

    Args:
        folder: Folder to search.
        closed: Called with the error of each folder that cannot be listed.
        without: Folder to pass over, unless it is `folder` itself.
    """
    seen: set[str] = set()
    root, left_out = os.path.realpath(folder), os.path.realpath(without) if without else None
    waiting = [os.fspath(folder)]
    while waiting:
        for place, folders, names in os.walk(waiting.pop(0), onerror=closed):
            real = os.path.realpath(place)
            if real in seen or (real == left_out and real != root):
                folders.clear()
                continue
            seen.add(real)
            open_folders = sorted(name for name in folders if not name.startswith("."))
            links = [name for name in open_folders if os.path.islink(os.path.join(place, name))]
            folders[:] = [name for name in open_folders if name not in links]
            for name in links:
                path = os.path.join(place, name)
                if not _holds(os.path.realpath(path), root):
                    waiting.append(path)
            for name in sorted(names):
                if not name.startswith("."):
                    yield Path(place) / name


def _holds(outer: str, inner: str) -> bool:
    return Path(inner) == Path(outer) or Path(outer) in Path(inner).parents
