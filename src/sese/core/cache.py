"""The folder where data is kept that can be computed or fetched again."""

from __future__ import annotations

import os
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
