"""Where the cache folder is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import platformdirs
import pytest
import soundfile

from sese.core.cache import cache_folder, kept_files
from sese.core.compiled import compile_library, compiler
from sese.data.bank import load_bank
from sese.data.corpora import Recording
from sese.demo.assets import FILES, assets_folder


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


def test_names_that_are_written_are_known(home: Path, tmp_path: Path) -> None:
    """Else they would never be cleared. `tests/data` and `tests/quality` check the other kinds."""
    soundfile.write(tmp_path / "a.wav", np.full(800, 0.1), 8000)
    load_bank([Recording(tmp_path / "a.wav", "a", 800, 8000, "speech")], 8000)
    assets_folder().mkdir(parents=True)
    for name in FILES:
        (assets_folder() / name).write_bytes(b"")
    expected = {"decoded recordings": 2, "ONNX Runtime for the browser": len(FILES)}
    if compiler() is not None:
        compile_library(b"int one(void) { return 1; }")
        expected["compiled kernels"] = 1
    assert {kind: len(paths) for kind, paths in kept_files().items()} == expected
    assert sum(expected.values()) == sum(path.is_file() for path in cache_folder().rglob("*"))
