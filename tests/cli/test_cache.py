"""`sese cache` and `sese cache clear`: what this package keeps goes, anything else stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Run
from sese.core import cache

OWN = {
    "0123456789abcdef0123456789abcdef.i16": 2_000_000,
    "0123456789abcdef0123456789abcdef.json": 100,
    "kernel-0123456789abcdef01234567.so": 100_000,
    "labels/activity-0123456789abcdef.npy": 50_000,
    "quality/0123456789abcdef.i16": 300_000,
    "quality/0123456789abcdef.npy": 50_000,
    "above/0123456789abcdef-0.npz": 1000,
    "onnxruntime-web-1.30.0/ort.wasm.bundle.min.mjs": 500_000,
}
FOREIGN = ("README.md", "labels/notes.npy", "src/sese/core/cache.py", "quality/talk.wav", "model.json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which somebody else keeps files, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "sese"
    for name, size in {**OWN, **dict.fromkeys(FOREIGN, 1)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(size))
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_shows_path_and_size(sese: Run, folder: Path) -> None:
    ran = sese("cache")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"{folder}  3.0 MB"
    assert "      2.0 MB  decoded recordings (2 files)" in lines
    assert len(lines) == 2 + len(cache.KINDS)


def test_clears_what_is_its_own(sese: Run, folder: Path) -> None:
    ran = sese("cache", "clear", "--dry-run")
    assert ran.out.endswith(f"would remove 3.0 MB in 8 files from {folder}\n")
    assert all(str(folder / name) in ran.out for name in OWN)
    assert files(folder) == {*OWN, *FOREIGN}
    ran = sese("cache", "clear")
    assert (ran.code, ran.out) == (0, f"removing 3.0 MB in 8 files from {folder}\ndone\n")
    assert files(folder) == set(FOREIGN)
    assert not (folder / "onnxruntime-web-1.30.0").exists()
    assert sese("cache", "clear").out.startswith("removing 0.0 MB in 0 files")


def test_an_empty_folder_goes_too(sese: Run, folder: Path) -> None:
    for name in FOREIGN:
        (folder / name).unlink()
    for below in ("src/sese/core", "src/sese", "src"):
        (folder / below).rmdir()
    assert sese("cache", "clear").code == 0
    assert not folder.exists()
    assert folder.parent.exists()
    assert sese("cache").out == f"{folder}  0.0 MB\n"


def test_links_are_not_followed(sese: Run, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = elsewhere / "0123456789abcdef.npy"
    kept.write_bytes(b"1")
    for path in (folder / "quality").iterdir():
        path.unlink()
    (folder / "quality").rmdir()
    (folder / "quality").symlink_to(elsewhere)
    (folder / "fedcba9876543210fedcba9876543210.i16").symlink_to(kept)
    assert sese("cache", "clear").code == 0
    assert kept.exists()
    assert (folder / "quality").is_symlink()


def test_says_what_is_in_use(sese: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a file that is in use cannot be removed."""
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".so":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    ran = sese("cache", "clear")
    assert ran.code == 1
    assert ran.err.startswith("sese: error: 1 of 8 files stay, such as ")
    assert "kernel-0123456789abcdef01234567.so" in ran.err
    assert files(folder) == {*FOREIGN, "kernel-0123456789abcdef01234567.so"}
