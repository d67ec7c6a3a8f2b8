"""`sese models`: list the bundled models, and show the levels of one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sese.cli.apps import App
from sese.cli.options import MODEL_HELP, model_names
from sese.cli.run_models import usable
from sese.core.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from sese.runtime.artefact import Artefact
    from sese.runtime.card import Card

GENERAL = "sese-"  # the models for everyday use; all others demonstrate a published method
TIME = "share of one core of this machine in real time, in files"

app = App("List the bundled models, or show the levels of one.")


@app.callback(invoke_without_command=True)
def list_models(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the bundled models with their time and quality, or show the levels of one."""
    context.default_map = {"show": {"as_json": as_json}}  # `--json` may stand before the word as well
    if context.invoked_subcommand is not None:
        return
    from sese.runtime.artefact import bundled_models, default_model, describe, open_artefact

    artefacts = [open_artefact(name) for name in bundled_models()]
    if as_json:
        print(json.dumps([describe(artefact) for artefact in artefacts], indent=2))
        return
    if not artefacts:
        print("no models come with this installation; name a model folder or file with --model")
        return
    default = default_model()
    general = [a for a in artefacts if a.card.name.startswith(GENERAL) or a.card.name == default]
    general.sort(key=lambda artefact: artefact.card.name != default)
    others = [artefact for artefact in artefacts if artefact not in general]
    rows = [_row(artefact, default) for artefact in general + others]
    lines = _lines([("name", "latency", "time", "quality", "description"), *rows])
    print("\n".join(lines[: 1 + len(general)]))
    if others:
        print("\nDemonstrations of published methods:")
        print("\n".join(lines[1 + len(general) :]))
    print(
        f"\ntime: {TIME}, at the lowest and the highest level\n"
        "quality: gain of PESQ over the noisy input\n"
        "sese models show NAME lists the levels"
    )


@app.verb("show", "sese models show sese-2")
def show(
    name: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=model_names)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the levels of a model: compute, parameters, quality; its latency and its licences."""
    from sese.runtime.artefact import describe, open_artefact

    artefact = open_artefact(usable(name))
    facts = describe(artefact)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{facts['name']} {facts['version']}: {facts['description']}")
    print(f"file        {facts['path']}")
    print(f"rate        {facts['sample_rate']} Hz (files and streams of other rates are resampled)")
    print(f"latency     {facts['latency_ms']:.1f} ms ({facts['latency_samples']} samples)")
    print(f"parameters  {facts['parameters']:,}")
    for line in _about_budgets(artefact.card):
        print(line)
    if artefact.detects_speech:
        print("speech      its probability in each frame that the router decides on: --trace FILE.csv")
    elif artefact.card.rests:
        print("speech      no probability in this file: export the model again with `sese export`")
    for part, licence in facts["licence"].items():
        print(f"licence     {part}: {licence}")
    _print(_levels(artefact))
    print(f"time: {TIME}; `sese profile` measures streams too")


def _row(artefact: Artefact, default: str) -> tuple[str, ...]:
    """Return the line of a model, in cells."""
    card = artefact.card
    from sese.evaluation.speed import file_times, lowest_and_highest

    name = card.name + (" (default)" if card.name == default else "")
    times = " to ".join(map(_percent, file_times(artefact, lowest_and_highest(card)).values()))
    return name, f"{card.latency_ms:.1f} ms", times, _gain(artefact), card.description


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns, no wider than the terminal where they go to one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    longest = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else sys.maxsize
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [
        line.rstrip() if len(line.rstrip()) <= longest else line[: longest - 3].rstrip() + "..."
        for line in lines
    ]


def _about_budgets(card: Card) -> list[str]:
    """Return lines that say what a budget does with this model."""
    from sese.runtime.budget import Fixed, level_name, parse_budget, rests_from

    if card.alternatives:
        gate = "a gate that chooses one of the experts" if card.router else "no gate"
        return [f"router      {gate}; --budget fixed:1 to fixed:{len(card.levels)} for one of the experts"]
    if card.gates:
        return ["router      gates that choose channels: --budget 1 or auto; fixed:1 runs everything"]
    number = round((card.levels[0].utilization + 1) / 2, 1)  # within some level
    rule = parse_budget(card, number)
    least = rests_from(card)
    if isinstance(rule, Fixed):
        router = "yes, --budget auto: it chooses a level for each frame" if card.router else "no"
        runs = f"the highest level within it: {number:g} runs {level_name(card, rule.level)}"
    else:
        router = (
            f"rests where nobody speaks or nothing disturbs: --budget auto, or from {least:.2g} to below 1"
        )
        runs = f"the highest level whose mean, rests included, stays within it; below {least:.2g}, the lowest"
    return [f"router      {router}", f"budget      a number runs {runs}"]


def _percent(time: float) -> str:
    return f"{100 * time:.2g}%"


def _gain(artefact: Artefact) -> str:
    """Return the gain of PESQ over the noisy input, at the lowest and the highest level."""
    card = artefact.card
    for metric in ("pesq_wb", "pesq"):
        noisy = card.quality.get("noisy", {}).get(metric)
        scores = [row[metric] for name, row in card.quality.items() if name != "noisy" and metric in row]
        if noisy is not None and scores:
            return " to ".join(f"{score - noisy:+.2f}" for score in dict.fromkeys((min(scores), max(scores))))
    return ""


def _levels(artefact: Artefact) -> Table:
    """Return a row for each level, and for other budgets and the noisy input where their quality is known."""
    from rich.markup import escape

    from sese.evaluation.speed import file_times
    from sese.runtime.budget import level_name

    card = artefact.card
    quality = {_level_of(key): row for key, row in card.quality.items()}
    metrics = list(dict.fromkeys(metric for row in quality.values() for metric in row))
    rows = {
        level_name(card, number): (f"{level.macs_per_second / 1e6:,.1f}", f"{level.parameters:,}")
        for number, level in enumerate(card.levels)
    }
    others = [key for key in quality if key not in rows and key != "noisy"]
    budgets = {key: f"fixed:{key}" if key in rows else key for key in [*rows, *others]}
    times = file_times(artefact, [budget for budget in budgets.values() if _is_budget(card, budget)])
    table = _table("budget", "MMACs/s", "time", "parameters", *map(escape, metrics))
    for key in [*(["noisy"] if "noisy" in quality else []), *rows, *others]:
        name = "noisy input" if key == "noisy" else budgets[key] if card.alternatives else escape(key)
        macs, parameters = rows.get(key, ("", ""))
        time = times.get(budgets.get(key, ""))
        scores = quality.get(key, {})
        shown = [f"{scores[metric]:.2f}" if metric in scores else "" for metric in metrics]
        table.add_row(name, macs, "" if time is None else _percent(time), parameters, *shown)
    return table


def _is_budget(card: Card, budget: str) -> bool:
    """Return whether a model has a budget, as the words of a damaged or older file may be none."""
    from sese.runtime.budget import parse_budget

    try:
        parse_budget(card, budget)
    except InputError:
        return False
    return True


def _level_of(key: str) -> str:
    """Return the name of the level that a budget means, or else the budget."""
    try:
        return f"{float(key.removeprefix('fixed:')):g}"
    except ValueError:
        return key


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)
