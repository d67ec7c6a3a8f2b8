"""`sese compress MODEL DATA -o OUT`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sese.core.errors import plain


def compress(
    model: Annotated[
        Path, typer.Argument(help="A run folder, a model folder, or the name of a bundled model.")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="Ranges and errors are measured here: a folder with clean/ and noisy/, as `sese data mix`"
            " makes; for a network that labels speech, its corpus."
        ),
    ],
    out: Annotated[Path, typer.Option("--out-dir", "-o", help="Folder for the networks and the report.")],
    search: Annotated[
        bool, typer.Option("--search", help="Search bit widths; again with the same folder, goes on.")
    ] = False,
    bits: Annotated[
        str | None,
        typer.Option(help="Networks of one width for all, as 8,6,4. [default: 8; with --search 8 to 4]"),
    ] = None,
    population: Annotated[int, typer.Option(help="Of the search: networks a generation.")] = 40,
    generations: Annotated[int, typer.Option(help="Of the search.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the search and of --tune.")] = 1,
    tune: Annotated[int, typer.Option(help="Fine-tune the picks for so many steps; 0: do not.")] = 0,
    test: Annotated[Path | None, typer.Option(help="Score the networks on other clips, as DATA.")] = None,
    limit: Annotated[int, typer.Option(help="Clips of DATA that each network of a search runs on.")] = 24,
    choose_limit: Annotated[
        int | None, typer.Option(help="Clips of DATA that pick from the search's front. [default: 4 times]")
    ] = None,
    test_limit: Annotated[int, typer.Option(help="Clips of --test to take.")] = 80,
    seconds: Annotated[float, typer.Option(help="Of a clip of DATA, from its start.")] = 2.0,
    test_seconds: Annotated[float, typer.Option(help="Of a clip of --test.")] = 5.0,
    listen: Annotated[int, typer.Option(help="Write so many clips of --test, enhanced by each network.")] = 0,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop the search after this long; the same command goes on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Put a network's recurrent part into integers of 2 to 8 bits: one width for all, or searched ones."""
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
        typer.echo(f"stopped after {len(evaluate.known)} evaluations; the same command goes on", err=True)
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
