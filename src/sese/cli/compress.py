"""`sese compress`: recurrent layers in integers of chosen widths."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sese.core.errors import plain


def compress(
    model: Annotated[Path, typer.Argument(help="Run folder, model folder, or name of a bundled model.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Data for ranges and errors: a folder with clean/ and noisy/, such as from `sese data mix`;"
            " for a network that labels speech, its corpus."
        ),
    ],
    out: Annotated[Path, typer.Option("--out-dir", "-o", help="Folder for the networks and the report.")],
    search: Annotated[
        bool, typer.Option("--search", help="Search bit widths; the same command continues a search.")
    ] = False,
    bits: Annotated[
        str | None,
        typer.Option(
            help="Bit widths of networks with one width for all layers, such as 8,6,4.",
            show_default="8; with --search 8 to 4",
        ),
    ] = None,
    population: Annotated[
        int, typer.Option(help="Number of networks in each generation of the search.")
    ] = 40,
    generations: Annotated[int, typer.Option(help="Number of generations of the search.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the search and of --tune.")] = 1,
    tune: Annotated[int, typer.Option(help="Number of fine-tuning steps for the chosen networks.")] = 0,
    test: Annotated[
        Path | None, typer.Option(help="Other data of the same form, to score the networks on.")
    ] = None,
    limit: Annotated[
        int, typer.Option(help="Number of clips of DATA that each network of a search runs on.")
    ] = 24,
    choose_limit: Annotated[
        int | None,
        typer.Option(
            help="Number of clips of DATA that choose among the best of the search.",
            show_default="4 times --limit",
        ),
    ] = None,
    test_limit: Annotated[int, typer.Option(help="Number of clips of --test.")] = 80,
    seconds: Annotated[
        float, typer.Option(help="Length of each clip of DATA in seconds, from its start.")
    ] = 2.0,
    test_seconds: Annotated[float, typer.Option(help="Length of each clip of --test in seconds.")] = 5.0,
    listen: Annotated[
        int, typer.Option(help="Number of clips of --test to write, enhanced by each network.")
    ] = 0,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Time in minutes after which the search stops; the same command continues it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Store the recurrent layers of a network as integers of 2 to 8 bits; widths can be searched."""
    import json

    from sese.cli.extras import require

    require("train", "torch", "lightning", "safetensors")
    require("metrics", "matplotlib", "pesq", "pystoi")
    if search:
        require("compress", "pymoo")
    from sese.compression import study
    from sese.compression.open import check, open_subject
    from sese.compression.search import Evaluator, Settings, front
    from sese.compression.search import search as run

    settings = Settings(population, generations, seed)
    widths = study.widths(bits or ("8,7,6,5,4" if search else "8"))
    choose_limit = 4 * limit if choose_limit is None else choose_limit
    check(
        limit=limit,
        choose_limit=choose_limit,
        test_limit=test_limit,
        seconds=seconds,
        test_seconds=test_seconds,
        tune=tune,
        listen=listen,
        max_minutes=max_minutes or 0,
    )
    subject = open_subject(model, data, limit, seconds)
    other = None if test is None else open_subject(model, test, test_limit, test_seconds, test=True)
    evaluate = Evaluator(subject, out if search else None)
    done = not search or run(evaluate, settings, _progress if sys.stderr.isatty() else _lines, max_minutes)
    if not done:
        typer.echo(f"stopped after {len(evaluate.known)} evaluations; the same command continues", err=True)
        return
    more = open_subject(model, data, choose_limit, seconds)
    choose = Evaluator(more, out / "choice", evaluate)
    variants = study.chosen(choose, widths, front(list(evaluate.known.values())) if search else ())
    if tune:
        last = [each for each in variants if each.name in study.ALLOWED]
        variants += [study.tuned(choose, each, tune, seed, out, _tell) for each in last]
    study.write_networks(variants, subject, out)
    scores: dict[str, Any] = {}
    if other is not None:
        scores = study.score(variants, other, _tell, out, listen)
    facts: study.StudyFacts = {
        "model": str(model),
        "data": str(data),
        "clips": len(subject.x),
        "choose_clips": len(more.x),
        "test": None if test is None else str(test),
        "test_clips": 0 if other is None else len(other.x),
        "search": {"population": population, "generations": generations, "seed": seed} if search else None,
        "tune_steps": tune,
    }
    result = study.report(evaluate, choose, variants, scores, facts)
    paths = study.write_report(out, result)
    typer.echo(json.dumps(result, indent=2) if as_json else plain(study.to_markdown(result)), nl=as_json)
    for path in paths:
        typer.echo(f"wrote {path}", err=True)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _progress(generation: int, made: int, most: int, known: Any) -> None:
    _tell(_line(generation, made, most, known))


def _lines(generation: int, made: int, most: int, known: Any) -> None:
    if made % 40 == 0 or made == most:
        _tell(_line(generation, made, most, known))


def _line(generation: int, made: int, most: int, known: Any) -> str:
    from sese.compression.search import front

    best = front(known)
    errors = f"errors {best[-1].error:.4f} to {best[0].error:.4f}"
    sizes = f"{best[0].bytes / 1000:.1f} to {best[-1].bytes / 1000:.1f} kB"
    return f"generation {generation}, {made} of {most} networks; on the front {len(best)}, {errors}, {sizes}"
