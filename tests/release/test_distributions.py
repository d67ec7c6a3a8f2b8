"""Tests of the wheel and the source distribution: they hold what the runtime needs, and are small."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST = 40e6


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and a source distribution, built from a copy so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(source, copy / name)
    code = (
        "from setuptools import build_meta as backend; "
        "backend.build_sdist('dist'); backend.build_wheel('dist')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return copy / "dist"


def test_wheel_has_the_runtime_and_the_models(built: Path):
    (wheel,) = built.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl"), "pure Python"
    assert wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = ROOT / "src" / "sese"
    needed = {
        str(path.relative_to(package.parent))
        for pattern in ("**/*.py", "pretrained/*/*", "demo/page/**/*", "**/*.c", "export/*.flac")
        for path in package.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed <= names
    assert not [name for name in names if not name.startswith(("sese/", "sese-"))]
    assert any(name.endswith("LICENSE") for name in names)


def test_source_has_what_builds_it(built: Path):
    (source,) = built.glob("*.tar.gz")
    assert source.stat().st_size < LARGEST
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/sese/pretrained/sese-2/model.onnx"} <= names
