"""`sese models`: which there are, and what each can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sese.cli.options import model_names

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="List the bundled models, and show the levels of one.")


@app.callback(invoke_without_command=True)
def list_models(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the bundled models, and show the levels of one."""
    context.default_map = {"show": {"as_json": as_json}}  # `--json` may stand before the word as well
    if context.invoked_subcommand is not None:
        return
    from rich.markup import escape

    from sese.runtime.artefact import bundled_models, describe, open_artefact

    models = [describe(open_artefact(name)) for name in bundled_models()]
    if as_json:
        print(json.dumps(models, indent=2))
        return
    if not models:
        print("no models come with this installation; name a model folder or file with --model")
        return
    table = _table("name", "MMACs/s", "latency (ms)", "description")
    for facts in models:
        costs = [level["macs_per_second"] / 1e6 for level in facts["levels"]]
        table.add_row(
            escape(facts["name"]),
            " to ".join(f"{cost:,.0f}" for cost in dict.fromkeys((costs[0], costs[-1]))),
            f"{facts['latency_ms']:.1f}",
            escape(facts["description"]),
        )
    _print(table)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a bundled model, a model folder or an .onnx file.", autocompletion=model_names
        ),
    ],
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
    router = "yes: --budget auto, or a mean to hold, as --budget 0.3" if facts["router"] else "no"
    if facts["gates"]:
        router = "gates, which pick channels: --budget auto"
    if facts["alternatives"]:
        router = "a gate, which picks one of the experts" if facts["router"] else "no gate picks an expert"
        router += f"; --budget fixed:1 to fixed:{len(facts['levels'])} for one of them"
    print(f"router      {router}")
    for part, licence in facts["licence"].items():
        print(f"licence     {part}: {licence}")
    _print(_levels(facts))


def _levels(facts: dict[str, Any]) -> Table:
    """A row for each level; with what else the quality is known of: the noisy input, other budgets."""
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
    """The level that a budget names, as its row is named; else the budget."""
    try:
        return f"{float(key.removeprefix('fixed:')):g}"
    except ValueError:
        return key


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in headings:
        words = heading in ("name", "description")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading != "description")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)
