"""Scores of networks over a test set, for claims.py: each level or the router, and facts of the run."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import claims_files
from claims_drop import drop
from claims_files import Stored
from claims_tables import CHANGES, INPUT, MACS, METRICS, NOISY, ROUTER, SHARES, USED, Row, columns
from claims_times import time_run
from sese.core.errors import InputError
from sese.evaluation.metrics import columns_of, describe_metrics, si_sdr
from sese.evaluation.pairs import SAMPLE_RATE, Pair, read_pair
from sese.evaluation.suite import score_pairs
from sese.nn import checkpoint
from sese.nn.cost import macs_per_frame
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, utilization
from sese.nn.policies.fixed import level_plan
from sese.training import renamed, run_folder
from sese.training.sweep import DONE

TIMED = 16
"""Number of clips that are timed, spread over the test set."""

PLACES = ("data.train", "data.validation", "data.speech", "data.noise", "data.rir", "data.cache_dir")
"""Values of a configuration that depend on the machine."""


def score_runs(
    runs: Path, pairs: Sequence[Pair], scores: Path, metrics: Sequence[str], jobs: int = 1, rounds: int = 0
) -> None:
    """Score every finished run that has no scores, or other weights than its scores, and time routers.

    Args:
        runs: Folder of the sweep's runs.
        pairs: Clips of the test set.
        scores: Folder for the scores.
        metrics: Names of metrics.
        jobs: Number of processes that score.
        rounds: Number of rounds of timing; 0 for no times.

    Raises:
        InputError: There is no finished run, or the folder has scores of other clips.
    """
    finished = sorted(path.parent for path in runs.glob(f"*/*/{DONE}"))
    if not finished:
        raise InputError(f"{runs} holds no finished run; train the sweep first")
    clips = clips_digest(pairs)
    wanted = {"clips": clips, "columns": columns(dict.fromkeys(columns_of(metrics)))}
    noisy = _fitting(scores / NOISY, wanted)
    if noisy is None:
        noisy = score_noisy(pairs, jobs, metrics)
        claims_files.write(scores / NOISY, replace(noisy, about={**noisy.about, "clips": clips}))
    for folder in finished:
        place = scores / folder.parent.name / folder.name
        weights = claims_files.digest(folder / "last" / checkpoint.WEIGHTS)
        stored = _fitting(place, {**wanted, "weights": weights})
        if stored is None:
            stored = measure(folder, pairs, jobs, metrics)
            stored = replace(stored, about={**stored.about, "weights": weights, "clips": clips})
            claims_files.write(place, stored)
            print(f"scored {folder}", file=sys.stderr, flush=True)
        if rounds and ROUTER in stored.rows and "times" not in stored.about:
            spread = [pairs[n * len(pairs) // TIMED] for n in range(TIMED)] if len(pairs) > TIMED else pairs
            times = time_run(folder / "last", len(stored.about["levels"]), spread, rounds)
            claims_files.write(place, replace(stored, about={**stored.about, "times": times}))
            print(f"timed {folder}", file=sys.stderr, flush=True)


def clips_digest(pairs: Sequence[Pair]) -> str:
    """Return a digest of the names and contents of clips."""
    named = "\n".join(pair.name for pair in pairs)
    content = claims_files.digest(*(path for pair in pairs for path in (pair.clean, pair.noisy) if path))
    return hashlib.sha256(f"{named}\n{content}".encode()).hexdigest()


def _fitting(place: Path, wanted: Mapping[str, Any]) -> Stored | None:
    """Return the scores in a folder that are of the wanted weights and have the wanted columns.

    Raises:
        InputError: They are of other clips: two test sets in one folder are a mistake.
    """
    stored = claims_files.read(place)
    if stored is None:
        return None
    if stored.about.get("clips") != wanted["clips"]:
        raise InputError(f"{place} has scores of other clips; name the same test set, or a new folder")
    first = next(iter(stored.rows.values()))
    fits = stored.about.get("weights") == wanted.get("weights") and set(wanted["columns"]) <= set(first)
    return stored if fits else None


def measure(folder: Path, pairs: Sequence[Pair], jobs: int, metrics: Sequence[str] = METRICS) -> Stored:
    """Score the last averaged weights of a run at its levels or under its router.

    Of joint training, the clips are also said twice, with less noise the second time (`claims_drop`).
    """
    settings = renamed.sections(yaml.safe_load((folder / run_folder.RESOLVED).read_text()))
    training = settings["training"]
    model = checkpoint.load(folder / "last")
    if training["method"] in ("routing", "routing_from_errors"):
        names = [ROUTER]
    else:
        shares = training["random_level"]["shares"] or [1] * max(site.units for site in model.sites)
        names = [str(level) for level, share in enumerate(shares) if share]
    rows = {name: score_row(model, name, pairs, jobs, metrics) for name in names}
    validation = validations(folder, settings)
    about: dict[str, Any] = {
        "run": folder.parent.name,
        "seed": settings["seed"],
        "hours": validation[-1]["hours"] if validation else None,
        "levels": levels(model),
        "config": config_digest(settings),
        "commit": claims_files.commit(),
        "metrics": metric_versions(metrics),
        "validation": validation,
    }
    if folder.parent.name.startswith("joint-"):
        measured = drop(folder, pairs)
        rows[ROUTER][CHANGES] = np.transpose(measured.changes).tolist()
        about["drop"] = {"frame_s": measured.frame_s, "courses": measured.courses}
    return Stored([pair.name for pair in pairs], rows, about)


def validations(folder: Path, settings: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return what a run measured on the validation set, with the audio-hours until then."""
    batch_s = settings["training"]["batch_size"] * settings["data"]["mix"]["seconds"]
    found: dict[int, dict[str, float]] = {}
    for line in (folder / run_folder.METRICS).read_text().splitlines():
        values = {
            name.removeprefix("val/"): round(value, 5)
            for name, value in json.loads(line).items()
            if name.startswith("val/") and math.isfinite(value)
        }
        if values:  # steps are counted from 0; a resumed run may repeat one
            step = json.loads(line)["step"] + 1
            found[step] = {"step": step, "hours": round(step * batch_s / 3600, 4), **values}
    return [found[step] for step in sorted(found)]


def config_digest(settings: Mapping[str, Any]) -> str:
    """Return a digest of a run's configuration, without names of places on this machine."""
    kept = json.loads(json.dumps(settings))
    for place in (*PLACES, "training.initial"):
        section, _, name = place.partition(".")
        kept.get(section, {}).pop(name, None)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def metric_versions(metrics: Sequence[str]) -> dict[str, str]:
    """Return the package and version of each metric."""
    return {name: f"{each['package']} {each['version']}" for name, each in describe_metrics(metrics).items()}


@torch.inference_mode()
def score_row(
    model: Enhancer, name: str, pairs: Sequence[Pair], jobs: int, metrics: Sequence[str] = METRICS
) -> Row:
    """Return scores, utilization, MACs per second and shares of the levels of each file."""
    plan: Plan | None = None if name == ROUTER else level_plan(model.sites, int(name))
    clean, estimates, before, used, macs, shares = [], [], [], [], [], []
    for pair in pairs:
        reference, noisy = read_pair(pair)
        enhanced = model.run_clip(torch.from_numpy(noisy).view(1, 1, -1), plan)
        clean.append(reference)
        estimates.append(enhanced.audio.flatten().numpy())
        before.append(si_sdr(reference, noisy))
        frames = utilization(enhanced.plan, model.sites)
        used.append(float(frames.mean()))
        frame_macs = macs_per_frame(model, enhanced.plan, routed=plan is None)
        macs.append(float(frame_macs.mean()) * model.sample_rate / model.hop_length)
        shares.append([float((frames.round(decimals=4) == level).float().mean()) for level in levels(model)])
    return {
        INPUT: before,
        USED: used,
        MACS: macs,
        **_scores(clean, estimates, jobs, metrics),
        SHARES: shares,
    }


def score_noisy(pairs: Sequence[Pair], jobs: int, metrics: Sequence[str] = METRICS) -> Stored:
    """Return scores of the input."""
    clean, noisy = zip(*(read_pair(pair) for pair in pairs), strict=True)
    row = _scores(clean, noisy, jobs, metrics)
    about = {"commit": claims_files.commit(), "metrics": metric_versions(metrics)}
    return Stored([pair.name for pair in pairs], {NOISY: row}, about)


def _scores(
    clean: Sequence[np.ndarray], estimates: Sequence[np.ndarray], jobs: int, metrics: Sequence[str]
) -> Row:
    """Return the scores of enhanced files by column."""
    files = score_pairs(clean, estimates, SAMPLE_RATE, metrics=metrics, jobs=jobs)["files"]
    return {name: [file[name] for file in files] for name in columns(files[0])}


def levels(model: Enhancer) -> list[float]:
    """Return the utilization of each level."""
    shares = np.cumsum(model.sites[0].shares)
    return [round(float(share), 4) for share in shares]
