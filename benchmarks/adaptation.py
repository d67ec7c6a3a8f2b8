r"""Compare students adapted to users with generalists of several sizes, on held-out pairs of each user.

    python benchmarks/adaptation.py users --students runs/gru-mask-32 runs/gru-mask-64 --teacher sese-2 \
        --larger runs/gru-mask-256 sese-2 -o report [--count 12] [--clips 4] [--max-minutes 6] [key=value ...]

`users` is a folder written by `benchmarks/users.py`. Each student is adapted as by `sese adapt`, to the
recordings alone: once completely, as published, and once as far as the guard permits. Clean speech is used
only for scores. Results are stored in `report/results.jsonl`, and the tables in `report/adaptation.md`. After
an interruption, the same command continues. To save time, students are not exported, and the output of the
teacher is reused for the next student.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from sese.adaptation import adaptation, guard
from sese.adaptation.adaptation import Request, adapt
from sese.adaptation.config import read
from sese.adaptation.teacher import Teacher, enhance, model_folder, open_teacher
from sese.core import tables
from sese.evaluation.metrics import pesq_wb, sdr, si_sdr
from sese.evaluation.summary import bootstrap_mean
from sese.nn import checkpoint
from sese.nn.cost import macs_per_sample, parameters_used
from sese.nn.plan import utilization
from sese.nn.policies.fixed import level_plans

DIGITS = {"si_sdr": 2, "sdr": 2, "pesq_wb": 3}
"""Number of decimals of each score."""

HEADINGS = ("SI-SDR", "SDR", "PESQ")
"""Names of the scores in tables."""

UNGUARDED = 1000.0

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


OUTPUTS: dict[Any, Any] = {}
"""Recordings of the user as the teacher enhanced them, for every student that has no teacher of its own."""


def teacher_that_remembers(model: str, student: Any) -> Teacher:
    """Return the enhancement of `open_teacher`, with a cache of its outputs."""
    teacher = open_teacher(model, student)
    if model == "own":
        return teacher

    def run(audio: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        key = (model, rate, audio.tobytes())
        if key not in OUTPUTS:
            OUTPUTS[key] = teacher.run(audio, rate)
        return OUTPUTS[key]

    return dataclasses.replace(teacher, run=run)


def save_weights(run: Path, output: Path, **_: Any) -> None:
    """Save the weights of the network, which is all that is scored, in place of an export."""
    system, values = checkpoint.read_config(run)
    checkpoint.save(output, system, values, checkpoint.load(run).state_dict())


def main() -> None:
    """Compute the missing results and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("users", type=Path)
    parser.add_argument("overrides", nargs="*", help="settings of the adaptation, key=value")
    parser.add_argument("--students", nargs="*", type=Path, default=[])
    parser.add_argument("--larger", nargs="*", type=Path, default=[], help="models that are only scored")
    parser.add_argument("--teacher")
    parser.add_argument("--config", type=Path)
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12, help="of users")
    parser.add_argument("--clips", type=int, default=4, help="of each user's test")
    parser.add_argument("--max-minutes", type=float, default=1e9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    adaptation.open_teacher = teacher_that_remembers
    adaptation.export_folder = save_weights
    options.out_dir.mkdir(parents=True, exist_ok=True)
    users = sorted(path.parent for path in options.users.glob("*/user.json"))[: options.count]
    deadline = time.monotonic() + 60 * options.max_minutes
    done = True
    for user in users[::2] + users[1::2]:  # one user after the other: what is there is complete
        for model in [*options.larger, *options.students]:
            done = done and time.monotonic() < deadline
            if done:
                score_generalist(model, user, options, every=model in options.students)
        for model in options.students:
            done = done and time.monotonic() < deadline
            if done:
                score_adapted(model, user, options)
    (options.out_dir / "adaptation.md").write_text(to_markdown(known(options.out_dir)))
    print("done" if done else "not done; the same command goes on")


def score_generalist(model: Path, user: Path, options: argparse.Namespace, every: bool) -> None:
    """Score a model without adaptation, at all levels or the highest, and with the first the noisy input."""
    if not has(options.out_dir, user.name, "noisy", "noisy"):
        note(options.out_dir, user, "noisy", "noisy", {"noisy": score(user, lambda x: x, options.clips)})
    if not has(options.out_dir, user.name, model.name, "generalist"):
        levels = score_levels(model_folder(model), user, options.clips, every)
        note(options.out_dir, user, model.name, "generalist", levels)


def score_adapted(model: Path, user: Path, options: argparse.Namespace) -> None:
    """Adapt a student to a user, completely and as far as the guard permits, and score both."""
    if has(options.out_dir, user.name, model.name, "guarded"):
        return
    config = read(options.config, options.overrides)
    output = options.out_dir / "models" / user.name / model.name
    free = dataclasses.replace(config, tolerance_db=UNGUARDED)
    began = time.monotonic()
    request = Request(
        model, user / "recordings", output, options.teacher, config=free, force=True, max_minutes=None
    )
    report = adapt(request, lambda line: print(line, file=sys.stderr, flush=True))
    report["wall_minutes"] = (time.monotonic() - began) / 60
    if report["refused"]:
        raise SystemExit(f"{user.name}, {model.name}: {report['refused']}")
    levels = score_levels(output, user, options.clips)
    note(options.out_dir, user, model.name, "adapted", levels, report)
    # The guard's choice, as `sese adapt` makes it without an unusual tolerance.
    source = model_folder(model)
    network, adapted = checkpoint.load(source), checkpoint.load(output)
    original = {name: value.clone() for name, value in network.state_dict().items()}
    pairs = guard.general_set(network.sample_rate)
    before, taken = guard.scores(network, pairs), 0.0
    rows: list[dict[str, Any]] = []
    for share in guard.SHARES:
        network.load_state_dict(guard.between(original, adapted.state_dict(), share))
        rows = guard.compare(before, guard.scores(network, pairs))
        if not guard.harmed(rows, config.tolerance_db):
            taken = share
            break
    if not taken:  # refused: the user keeps the original
        network.load_state_dict(original)
    guarded = output.parent / f"{model.name}-guarded"
    system, values = checkpoint.read_config(source)
    checkpoint.save(guarded, system, values, network.state_dict())
    levels = levels if taken == 1 else score_levels(guarded, user, options.clips)
    note(options.out_dir, user, model.name, "guarded", levels, {"share": taken, "general": rows})


def score_levels(folder: Path, user: Path, clips: int, every: bool = True) -> dict[str, Any]:
    """Return the scores of each level of a model, by its utilization, with its cost."""
    model = checkpoint.load(folder)
    found = {}
    for level, plan in list(enumerate(level_plans(model)))[0 if every else -1 :]:
        row = score(user, lambda x, plan=plan: enhance(model, x, plan), clips)
        row["mmacs_per_second"] = macs_per_sample(model, plan) * model.sample_rate / 1e6
        row["parameters"] = parameters_used(model, level + 1)
        found[f"{float(utilization(plan, model.sites).mean()):g}"] = row
    return found


def score(user: Path, run: Run, clips: int) -> dict[str, float]:
    """Return mean scores over the test pairs of a user."""
    rows = []
    for path in sorted((user / "test" / "noisy").glob("*.wav"))[:clips]:
        noisy, rate = soundfile.read(path, dtype="float32")
        clean, _ = soundfile.read(user / "test" / "clean" / path.name, dtype="float32")
        made = run(noisy)
        rows.append((si_sdr(clean, made), sdr(clean, made), pesq_wb(clean, made, rate)))
    return dict(zip(DIGITS, np.nanmean(rows, axis=0).tolist(), strict=True))


def note(output: Path, user: Path, model: str, kind: str, levels: Any, report: Any = None) -> None:
    """Append a result to the file of results."""
    facts = json.loads((user / "user.json").read_text())
    row = {"user": user.name, "noise": facts["noise"], "model": model, "kind": kind, "levels": levels}
    with (output / "results.jsonl").open("a") as file:
        file.write(json.dumps(row | ({"report": report} if report else {})) + "\n")


def known(output: Path) -> list[dict[str, Any]]:
    """Return all results in the file."""
    path = output / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def has(output: Path, user: str, model: str, kind: str) -> bool:
    """Return whether a result is in the file."""
    return any((row["user"], row["model"], row["kind"]) == (user, model, kind) for row in known(output))


def to_markdown(results: list[dict[str, Any]]) -> str:
    """Return the report: means over users, gains paired by user, and the scores of each user."""
    table: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in results:
        for level, scores in row["levels"].items():
            table.setdefault((row["model"], row["kind"], level), {})[row["user"]] = scores
    parts = ["## Means over users", "\n".join(means(table))]
    parts += ["## Gained by adaptation, paired by user", "\n".join(gains(table))]
    parts += ["## Adapted against larger generalists, paired by user", "\n".join(against(table))]
    parts += ["## User by user, SI-SDR in dB", "\n".join(by_user(table, results))]
    parts += ["## Cost and guard", "\n".join(costs(results))]
    return "\n\n".join(parts) + "\n"


def means(table: dict[Any, Any]) -> list[str]:
    """Return a table with a row for each model, kind and level."""
    rows = []
    for (model, kind, level), users in sorted(table.items(), key=lambda item: _cost(item[1])):
        shown = [
            f"{bootstrap_mean([row[name] for row in users.values()])['mean']:.{digits}f}"
            for name, digits in DIGITS.items()
        ]
        row = next(iter(users.values()))
        cost = ["", ""]
        if "parameters" in row:
            cost = [f"{row['mmacs_per_second']:.1f}", f"{row['parameters']:,}"]
        rows.append([model, level, kind, str(len(users)), *cost, *shown])
    return tables.table(["model", "level", "", "users", "MMAC/s", "parameters", *HEADINGS], rows)


def gains(table: dict[Any, Any]) -> list[str]:
    """Return a table of the gains of adaptation at each model and level."""
    rows = []
    for (model, kind, level), users in sorted(table.items(), key=lambda item: _cost(item[1])):
        if kind in ("adapted", "guarded"):
            base = table[model, "generalist", level]
            rows.append([model, level, kind, *_paired(users, base)])
    return tables.table(["model", "level", "", "users", *HEADINGS], rows)


def against(table: dict[Any, Any]) -> list[str]:
    """Return a table of adapted students against each larger model without adaptation."""
    rows = []
    adapted = {key: users for key, users in table.items() if key[1] == "adapted"}
    for (model, _, level), users in sorted(adapted.items(), key=lambda item: _cost(item[1])):
        for (other, kind, its), base in sorted(table.items(), key=lambda item: _cost(item[1])):
            if kind == "generalist" and other != model and _cost(base) > 1.5 * _cost(users):
                fewer = _cost(base) / _cost(users)
                rows.append([model, level, other, its, f"{fewer:.1f}", *_paired(users, base)])
    names = ["adapted", "level", "less the generalist", "level", "times fewer MACs", "users"]
    return tables.table([*names, *HEADINGS], rows)


def by_user(table: dict[Any, Any], results: list[dict[str, Any]]) -> list[str]:
    """Return a table of scores before and after adaptation, for each user and model."""
    columns = sorted(
        (key for key in table if key[1] != "guarded"), key=lambda key: (_cost(table[key]), key[1])
    )
    noises = {row["user"]: row["noise"] for row in results}
    rows = []
    for user, noise in sorted(noises.items()):
        cells = [table[key].get(user) for key in columns]
        rows.append([user, noise, *("" if cell is None else f"{cell['si_sdr']:.1f}" for cell in cells)])
    names = [f"{model} {level} {kind}" for model, kind, level in columns]
    return tables.table(["user", "noise", *names], rows)


def costs(results: list[dict[str, Any]]) -> list[str]:
    """Return a table of the minutes and steps of adaptation, and of the decisions of the guard."""
    rows = []
    for model in dict.fromkeys(row["model"] for row in results if row["kind"] == "adapted"):
        reports = [row["report"] for row in results if (row["model"], row["kind"]) == (model, "adapted")]
        taken = [
            row["report"]["share"] for row in results if (row["model"], row["kind"]) == (model, "guarded")
        ]
        nearer = [
            level["after_db"] - level["before_db"]
            for report in reports
            for level in report["levels"]
            if level["adapted"]
        ]
        worst = [min(row["change_db"]["mean"] for row in report["general"]["levels"]) for report in reports]
        rows.append(
            [
                model,
                f"{len(reports)}",
                f"{np.mean([r['cost']['minutes'] for r in reports]):.2f}",
                f"{np.mean([r['wall_minutes'] for r in reports]):.2f}",
                f"{np.mean([r['cost']['steps'] for r in reports]):.0f}",
                f"{np.mean(nearer):+.2f} dB",
                f"{np.mean(worst):+.2f} dB ({min(worst):+.2f} to {max(worst):+.2f})",
                f"{sum(share > 0 for share in taken)} of {len(taken)}",
                f"{np.mean(taken):.2f}",
            ]
        )
    names = ["student", "users", "minutes of learning", "with all", "steps", "to the teacher", "general set"]
    return tables.table([*names, "accepted", "share taken"], rows)


def _paired(users: dict[str, Any], base: dict[str, Any]) -> list[str]:
    """Return the number of common users and the mean difference of each score with its interval."""
    both = [user for user in users if user in base]
    cells = [f"{len(both)}"]
    for name, digits in DIGITS.items():
        gain = bootstrap_mean([users[user][name] - base[user][name] for user in both])
        cells.append(tables.with_interval(gain, digits, sign=True))
    return cells


def _cost(users: dict[str, Any]) -> float:
    """Return the compute of a model in millions of MACs per second."""
    return next(iter(users.values())).get("mmacs_per_second", 0.0)


if __name__ == "__main__":
    main()
