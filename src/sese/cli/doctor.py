"""`sese doctor`: does this installation work, and how fast is it here?

The output is for bug reports and contains nothing private. The home folder is written `~`; environment
variables that may hold names, addresses or paths are only listed as set.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from sese import __version__
from sese.core.install import install_command

CORE = ("numpy", "onnxruntime", "soundfile", "soxr", "typer", "rich", "platformdirs")
EXTRAS = {  # extra -> the packages that it brings, as pyproject.toml has them
    "train": ("torch", "lightning", "tensorboard", "safetensors", "pyyaml", "onnx", "onnxscript"),
    "metrics": ("pesq", "pystoi", "speechmos", "onnx", "matplotlib"),
    "compress": ("pymoo",),
    "remote": ("fsspec",),
    "ray": ("ray", "fsspec"),
    "bitwise": ("numpy",),
    "hashing": ("numpy", "faiss-cpu"),
    "live": ("sounddevice",),
    "media": ("av",),
    "pipecat": ("pipecat-ai",),
    "docs": ("mkdocs-material", "mkdocstrings", "matplotlib"),
}
NUMPY_2 = ("bitwise", "hashing")
"""Extras that need NumPy 2, which counts bits."""

PROGRAMS = ("ffmpeg", "sox", "cc", "node")
SHOWN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES", "LANG")
"""Environment variables whose values are not private."""

NAMED = ("XDG_CACHE_HOME", "PYTHONPATH", "RAY_ADDRESS", "npm_config_registry", "https_proxy", "LD_PRELOAD")
"""Environment variables that are only listed as set."""

UNTIMED = "it runs; the machine is too busy to time it, see `sese profile`"


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check the installation: versions, models, speed on one thread. Exit with 1 if it does not work.

    The output is made for bug reports and contains nothing private.
    """
    versions, problems = _core_versions()
    models: list[dict[str, Any]] = []
    if not problems:
        models, problems = _try_models()
    report = _without_home(
        {
            "ok": not problems,
            "versions": versions,
            "platform": platform.platform(),
            "processor": _or_unknown(_processor),
            "models": models,
            "extras": {extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()},
            "missing": {extra: missing for extra in EXTRAS if (missing := _missing(extra))},
            "programs": [name for name in PROGRAMS if shutil.which(name)],
            "places": _or_unknown(_places),
            "environment": {name: os.environ[name] for name in SHOWN if name in os.environ}
            | {name: "(set)" for name in NAMED if os.environ.get(name)},
            "problems": problems,
        }
    )
    print(json.dumps(report, indent=2)) if as_json else _print(report)
    if problems:
        raise typer.Exit(1)


def _core_versions() -> tuple[dict[str, str], list[str]]:
    """Import what enhancing needs; return the versions, and what is missing or broken."""
    versions, problems = {"sese": __version__, "python": platform.python_version()}, []
    for name in CORE:
        try:
            module = importlib.import_module(name)
            versions[name] = str(getattr(module, "__version__", "") or metadata.version(name))
        except Exception as error:  # this verb is there to report any missing or broken library
            problems.append(f"{name} cannot be imported ({error}); run: pip install --force-reinstall {name}")
    if found := getattr(sys.modules.get("soundfile"), "__libsndfile_version__", None):
        versions["libsndfile"] = str(found)
    return versions, problems


def _try_models() -> tuple[list[dict[str, Any]], list[str]]:
    """Enhance two seconds of speech with each bundled model at its lowest and highest level."""
    from sese.evaluation.speed import file_times, lowest_and_highest
    from sese.runtime.artefact import bundled_models, open_artefact

    models, problems = [], []
    if not bundled_models():
        problems.append("no model comes with this installation; reinstall sese, or use --model with your own")
    for name in bundled_models():
        try:
            artefact = open_artefact(name)
            times = file_times(artefact, lowest_and_highest(artefact.card))
            speed = {str(budget).removeprefix("fixed:"): time for budget, time in times.items()}
            models.append({"name": name, "real_time_factor": speed})
        except Exception as error:  # as above
            problems.append(f"{name}: {error}")
    return models, problems


def _or_unknown(facts: Callable[[], Any]) -> Any:
    """Return facts, or "unknown": no report fails because a machine does not give them."""
    try:
        return facts()
    except Exception as error:
        return f"unknown ({error})"


def _version(package: str) -> str | None:
    """Return the version of an installed package, without importing it."""
    try:
        return metadata.version(package)
    except Exception:
        return None


def _missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    missing = [name for name in EXTRAS[extra] if _version(name) is None]
    old = extra in NUMPY_2 and (_version("numpy") or "").startswith("1.")
    return [*missing, "numpy>=2"] if old else missing


def _processor() -> str:
    from sese.core.processors import available_cores

    name = platform.processor() or platform.machine()
    if (about := Path("/proc/cpuinfo")).exists():
        names = re.findall(r"^model name\s*: (.*)", about.read_text(), re.MULTILINE)
        name = names[0] if names else name
    cores = available_cores()
    return f"{name}, {cores} {'core' if cores == 1 else 'cores'}"


def _places() -> dict[str, str]:
    from sese.core.cache import cache_folder
    from sese.runtime.artefact import PRETRAINED

    base = os.environ.get("XDG_CACHE_HOME")
    cache = str(cache_folder()).replace(base, "$XDG_CACHE_HOME", 1) if base else str(cache_folder())
    return {"models": str(PRETRAINED), "cache": cache}


def _without_home(report: Any) -> Any:
    """Replace the home folder by `~`, and a folder named like the user by USER."""
    if isinstance(report, dict):
        return {key: _without_home(value) for key, value in report.items()}
    if isinstance(report, list):
        return [_without_home(value) for value in report]
    if not isinstance(report, str):
        return report
    for home in (str(Path.home()), os.path.realpath(Path.home())):
        report = report.replace(home, "~") if len(home) > 1 else report
    user = os.environ.get("USER") or os.environ.get("USERNAME") or ""
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)", "USER", report) if user else report


def _print(report: dict[str, Any]) -> None:
    """Print a line for each fact: versions, models, extras, programs."""
    lines = [(name, report[name]) for name in ("versions", "platform", "processor")]
    for model in report["models"]:
        speed = [f"{value:.4f} at level {level}" for level, value in model["real_time_factor"].items()]
        told = f"real-time factor of files on one thread {', '.join(speed)}" if speed else UNTIMED
        lines.append(("model", f"{model['name']}: {told}"))
    for extra, packages in report["extras"].items():
        missing = ", ".join(report["missing"].get(extra, ()))
        lines.append(
            (f"extra {extra}", f"lacks {missing}; {install_command(extra)}" if missing else packages)
        )
    lines += [(name, report[name]) for name in ("programs", "places", "environment")]
    lines += [("PROBLEM", problem) for problem in report["problems"]]
    for name, facts in lines:
        pairs = [" ".join(pair) for pair in facts.items()] if isinstance(facts, dict) else facts
        print(f"{name:<15}", ", ".join(pairs) or "none" if isinstance(pairs, list) else pairs)
    if report["ok"]:
        print("all is well")
