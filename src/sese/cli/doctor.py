"""`sese doctor`: does this installation work, and how fast is it here?"""

from __future__ import annotations

import importlib
import json
import platform
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from sese import __version__

EXTRAS = {  # extra -> the modules that it brings
    "train": ("torch", "lightning", "tensorboard", "safetensors", "yaml", "onnx"),
    "metrics": ("pesq", "pystoi", "speechmos"),
    "live": ("sounddevice",),
    "ray": ("ray", "fsspec"),
}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check the installation: versions, models, speed on one thread. Exits with 1 if it cannot enhance."""
    versions = {"sese": __version__, "python": platform.python_version()}
    problems = []
    for name in ("numpy", "onnxruntime", "soundfile", "soxr"):
        try:
            versions[name] = importlib.import_module(name).__version__
        except Exception as error:  # a missing or broken library is what this verb is there to tell
            problems.append(
                f"{name} cannot be imported ({error}); reinstall with `pip install --force-reinstall sese`"
            )
    models: list[dict[str, Any]] = []
    cores = None
    if not problems:
        import soundfile

        from sese.runtime.jobs import available_cores

        versions["libsndfile"] = soundfile.__libsndfile_version__
        cores = available_cores()
        models, problems = _try_models()
    extras = {extra: all(find_spec(module) for module in modules) for extra, modules in EXTRAS.items()}
    report = {
        "ok": not problems,
        "versions": versions,
        "platform": platform.platform(),
        "cores": cores,
        "models": models,
        "extras": extras,
        "problems": problems,
    }
    print(json.dumps(report, indent=2)) if as_json else _print(report)
    if problems:
        raise typer.Exit(1)


def _try_models() -> tuple[list[dict[str, Any]], list[str]]:
    """Enhance a second of noise with each bundled model at its lowest and highest level."""
    import numpy as np

    from sese.errors import InputError
    from sese.runtime.artefact import bundled_models
    from sese.runtime.budget import level_name
    from sese.runtime.enhancer import Enhancer

    models, problems = [], []
    if not bundled_models():
        problems.append("no model comes with this installation; reinstall sese, or use --model with your own")
    for name in bundled_models():
        try:
            enhancer = Enhancer(name)
            rate = enhancer.card.sample_rate
            noise = np.random.default_rng(0).normal(0, 0.05, rate).astype(np.float32)
            speed = {}
            for index in (0, len(enhancer.card.levels) - 1):
                name_of = level_name(enhancer.card, index)
                stream = enhancer.stream(budget=f"fixed:{name_of}")
                stream.feed(noise)
                stream.flush()
                speed[name_of] = stream.real_time_factor
            models.append({"name": name, "real_time_factor": speed})
        except InputError as error:
            problems.append(str(error))
    return models, problems


def _print(report: dict[str, Any]) -> None:
    for name, version in report["versions"].items():
        print(f"{name:<12} {version}")
    print(f"{'platform':<12} {report['platform']}, {report['cores']} cores")
    for model in report["models"]:
        speed = ", ".join(
            f"{value:.3f} at level {level}" for level, value in model["real_time_factor"].items()
        )
        print(f"{'model':<12} {model['name']}: real-time factor on one thread {speed}")
    for extra, there in report["extras"].items():
        print(
            f"{'extra':<12} {extra}: "
            + ("installed" if there else f"not installed: pip install 'sese[{extra}]'")
        )
    for problem in report["problems"]:
        print(f"{'PROBLEM':<12} {problem}")
    if report["ok"]:
        print("all is well")
