"""Scores and times of runs for comparison.py, as small files that outlive the runs.

    SCORES/conv-fsenet-dense/seed-1/   scores of a run
    SCORES/times.json                  times of the runs that were timed in turn, by the last call that timed

The folder of a run appears whole or not at all. It has two files: scores.csv, with a row for each clip of the
input and of each budget, and about.json: digests of the weights and of the test set, and the budgets with
their MACs. Times of different calls are never mixed, as a machine's speed changes.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import claims_files
from claims_files import ABOUT, CSV, damage_named
from comparison_report import COLUMNS
from model_times import exported, frame_ms
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import from_json, read_table
from sese.evaluation import report, timing
from sese.evaluation.pairs import Pair
from sese.evaluation.scoring import ENHANCER, NOISY, resolve
from sese.evaluation.suite import default_budgets, evaluate
from sese.runtime.artefact import open_artefact
from sese.training.sweep import DONE

METRICS = ("pesq", "estoi", "si_sdr")
KEYS = (*COLUMNS, "snr_db", "utilization")
"""Columns of the file of scores that hold numbers."""

THRESHOLD = "threshold:0"
HELD = "held:0.73"
"""Mean utilization that routers are held to: the one that DSN's authors gave theirs."""

FRAMES = 200
"""Number of frames that are timed at each budget in a round."""

TIMES = "times.json"

Rows = dict[str, np.ndarray]
"""Columns over clips, each (clip,)."""


@dataclass(frozen=True)
class Scored:
    """Scores of a run.

    Attributes:
        about: Facts: ``weights`` and ``clips``, digests; ``levels``, of the input and of each budget, with
            ``level``, ``budget``, ``dynamic`` and ``macs_per_second``.
        rows: Scores, SNR in dB and share of compute by level.
    """

    about: dict[str, Any]
    rows: dict[str, Rows]


def finished(runs: Path) -> dict[str, dict[str, Path]]:
    """Return the folders of the finished runs by name and by the folder of the seed."""
    found: dict[str, dict[str, Path]] = {}
    for done in sorted(runs.glob(f"*/*/{DONE}")):
        found.setdefault(done.parent.parent.name, {})[done.parent.name] = done.parent
    return found


def score_runs(
    runs: Mapping[str, Mapping[str, Path]],
    scalable: Iterable[str],
    pairs: Sequence[Pair],
    scores: Path,
    models: Path,
    jobs: int = 1,
    rounds: int = 0,
) -> None:
    """Export the runs, score those that have no scores of their weights, and time all of them in turn.

    Args:
        runs: Folders of the runs by name and seed.
        scalable: Names of the scalable runs; the others are networks of one size.
        pairs: Clips of the test set.
        scores: Folder for the scores.
        models: Folder for the exported models.
        jobs: Number of processes that score.
        rounds: Number of rounds of timing; 0 for no times.

    Raises:
        InputError: The folder has scores of other clips.
    """
    from claims_scores import clips_digest, metric_versions
    from sese.nn.checkpoint import WEIGHTS
    from sese.runtime.weights_folder import weights_folder

    scalable, clips, streams, digests = set(scalable), clips_digest(pairs), {}, {}
    for name, seeds in runs.items():
        for seed, run in seeds.items():
            weights = claims_files.digest(weights_folder(run) / WEIGHTS)
            model = exported(run, models / f"{name}-{seed}-{weights[:12]}")
            budgets = budgets_of(open_artefact(str(model)).card, name in scalable)
            about: dict[str, Any] = {"weights": weights, "clips": clips, "budgets": budgets}
            if not _fits(read(scores / name / seed), about, scores / name / seed):
                print(f"scoring {name}/{seed}", file=sys.stderr, flush=True)
                result = evaluate(str(model), pairs, budgets, metrics=METRICS, jobs=jobs)
                about |= {"metrics": metric_versions(METRICS), "commit": claims_files.commit()}
                write(scores / name / seed, result, about)
            if rounds:
                digests[f"{name}/{seed}"] = weights
                enhancer = resolve(ENHANCER)(str(model))
                for budget in budgets:
                    streams[f"{name}/{seed}", label(budget)] = enhancer.card, enhancer.stream(budget=budget)
    if rounds:
        ms = time_streams(streams, rounds)
        timed = {run: {"weights": weights, "ms": ms[run]} for run, weights in digests.items()}
        times = {"rounds": rounds, "machine": timing.machine_facts(), "runs": timed}
        report.write_files(scores, Path(TIMES).stem, {"json": json.dumps(times, indent=1) + "\n"})


def _fits(stored: Scored | None, wanted: Mapping[str, Any], place: Path) -> bool:
    """Return whether there are scores of the wanted weights, clips and budgets.

    Raises:
        InputError: They are of other clips: two test sets in one folder are a mistake.
    """
    if stored is None:
        return False
    if stored.about.get("clips") != wanted["clips"]:
        raise InputError(
            f"{place} has scores of other clips; name the same test set and --limit, or a new folder"
        )
    return all(stored.about.get(key) == value for key, value in wanted.items())


def budgets_of(card: Any, scalable: bool) -> list[Any]:
    """Return the budgets to score: every level, the router with and without a target average, and the SNR
    policy.

    A network of one size has only the budgets it was trained for.
    """
    if not scalable:
        return [f"fixed:{card.levels[-1].utilization:g}"]
    several = len(card.levels) > 1
    return default_budgets(card) + [HELD] * (several and card.router) + [THRESHOLD] * several


def label(budget: Any) -> str:
    """Return the name of a budget in tables; a level's is its share of compute."""
    return str(budget).removeprefix("fixed:")


def time_streams(
    streams: Mapping[tuple[str, str], tuple[Any, Any]], rounds: int
) -> dict[str, dict[str, float]]:
    """Return milliseconds per frame of 16 ms by run and budget: medians over rounds, each with all in turn.

    Args:
        streams: Card and stream by run and budget.
        rounds: Number of rounds.
    """
    taken: dict[tuple[str, str], list[float]] = {place: [] for place in streams}
    for number in range(rounds):
        print(f"timing, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for place, (card, stream) in streams.items():
            speech = timing.noisy_speech(card.sample_rate)
            taken[place].append(float(np.median(frame_ms(card, stream, speech, FRAMES))))
    found: dict[str, dict[str, float]] = {}
    for (run, budget), each in taken.items():
        found.setdefault(run, {})[budget] = round(float(np.median(each)), 6)
    return found


def write(folder: Path, result: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the scores of a run, whole or not at all.

    Args:
        folder: Folder of the run's scores.
        result: Result of `sese.evaluation.suite.evaluate`.
        about: Further facts of the run.
    """
    facts = ("level", "budget", "dynamic", "macs_per_second")
    levels = [{key: each[key] for key in facts} for each in result["levels"]]
    rows: list[dict[str, Any]] = [
        {"file": row["file"], "level": row["level"], **{key: _cell(row[key]) for key in KEYS}}
        for row in result["files"]
    ]
    report.make_folder(folder.parent)
    with replacing(folder, folder=True) as part:
        (part / CSV).write_text(report.to_csv({"files": rows}))  # type: ignore[typeddict-item]
        (part / ABOUT).write_text(json.dumps({**about, "levels": levels}, indent=1, allow_nan=False) + "\n")


def _cell(value: float | None) -> str:
    """Return a number with seven digits, more than any table shows; empty where it is not finite."""
    return "" if value is None or not math.isfinite(value) else f"{value:.7g}"


def read(folder: Path) -> Scored | None:
    """Return the scores of a run; None where there are none.

    Raises:
        InputError: The files are damaged.
    """
    if not (folder / ABOUT).exists():
        return None
    with damage_named(folder, "score the run again"):
        about = from_json((folder / ABOUT).read_text())
        rows: dict[str, dict[str, list[Any]]]
        rows = {each["level"]: {key: [] for key in ("file", *KEYS)} for each in about["levels"]}
        for _, line in read_table(folder / CSV)[1]:
            rows[line["level"]]["file"].append(line["file"])
            for key in KEYS:
                rows[line["level"]][key].append(float(line[key] or "nan"))
        if not rows[NOISY]["file"] or any(row["file"] != rows[NOISY]["file"] for row in rows.values()):
            raise ValueError("not every level has the same clips")
    arrays = {level: {key: np.array(row[key], np.float64) for key in KEYS} for level, row in rows.items()}
    return Scored(about, arrays)


def read_all(scores: Path, names: Iterable[str]) -> dict[str, dict[str, Scored]]:
    """Return the scores of the named runs that are there, by name and by the folder of the seed.

    Raises:
        InputError: There are none, or not all are of the same clips.
    """
    found: dict[str, dict[str, Scored]] = {}
    clips = None
    for name in dict.fromkeys(names):
        for about in sorted((scores / name).glob(f"[!.]*/{ABOUT}")):  # a killed process may leave .NAME
            stored = read(about.parent)
            if stored is None:
                continue
            clips = clips or stored.about.get("clips")
            if stored.about.get("clips") != clips:
                raise InputError(f"{about.parent} has scores of other clips than the others; score it again")
            found.setdefault(name, {})[about.parent.name] = stored
    if not found:
        raise InputError(f"{scores} holds no scores of runs that the plan names; score finished runs first")
    return found


def read_times(scores: Path, results: Mapping[str, Mapping[str, Scored]]) -> dict[str, Any]:
    """Return the stored times, without those of other weights than the scores; empty where there are none.

    Returns:
        ``rounds``, ``machine``, and ``ms``: milliseconds of a frame by budget, by run as NAME/seed-N.

    Raises:
        InputError: The file is damaged.
    """
    path = scores / TIMES
    if not path.exists():
        return {"rounds": 0, "machine": None, "ms": {}}
    with damage_named(path, "time the runs again"):
        times = from_json(path.read_text())
        weights = {
            f"{name}/{seed}": stored.about["weights"]
            for name, seeds in results.items()
            for seed, stored in seeds.items()
        }
        ms = {
            run: {budget: float(value) for budget, value in timed["ms"].items()}
            for run, timed in times["runs"].items()
            if weights.get(run) == timed["weights"]
        }
        return {"rounds": times["rounds"], "machine": times["machine"], "ms": ms}
