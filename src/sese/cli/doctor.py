"""`sese doctor`: does this installation work, and how fast is it here?

The output is for bug reports and contains nothing private. The home folder is written `~`; environment
variables that may hold names, addresses or paths are only listed as set; sound cards are counted.
"""

from __future__ import annotations

import importlib
import json
import locale
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from sese import __version__

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
    "docs": ("mkdocs-material", "mkdocstrings", "matplotlib"),
}
FEATURES = [
    "SSE42",
    "AVX",
    "F16C",
    "FMA3",
    "AVX2",
    "AVX512F",
    "AVX512VNNI",
    "AVX512BF16",
    "NEON",
    "ASIMD",
    "ASIMDHP",
    "ASIMDDP",
    "SVE",
]
"""Features of a processor that change the speed of matrix products, as NumPy names them."""

NUMPY_2 = ("bitwise", "hashing")
"""Extras that need NumPy 2, which counts bits."""

SHOWN = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "CUDA_VISIBLE_DEVICES",
    "PYTHONUTF8",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
)
"""Environment variables that change the behaviour, and whose values are not private."""

NAMED = (
    "XDG_CACHE_HOME",
    "RAY_ADDRESS",
    "PYTHONPATH",
    "PULSE_SINK",
    "PULSE_SOURCE",
    "CC",
    "npm_config_registry",
    "http_proxy",
    "https_proxy",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
)
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
    report = {
        "ok": not problems,
        "versions": versions,
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.architecture()[0]}, "
        f"{'in' if sys.prefix != sys.base_prefix else 'not in'} a virtual environment",
        "cpu": _or_unknown(_cpu),
        "cores": _or_unknown(_cores),
        "memory_gb": _or_unknown(_memory),
        "providers": _or_unknown(_providers),
        "models": models,
        "extras": {extra: not _missing(extra) for extra in EXTRAS},
        "missing": {extra: missing for extra in EXTRAS if (missing := _missing(extra))},
        "optional": {name: found for name in _packages() if (found := _version(name))},
        "sound_cards": _or_unknown(_sound_cards),
        "programs": _or_unknown(_programs),
        "places": _or_unknown(_places),
        "environment": {name: os.environ[name] for name in SHOWN if name in os.environ}
        | {name: "(set)" for name in NAMED if os.environ.get(name)},
        "locale": _or_unknown(_locale),
        "terminal": _or_unknown(_terminal),
        "problems": problems,
    }
    report = _without_home(report)
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
            problems.append(
                f"{name} cannot be imported ({error}); reinstall with `pip install --force-reinstall sese`"
            )
    for name, library in (("soundfile", "libsndfile"), ("soxr", "libsoxr")):
        if found := getattr(sys.modules.get(name), f"__{library}_version__", None):
            versions[library] = str(found)
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


def _packages() -> list[str]:
    return sorted({name for names in EXTRAS.values() for name in names} - set(CORE))


def _missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    missing = [name for name in EXTRAS[extra] if _version(name) is None]
    if extra in NUMPY_2 and (_version("numpy") or "").startswith("1."):
        missing.append("numpy>=2")
    return missing


def _cpu() -> str:
    """Return the name of the processor and its features that matter to ONNX Runtime and NumPy."""
    name = platform.processor() or platform.machine()
    if sys.platform == "darwin":
        words = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(words, capture_output=True, text=True, timeout=5).stdout.strip() or name
    elif Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:  # NumPy 1, or a version that has them elsewhere
        return name
    return f"{name} ({' '.join(feature for feature in FEATURES if features.get(feature)) or 'no vectors'})"


def _cores() -> int:
    from sese.core.processors import available_cores

    return available_cores()


def _memory() -> dict[str, float]:
    """Return the memory in GB, and the limit of a container where there is one."""
    if sys.platform == "win32":
        return {}
    memory = {"total": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9}
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        memory["limit"] = int(text) / 1e9
    return {name: round(value, 1) for name, value in memory.items()}


def _providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _sound_cards() -> str:
    """Count the sound cards; their names may be private, so only `sese live --list` shows them."""
    from sese.live.devices import list_cards, sounddevice

    cards = list_cards(sounddevice())
    hosts = sorted({card.host for card in cards})
    inputs, outputs = sum(card.inputs > 0 for card in cards), sum(card.outputs > 0 for card in cards)
    return f"{inputs} inputs, {outputs} outputs" + (f" ({', '.join(hosts)})" if hosts else "")


def _programs() -> dict[str, str]:
    """Return the programs of the guides that are installed, and ffmpeg's version."""
    found = {name: "found" for name in ("ffmpeg", "sox", "cc", "node") if shutil.which(name)}
    if "ffmpeg" in found:
        done = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, timeout=10)
        found["ffmpeg"] = " ".join(done.stdout.split()[2:3]) or "found"
    return found


def _places() -> dict[str, str]:
    """Return the folders of models and of the cache, and the size of the cache."""
    from sese.core.cache import cache_folder
    from sese.runtime.artefact import PRETRAINED

    folder, base = cache_folder(), os.environ.get("XDG_CACHE_HOME")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shown = str(folder).replace(base, "$XDG_CACHE_HOME", 1) if base else str(folder)
    shown += f", {size / 1e6:,.0f} MB" if folder.is_dir() else ", not made yet"
    return {"models": str(PRETRAINED), "cache": shown}


def _locale() -> str:
    return f"{'.'.join(part or '-' for part in locale.getlocale())}, files {sys.getfilesystemencoding()}"


def _terminal() -> str:
    kind = os.environ.get("TERM") or ("Windows Terminal" if os.environ.get("WT_SESSION") else "unnamed")
    encoding = getattr(sys.stdout, "encoding", None)
    return f"{kind}, {'a terminal' if sys.stdout.isatty() else 'not a terminal'}, {encoding}"


def _without_home(report: Any) -> Any:
    """Replace the home folder by `~`, and a folder named like the user by USER."""
    if isinstance(report, dict):
        return {key: _without_home(value) for key, value in report.items()}
    if isinstance(report, list):
        return [_without_home(value) for value in report]
    if not isinstance(report, str):
        return report
    for home in (str(Path.home()), os.path.realpath(Path.home())):
        if len(home) > 1:
            report = report.replace(home, "~")
    user = os.environ.get("USER") or os.environ.get("USERNAME") or ""
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)", "USER", report) if user else report


def _print(report: dict[str, Any]) -> None:
    def line(name: str, text: Any) -> None:
        print(f"{name:<13} {text}")

    for name, version in report["versions"].items():
        line(name, version)
    line("platform", f"{report['platform']}, {report['cores']} cores")
    line("interpreter", report["python"])
    line("processor", report["cpu"])
    memory = report["memory_gb"]
    line(
        "memory",
        _joined([f"{gb} GB {name}" for name, gb in memory.items()] if isinstance(memory, dict) else memory),
    )
    line("providers", _joined(report["providers"]))
    for model in report["models"]:
        speed = [f"{value:.4f} at level {level}" for level, value in model["real_time_factor"].items()]
        told = f"real-time factor of files on one thread {', '.join(speed)}" if speed else UNTIMED
        line("model", f"{model['name']}: {told}")
    for extra, there in report["extras"].items():
        missing = ", ".join(report["missing"].get(extra, ()))
        state = "installed" if there else f"not installed ({missing}): pip install 'sese[{extra}]'"
        line("extra", f"{extra}: {state}")
    line("packages", _joined(report["optional"], " "))
    line("sound cards", report["sound_cards"])
    line("programs", _joined(report["programs"], " "))
    places = report["places"]
    for name, place in places.items() if isinstance(places, dict) else [("places", places)]:
        line(name, place)
    line("environment", _joined(report["environment"], "="))
    line("locale", report["locale"])
    line("terminal", report["terminal"])
    for problem in report["problems"]:
        line("PROBLEM", problem)
    if report["ok"]:
        print("all is well")


def _joined(facts: Any, sign: str = "") -> str:
    """Return the words of a list, or names with their values, in one line."""
    if isinstance(facts, dict):
        facts = [f"{name}{sign}{value}" for name, value in facts.items()]
    return (", ".join(facts) or "none") if isinstance(facts, list) else str(facts)
