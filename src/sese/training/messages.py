"""Write the messages of a training beside its progress: facts at the start, each validation, and the end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sese.core.tables import aligned, shown
from sese.data.corpus_banks import Banks
from sese.nn.cost import parameters
from sese.nn.enhancer import Enhancer
from sese.nn.plan import alternatives, utilization
from sese.nn.policies.fixed import level_plans
from sese.training.config import RunConfig
from sese.training.progress import duration

SCORES = {"pesq": ("PESQ", 2), "si_sdr": ("SI-SDR, dB", 1), "loss": ("loss", 4)}
"""Beginning of a name of the validation -> heading and decimals of its column."""

DECIDED = ("routed", "gated")
"""Names of the validation for what the policy decides."""


def banner(
    config: RunConfig,
    folder: Path,
    model: Enhancer,
    banks: tuple[Banks, Banks],
    device: torch.device,
    processes: int = 1,
    curves: str = "",
) -> str:
    """Return the facts of a run as lines: its size, its data, its device and its folder.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        model: Network.
        banks: Data for training and for validation.
        device: Device of this process.
        processes: Number of processes that train.
        curves: Where measurements can be seen besides TensorBoard; empty for nowhere.
    """
    training, data = config.training, config.data
    learning = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    all_weights = parameters(model)
    some = f", {learning:,} of them learn" if learning != all_weights else ""
    train, validation = banks
    clips = training.batch_size * processes
    hours = training.steps * clips * data.mix.seconds / 3600
    where = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    threads = f", {_count(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    rows = {
        "parameters": f"{all_weights:,}{some}",
        "levels": ", ".join(level_names(model)) + of_compute(model),
        "speech": _bank(train, "speech"),
        "noise": _bank(train, "noise") + (f"; {_count(len(train.rir), 'room')}" if train.rir else ""),
        "validation": f"{_count(data.validation_clips, 'clip')} of {data.validation_seconds:g} s, every "
        f"{_count(training.validate_steps, 'step')}; {_count(len(validation.speech.group_names), 'speaker')}",
        "length": f"{_count(training.steps, 'step')} of {_count(clips, 'clip')} of {data.mix.seconds:g} s, "
        f"{_hours(hours)} of audio",
        "device": f"{where}{device}, {training.precision}{threads}"
        + (f", {_count(processes, 'process')}" if processes > 1 else ""),
        "folder": str(folder),
    }
    if "tensorboard" in training.logger:
        rows["curves"] = f"tensorboard --logdir {quoted(folder / 'tensorboard')}"
    if curves:
        rows["Weights & Biases"] = curves
    width = max(map(len, rows)) + 2
    lines = [f"{config.name}: {config.system}, trained by {training.method}"]
    return "\n".join([*lines, *(f"  {name:{width}}{value}" for name, value in rows.items())])


def level_names(model: Enhancer) -> list[str]:
    """Return the share of compute of each level, as ``33%``; experts, which cost the same, by number."""
    plans = level_plans(model)
    if alternatives(model.sites):
        return [f"expert {number}" for number in range(1, len(plans) + 1)]
    return [share(float(utilization(plan, model.sites).mean())) for plan in plans]


def of_compute(model: Enhancer) -> str:
    """Return the words behind the names of levels that are shares; experts have none."""
    return "" if alternatives(model.sites) else " of the compute"


def share(used: float) -> str:
    """Return a share of compute in percent.

    Example:
        >>> share(0.331), share(0.004)
        ('33%', '0.4%')
    """
    return f"{used:.0%}" if used >= 0.01 or not used else f"{used:.1%}"


def validation(means: Mapping[str, float], levels: list[str], step: int, verdict: str) -> str:
    """Return the table of a validation: a row for each level by its share of compute.

    Args:
        means: Means by name, without ``val/``.
        levels: Names of the levels, the lowest first.
        step: Number of steps done.
        verdict: How the score compares with the best one.
    """
    names = {"noisy": "noisy input"} | {str(number): name for number, name in enumerate(levels)}
    if "utilization" in means:
        names |= dict.fromkeys(DECIDED, f"{share(means['utilization'])}, decided by the model")
    columns = [name for name in SCORES if any(f"{name}/{row}" in means for row in names)]
    used: set[str] = {"score", "utilization"}
    rows = []
    for row, named in names.items():
        keys = [f"{column}/{row}" for column in columns]
        if any(key in means for key in keys):
            cells = (shown(means.get(key), SCORES[key.split("/")[0]][1]) for key in keys)
            rows.append([named, *cells])
            used.update(keys)
    others = [f"{name} {means[name]:.3f}" for name in sorted(set(means) - used)]
    score = shown(means.get("score"), 4)
    title = f"step {step:,}: score {score}{f', {verdict}' if verdict else ''} (lower is better)"
    header = ["share of compute", *(SCORES[column][0] for column in columns)]
    lines = [title, *(f"  {line}" for line in aligned(header, rows))] if rows else [title]
    return "\n".join([*lines, *([f"  {', '.join(others)}"] if others else [])])


def reached(record: Mapping[str, Any], levels: list[str]) -> str:
    """Return the best validation in a sentence.

    Args:
        record: What `best/score.json` holds: step, score and means.
        levels: Names of the levels.
    """
    means, top = record.get("means", {}), len(levels) - 1
    row = next((name for name in (str(top), *DECIDED) if f"si_sdr/{name}" in means), None)
    scores = []
    if row is not None:
        for column in ("pesq", "si_sdr"):
            value, noisy = (means.get(f"{column}/{name}") for name in (row, "noisy"))
            if value is not None:
                heading, decimals = SCORES[column]
                name, _, unit = heading.partition(", ")
                unit = f" {unit}" if unit else ""
                before = f" (noisy {shown(noisy, decimals)})" if noisy is not None else ""
                scores.append(f"{name} {shown(value, decimals)}{unit}{before}")
    at = f" with {levels[top]} of the compute" if row == str(top) and "expert" not in levels[top] else ""
    told = f": {', '.join(scores)}{at}" if scores else ""
    return f"best validation at step {record['step']:,}, score {shown(record['score'], 4)}{told}"


def commands(folder: Path, done: bool, minutes: float | None = None) -> str:
    """Return the commands to go on with after a run, one on each line.

    Args:
        folder: Folder of the run.
        done: Whether every step is done.
        minutes: Time limit that the run was started with.
    """
    run = quoted(folder)
    again = f"sese train {run} --resume" + (f" max_minutes={minutes:g}" if minutes is not None else "")
    rows = {} if done else {"go on": again}
    rows |= {
        "listen": f"sese enhance talk.wav --model {run}",
        "measure": f"sese evaluate {run} noisy-set -o report",
        "export": f"sese export {run} -o models/{shlex.quote(folder.name)}",
    }
    return "\n".join(f"  {name + ':':10}{command}" for name, command in rows.items())


def ended(step: int, steps: int, audio_s: float, seconds: float) -> str:
    """Return how far a run came, in a sentence."""
    far = f"all {steps:,} steps are done" if step >= steps else f"stopped at step {step:,} of {steps:,}"
    return f"{far}; {_hours(audio_s / 3600)} of audio in all, {duration(seconds)} this time"


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def _bank(banks: Banks, role: str) -> str:
    bank = getattr(banks, role)
    hours = float(bank.lengths.sum()) / bank.sample_rate / 3600
    groups = _count(len(bank.group_names), "speaker" if role == "speech" else "category")
    return f"{_hours(hours)}, {_count(len(bank), 'recording')}, {groups}"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> _count(1, "thread"), _count(20, "category"), _count(2, "process")
        ('1 thread', '20 categories', '2 processes')
    """
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def _hours(hours: float) -> str:
    if hours >= 0.95:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1.5 / 60 else f"{3600 * hours:.0f} s"
