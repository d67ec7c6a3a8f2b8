"""Build the native library, its plugin and the tests' own programs."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import onnxruntime

ROOT = Path(__file__).parents[2]
HEADERS = ("/usr/include/onnxruntime", "/usr/local/include/onnxruntime", "/usr/include", "/usr/local/include")


class Missing(Exception):
    """A tool or library that a program needs to be built or run is not installed."""


def on_page(page: str, language: str) -> str:
    """Return the one block in a language that a guide prints."""
    text = (ROOT / "docs" / "guides" / page).read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return str(block)


def build_once(folder: Path) -> Path:
    """Build into `folder` if no other test process has done so, and return the build folder.

    Raises:
        Missing: A compiler, a library or the headers are not installed.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            build(folder)
            (folder / "done").touch()
    return folder / "build"


def build(folder: Path) -> Path:
    """Build into `folder`, against the library of the Python package, and return the build folder.

    Raises:
        Missing: A compiler, a library or the headers are not installed.
    """
    for tool in ("cmake", "g++", "pkg-config"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")
    for package, module in (("libsndfile1-dev", "sndfile"), ("nlohmann-json3-dev", "nlohmann_json")):
        if subprocess.run(["pkg-config", "--exists", module]).returncode:
            raise Missing(f"{package} is not installed")
    command = ["cmake", "-S", str(ROOT / "tests" / "native"), "-B", str(folder / "build")]
    command += [f"-DONNXRUNTIME_INCLUDE={_headers()}", f"-DONNXRUNTIME_ROOT={_library(folder)}"]
    (folder / "printed.inc").write_text(on_page("native.md", "c"))
    run([*command, f"-DPRINTED={folder}", "-DCMAKE_C_FLAGS=-Werror", "-DCMAKE_CXX_FLAGS=-Werror"])
    run(["cmake", "--build", str(folder / "build")])
    return folder / "build"


def run(command: list[str | Path], **environment: str) -> str:
    """Run a program that has to end well, and return what it prints."""
    words = [str(word) for word in command]
    ran = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment)
    assert ran.returncode == 0, f"{words}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def _headers() -> Path:
    for folder in (os.environ.get("ONNXRUNTIME_INCLUDE"), *HEADERS):
        if folder and (Path(folder) / "onnxruntime_cxx_api.h").is_file():
            return Path(folder)
    raise Missing(
        "ONNX Runtime's headers are not installed; run tests/native/onnxruntime_headers.sh FOLDER and set "
        "ONNXRUNTIME_INCLUDE=FOLDER"
    )


def _library(folder: Path) -> Path:
    """Return a folder as ONNX Runtime's releases have it, with the library of the Python package."""
    shipped = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not shipped:
        raise Missing("the onnxruntime package carries no shared library")
    (folder / "onnxruntime" / "lib").mkdir(parents=True, exist_ok=True)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        link = folder / "onnxruntime" / "lib" / name
        link.unlink(missing_ok=True)
        link.symlink_to(shipped[-1])
    return folder / "onnxruntime"
