"""Report of claims.py, from files of scores alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import claims_figures
import claims_files
from claims_drop import Drop, drop_rows
from claims_evidence import Evidence
from claims_files import Stored
from claims_tables import CHANGES, LEVEL_TIMES, NOISY, PAPER_SIZE, ROUTER, TIME, USED, Row, compare, table
from claims_verdicts import SWEEP, decide
from sese.core.errors import InputError
from sese.evaluation import plots, report


def write_report(scores: Path, output: Path, sweep: str) -> None:
    """Print and write tables, verdicts and figures.

    Args:
        scores: Folder of the scores.
        output: Folder for claims.md, claims.json and the figures.
        sweep: File or name of the sweep, which says what runs there should be. Only of `SWEEP` there are
            verdicts.

    Raises:
        InputError: There are no scores, damaged ones, or scores of runs that the sweep does not have.
    """
    planned = planned_runs(sweep, scores)
    noisy, stored = claims_files.read_all(scores)
    unknown = [name for name in stored if name not in planned]
    if unknown:
        raise InputError(
            f"{scores} has scores of {unknown[0]}, which is no run of {sweep}; name its sweep with --sweep"
        )
    stored = {name: stored[name] for name in planned if name in stored}
    runs, drops = with_times(stored), falling_noise(stored)
    parts: dict[str, list[dict[str, str]]] = {}
    curves = {
        name: {seed: each.about["validation"] for seed, each in seeds.items()}
        for name, seeds in stored.items()
    }
    levels = next(iter(next(iter(stored.values())).values())).about["levels"]
    evidence = Evidence(runs, curves, levels, planned)
    missing = evidence.missing(list(planned))
    if Path(sweep).stem == SWEEP:
        parts["Verdicts"] = decide(evidence)
    parts |= compare(runs, noisy.rows[NOISY], list(planned))
    parts["c, within a file"] = [
        row for name in stored for row in drop_rows(name, [each for each in drops if each.model == name])
    ]
    parts["SI-SDR on the validation set"] = validations(stored)
    parts["Times"] = times(stored)
    text = f"Runs without scores: {', '.join(missing) or 'none'}.\n"
    text += "".join(f"\n### {name}\n\n{table(rows)}\n" for name, rows in parts.items() if rows)
    contents: dict[str, str | bytes] = {
        "json": json.dumps({"missing": missing, **parts}, indent=1) + "\n",
        "md": text,
    }
    written = report.write_files(output, "claims", contents)
    for name, figure in claims_figures.draw(runs, drops, list(planned)).items():
        written += report.write_files(output, name, {"png": plots.to_png(figure, 130)})
    print(text)
    for path in written:
        print(f"wrote {path}", file=sys.stderr)


def planned_runs(sweep: str, scores: Path) -> dict[str, list[str]]:
    """Return the seeds of all runs of a sweep by name, in the order of the sweep."""
    from sese.training.sweep import plan

    planned: dict[str, list[str]] = {}
    for run in plan(Path(sweep), scores):
        planned.setdefault(run.folder.parent.name, []).append(run.folder.name)
    return planned


Loaded = Mapping[str, Mapping[str, Stored]]
"""Scores by seed, by name of the run."""


def with_times(stored: Loaded) -> dict[str, dict[str, dict[str, Row]]]:
    """Return the rows of runs, with times as shares of that of the highest level in the same rounds.

    A fixed level takes as long in every network of one size. So its time is the mean over the networks with
    a router that were timed; the network of the paper's size has none.
    """
    known = [share for seeds in stored.values() for each in seeds.values() if (share := _shares(each))]
    return {
        name: {
            seed: {
                level: {**row, **_times(level, _shares(each), () if name == PAPER_SIZE else known)}
                for level, row in each.rows.items()
            }
            for seed, each in seeds.items()
        }
        for name, seeds in stored.items()
    }


def _shares(stored: Stored) -> dict[str, float]:
    """Return times by level and ``router`` as shares of that of the highest level; empty without times."""
    if "times" not in stored.about:
        return {}
    ms: dict[str, float] = stored.about["times"]["ms"]
    return {level: each / ms[str(len(stored.about["levels"]) - 1)] for level, each in ms.items()}


def _times(level: str, own: Mapping[str, float], known: Sequence[Mapping[str, float]]) -> Row:
    """Return the columns of times of a row.

    Args:
        level: Level or ``router``.
        own: Times of its network.
        known: Times of all networks that were timed.
    """
    if level == ROUTER:
        return {TIME: [own[ROUTER]], LEVEL_TIMES: dict(own)} if own else {}
    return {TIME: [mean(each[level] for each in known)]} if known else {}


def falling_noise(stored: Loaded) -> list[Drop]:
    """Return the utilization within a clip of the runs of joint training."""
    return [
        Drop(
            name,
            seed,
            each.files,
            each.about["drop"]["frame_s"],
            [list(change) for change in zip(*each.rows[ROUTER][CHANGES], strict=True)],
            each.about["drop"]["courses"],
        )
        for name, seeds in stored.items()
        for seed, each in seeds.items()
        if "drop" in each.about
    ]


def validations(stored: Loaded) -> list[dict[str, str]]:
    """Return a table of SI-SDR in dB by audio-hours: of each level, or of the router and its utilization."""
    lines = []
    for name, seeds in stored.items():
        for seed, each in seeds.items():
            cells = {"model": name, "seed": seed}
            for values in each.about["validation"]:
                if ROUTER in each.rows:
                    found = f"{values['si_sdr/routed']:.2f} at {values[USED]:.3f}"
                else:
                    found = "/".join(f"{values[f'si_sdr/{level}']:.2f}" for level in each.rows)
                cells[f"{values['hours']:.3g} h"] = found
            lines.append(cells)
    return lines


def times(stored: Loaded) -> list[dict[str, str]]:
    """Return a table of milliseconds for 16 ms of audio, of the levels and the router of each timed run."""
    return [
        {"model": name, "seed": seed}
        | {level: f"{ms:.3f}" for level, ms in each.about["times"]["ms"].items()}
        for name, seeds in stored.items()
        for seed, each in seeds.items()
        if "times" in each.about
    ]
