"""Building and running the examples for C++ and JavaScript."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

ROOT = Path(__file__).parents[2]
JAVASCRIPT = ROOT / "examples" / "javascript"
HEADERS = ("/usr/include/onnxruntime", "/usr/local/include/onnxruntime", "/usr/include", "/usr/local/include")
REPORT = re.compile(
    r"(?P<seconds>[\d.]+) s of audio, (?P<frames>\d+) frames of [\d.]+ ms: median (?P<median>[\d.]+) ms, "
    r"99th percentile (?P<p99>[\d.]+) ms, real-time factor (?P<factor>[\d.]+), "
    r"share of compute (?P<utilization>[\d.]+)\n"
)


@dataclass(frozen=True)
class Printed:
    """What a program said about a file: milliseconds a frame, and the mean share of compute."""

    frames: int
    median: float
    p99: float
    utilization: float


class Missing(Exception):
    """What a program needs to be built or run is not here."""


def on_page(language: str) -> str:
    """What the page on deploying prints in a language: its one block."""
    page = (ROOT / "docs" / "guides" / "deploying.md").read_text()
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(text)


def build_cpp(folder: Path) -> Path:
    """Build the example and the tests' own programs into `folder`, against the library of the Python package.

    Raises:
        Missing: A compiler, a library or the headers are not here.
    """
    for tool in ("cmake", "g++", "pkg-config"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")
    for package, module in (("libsndfile1-dev", "sndfile"), ("nlohmann-json3-dev", "nlohmann_json")):
        if subprocess.run(["pkg-config", "--exists", module]).returncode:
            raise Missing(f"{package} is not installed")
    command = ["cmake", "-S", str(ROOT / "tests" / "deploy"), "-B", str(folder / "build")]
    command += [f"-DONNXRUNTIME_INCLUDE={_headers()}", f"-DONNXRUNTIME_ROOT={_library(folder)}"]
    (folder / "printed.inc").write_text(on_page("cpp"))
    _run([*command, f"-DPRINTED={folder}", "-DCMAKE_CXX_FLAGS=-Werror"])
    _run(["cmake", "--build", str(folder / "build")])
    return folder / "build"


def node() -> str:
    """The Node.js to run the example with.

    Raises:
        Missing: Node.js or the example's packages are not here.
    """
    if (found := shutil.which("node")) is None:
        raise Missing("Node.js is not installed")
    if not (JAVASCRIPT / "node_modules" / "onnxruntime-node").is_dir():
        raise Missing("the example's packages are not installed; run `npm ci` in examples/javascript")
    return found


def printed(command: list[str | Path]) -> Printed:
    """Run a program that enhances a file, and read what it says."""
    found = REPORT.fullmatch(_run(command))
    assert found is not None
    return Printed(
        int(found["frames"]), float(found["median"]), float(found["p99"]), float(found["utilization"])
    )


def _headers() -> Path:
    for folder in (os.environ.get("ONNXRUNTIME_INCLUDE"), *HEADERS):
        if folder and (Path(folder) / "onnxruntime_cxx_api.h").is_file():
            return Path(folder)
    raise Missing(
        "ONNX Runtime's headers are not here; run tests/deploy/onnxruntime_headers.sh FOLDER and set "
        "ONNXRUNTIME_INCLUDE=FOLDER"
    )


def _library(folder: Path) -> Path:
    """A folder as ONNX Runtime's releases have it, with the library of the Python package under its names."""
    shipped = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not shipped:
        raise Missing("the onnxruntime package here carries no shared library")
    (folder / "onnxruntime" / "lib").mkdir(parents=True)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "onnxruntime" / "lib" / name).symlink_to(shipped[-1])
    return folder / "onnxruntime"


def _run(command: list[str | Path]) -> str:
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
