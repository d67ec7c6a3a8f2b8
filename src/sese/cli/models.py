"""`sese models`: list the bundled models, and show the levels of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sese.cli.apps import App
from sese.cli.options import MODEL_HELP, model_names

if TYPE_CHECKING:
    from rich.table import Table

    from sese.runtime.artefact import Artefact

GENERAL = "sese-"  # the models for everyday use; all others demonstrate a published method
NOISE_SECONDS, ROUNDS = 0.2, 3

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
        "\ntime: share of one core of this machine in real time, at the lowest and the highest level\n"
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

    facts = describe(open_artefact(name))
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{facts['name']} {facts['version']}: {facts['description']}")
    print(f"file        {facts['path']}")
    print(f"rate        {facts['sample_rate']} Hz (files and streams of other rates are resampled)")
    print(f"latency     {facts['latency_ms']:.1f} ms ({facts['latency_samples']} samples)")
    print(f"parameters  {facts['parameters']:,}")
    router = "yes: --budget auto, or a mean share such as --budget 0.3" if facts["router"] else "no"
    if facts.get("rests"):
        router = "rests where nobody speaks: --budget auto, or at most a mean share such as --budget 0.5"
    if facts["gates"]:
        router = "gates that choose channels: --budget auto"
    if facts["alternatives"]:
        router = "a gate that chooses one of the experts" if facts["router"] else "no gate"
        router += f"; --budget fixed:1 to fixed:{len(facts['levels'])} for one of the experts"
    print(f"router      {router}")
    for part, licence in facts["licence"].items():
        print(f"licence     {part}: {licence}")
    _print(_levels(facts))


def _row(artefact: Artefact, default: str) -> tuple[str, ...]:
    """Return the line of a model, in cells."""
    card = artefact.card
    name = card.name + (" (default)" if card.name == default else "")
    times = " to ".join(f"{100 * time:.2g}%" for time in _times(artefact))
    return name, f"{card.latency_ms:.1f} ms", times, _gain(artefact), card.description


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns, no wider than the terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    longest = max(40, shutil.get_terminal_size().columns)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [
        line.rstrip() if len(line.rstrip()) <= longest else line[: longest - 3].rstrip() + "..."
        for line in lines
    ]


def _times(artefact: Artefact) -> list[float]:
    """Measure the seconds that a second of noise takes at the lowest and the highest level."""
    import numpy as np

    from sese.runtime.budget import level_name
    from sese.runtime.options import EnhanceOptions
    from sese.runtime.stream import Stream

    card = artefact.card
    noise = np.random.default_rng(0).normal(0, 0.05, round(NOISE_SECONDS * card.sample_rate))
    times = []
    for index in dict.fromkeys((0, len(card.levels) - 1)):
        stream = Stream(artefact, EnhanceOptions(f"fixed:{level_name(card, index)}"))
        rounds = []
        for _ in range(ROUNDS):  # the shortest counts: other work may disturb, and the first call allocates
            stream.reset()
            stream.feed(noise)
            rounds.append(stream.real_time_factor)
        times.append(min(rounds))
    return times


def _gain(artefact: Artefact) -> str:
    """Return the gain of PESQ over the noisy input, at the lowest and the highest level."""
    card = artefact.card
    for metric in ("pesq_wb", "pesq"):
        noisy = card.quality.get("noisy", {}).get(metric)
        scores = [row[metric] for name, row in card.quality.items() if name != "noisy" and metric in row]
        if noisy is not None and scores:
            return " to ".join(f"{score - noisy:+.2f}" for score in dict.fromkeys((min(scores), max(scores))))
    return ""


def _levels(facts: dict[str, Any]) -> Table:
    """Return a row for each level, and for other budgets and the noisy input where their quality is known."""
    from rich.markup import escape

    quality = {_level_of(key): row for key, row in facts["quality"].items()}
    metrics = list(dict.fromkeys(metric for row in quality.values() for metric in row))
    rows = {
        f"{number}" if facts["alternatives"] else f"{level['utilization']:g}": (
            f"{level['macs_per_second'] / 1e6:,.1f}",
            f"{level['parameters']:,}",
        )
        for number, level in enumerate(facts["levels"], start=1)
    }
    table = _table("level", "MMACs/s", "parameters", *map(escape, metrics))
    others = [key for key in quality if key not in rows and key != "noisy"]
    for key in [*(["noisy"] if "noisy" in quality else []), *rows, *others]:
        name = "noisy input" if key == "noisy" else key if key in rows else escape(f"budget {key}")
        scores = quality.get(key, {})
        shown = [f"{scores[metric]:.2f}" if metric in scores else "" for metric in metrics]
        table.add_row(name, *rows.get(key, ("", "")), *shown)
    return table


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
