"""Where the cache folder is."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from sese.core.cache import cache_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose cache folders are not in ~/.cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **_: tmp_path / "Caches" / name)
    return tmp_path


def test_the_system_says_where(home: Path) -> None:
    assert cache_folder() == home / "Caches" / "sese"


def test_the_folder_of_earlier_versions_stays_in_use(home: Path) -> None:
    (home / ".cache" / "sese").mkdir(parents=True)
    assert cache_folder() == home / ".cache" / "sese"
    (home / "Caches" / "sese").mkdir(parents=True)
    assert cache_folder() == home / "Caches" / "sese"


def test_a_variable_names_it_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "kept"))
    assert cache_folder() == home / "kept" / "sese"
