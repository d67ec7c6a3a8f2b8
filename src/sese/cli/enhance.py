"""`sese enhance`: audio files and folders."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sese.cli.options import (
    MESSAGES,
    OUTPUT,
    RUN,
    BandAbove,
    Budget,
    For,
    Force,
    Linked,
    MaxAttenuation,
    MaxMmacs,
    MaxRtf,
    Mix,
    Model,
    Quiet,
    limit_for,
    number_or_word,
    option,
)
from sese.cli.run_models import usable
from sese.cli.summary import note, summarize
from sese.core.errors import InputError, plain

if TYPE_CHECKING:
    from sese.folders.inputs import Job
    from sese.folders.job import Outcome, RunOptions

CHANGING = (
    "model", "budget", "max_mmacs", "max_rtf", "mix", "max_attenuation_db", "for_", "band_above", "linked",
    "trace",
)  # fmt: skip
"""Options that change the output."""


def enhance(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(help="Audio files and folders, as paths or URLs.", show_default=False),
    ],
    output: Annotated[
        Path | None, option(OUTPUT, "--output", "-o", help="File to write, for one input file.")
    ] = None,
    out_dir: Annotated[
        str | None,
        option(
            OUTPUT,
            help="Folder or URL for the outputs, with the same subfolders as the inputs.",
            show_default="NAME_enhanced beside each input",
        ),
    ] = None,
    force: Force = False,
    dry_run: Annotated[
        bool, option(OUTPUT, "--dry-run", help="Show what would be written, and write nothing.")
    ] = False,
    trace: Annotated[
        Path | None,
        option(
            OUTPUT,
            help="File for the share of compute, and of some models the probability of speech, of each "
            "frame, .csv or .json; for one input.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        option(
            OUTPUT,
            help="File that gets a line of JSON for each file.",
            show_default="manifest.jsonl in a local --out-dir, for a folder",
        ),
    ] = None,
    model: Model = None,
    budget: Budget = "1",
    max_mmacs: MaxMmacs = None,
    max_rtf: MaxRtf = None,
    mix: Mix = 1.0,
    max_attenuation_db: MaxAttenuation = None,
    for_: For = "listener",
    band_above: BandAbove = "follow",
    linked: Linked = True,
    jobs: Annotated[
        int | None, option(RUN, help="Number of files to enhance at a time.", show_default="one per core")
    ] = None,
    ray: Annotated[
        bool,
        option(
            RUN,
            "--ray",
            help="Use a Ray cluster: the one at HOST:PORT after this option, else that of RAY_ADDRESS or of "
            "this machine, else a new one on this machine ('local' always starts one).",
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Annotated[
        bool, option(MESSAGES, "--verbose", "-v", help="Show the measured values too.")
    ] = False,
    as_json: Annotated[bool, option(MESSAGES, "--json", help="Print a report on each file as JSON.")] = False,
) -> None:
    """Remove noise from audio files. Sample rate, channels, length and encoding stay the same.

    The result is written beside each input as NAME_enhanced; inputs are never overwritten.
    """
    from sese.folders.inputs import plan_jobs
    from sese.folders.job import Outcome, RunOptions
    from sese.folders.places import as_place
    from sese.runtime.options import EnhanceOptions

    _refuse_pipes(inputs, output)
    inputs, address = _part_address(inputs) if ray else (inputs, None)
    places = [as_place(text) for text in inputs]
    folder = as_place(out_dir) if out_dir is not None else None
    if output is None and folder is None:
        _refuse_output_as_input(places)
    how = EnhanceOptions(
        budget=number_or_word(budget),
        max_mmacs=max_mmacs,
        max_rtf=max_rtf,
        mix=mix,
        max_attenuation_db=limit_for(for_, max_attenuation_db),
        band_above=band_above,
        linked=linked,
    )
    options = RunOptions(usable(model), how, force, trace)
    planned = plan_jobs(places, output, folder, force)
    if dry_run:
        _show_plan(planned, options, as_json)
        return
    if len(planned) == 1 and planned[0].error:
        outcomes = [Outcome(planned[0], "failed", error=planned[0].error)]
    else:
        if len(planned) == 1 and folder is None:
            _refuse_other_settings(context, planned[0], force)
        manifest = manifest or _usual_manifest(places, folder)
        outcomes = _run(planned, options, jobs, manifest, address, quiet)
    _report(outcomes, as_json, quiet, verbose)
    if not quiet:
        _tell_of_late_frames(outcomes, max_rtf)
        for outcome in outcomes:
            for text in outcome.report.notes if outcome.report else ():
                note(f"{outcome.job.target}: {text}")
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _report(outcomes: list[Outcome], as_json: bool, quiet: bool, verbose: bool) -> None:
    """Print the outcomes; a single failure is raised."""
    if as_json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed and len(outcomes) == 1:
        raise InputError(failed[0].error or "it failed")
    if not as_json and not quiet:
        summarize(outcomes, verbose)
    for outcome in failed:
        print(f"sese: error: {plain(outcome.error)}", file=sys.stderr)


def _refuse_pipes(inputs: Sequence[str], output: Path | None) -> None:
    """Refuse ``-``, and name the verb that reads and writes pipes."""
    if "-" in inputs or (output is not None and str(output) == "-"):
        raise InputError(
            "sese enhance reads and writes files, not stdin and stdout (-); "
            "for pipes use: sese stream < noisy.wav > clean.wav"
        )


def _refuse_output_as_input(places: Sequence[Path | str]) -> None:
    """Refuse ``IN OUT``, where OUT does not exist and is meant as the output."""
    from sese.audio.files import READABLE

    if len(places) != 2:
        return
    source, target = places
    if (
        isinstance(source, Path)
        and isinstance(target, Path)
        and target.suffix.lower() in READABLE
        and source.is_file()
        and not target.exists()
    ):
        raise InputError(f"{target} does not exist; did you mean -o {target}?")


def _refuse_other_settings(context: typer.Context, job: Job, force: bool) -> None:
    """Refuse options that change the output, where the one output exists and would stay as it is."""
    from sese.core.files import is_null_device

    if force or not isinstance(job.target, Path) or not job.target.exists() or is_null_device(job.target):
        return
    given = [name for name in CHANGING if _is_typed(context, name)]
    if given:
        names = ", ".join(f"--{name.rstrip('_').replace('_', '-')}" for name in given)
        raise InputError(
            f"{job.target} exists, perhaps with other settings than {names}; replace it with --force, or "
            "name another file with -o"
        )


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _show_plan(planned: Sequence[Job], options: RunOptions, as_json: bool) -> None:
    """Print what a run would do; exit with 1 where a file could not be enhanced."""
    from sese.folders.jobs import planned_outcomes

    outcomes = list(planned_outcomes(planned, options))
    if as_json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            ends = {"failed": f": error: {outcome.error}", "skipped": ": skipped, the output exists"}
            words = f"{outcome.job.source} -> {outcome.job.target}" + ends.get(outcome.status, "")
            print(plain(words))
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _part_address(words: list[str]) -> tuple[list[str], str]:
    """Separate the cluster's address, the optional value of `--ray`, from the inputs."""
    for word in words:
        if re.fullmatch(r"[\w.-]+:\d+|\[[\da-fA-F:]+\]:\d+|auto|local", word) and not Path(word).exists():
            inputs = [other for other in words if other is not word]
            if not inputs:
                raise InputError(
                    f"--ray {word} names a cluster, but there are no inputs; name a file or folder"
                )
            return inputs, word
    return words, "auto"


def _usual_manifest(inputs: Sequence[Path | str], out_dir: Path | str | None) -> Path | None:
    """Return the usual file of the manifest for a folder; None for files, and without a local folder."""
    from sese.folders.manifest import NAME

    folders = any(isinstance(place, str) or place.is_dir() for place in inputs)
    return out_dir / NAME if folders and isinstance(out_dir, Path) else None


def _run(
    planned: list[Job],
    options: RunOptions,
    workers: int | None,
    manifest: Path | None,
    ray: str | None,
    quiet: bool,
) -> list[Outcome]:
    """Do the jobs and return their outcomes in the order of the jobs."""
    from sese.folders.jobs import run_jobs

    place = {job: index for index, job in enumerate(planned)}
    # Ray reports lost nodes on standard output, where only the report belongs.
    aside = redirect_stdout(sys.stderr) if ray else nullcontext()
    tell = None if quiet else note
    with aside, _progress(planned, quiet) as (heard, done):
        outcomes = []
        outcomes_of = run_jobs(planned, options, workers, heard, manifest=manifest, ray=ray, tell=tell)
        for outcome in outcomes_of:
            outcomes.append(outcome)
            done(len(outcomes))
    return sorted(outcomes, key=lambda outcome: place[outcome.job])


@contextmanager
def _progress(
    planned: list[Job], quiet: bool
) -> Iterator[tuple[Callable[[float], object] | None, Callable[[float], object]]]:
    """Show a bar on a terminal: seconds of audio for one file, else files. Yields a function for each."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sese.audio.files import probe

    def nothing(_: float) -> None: ...

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None, nothing
        return
    if len(planned) > 1:
        count: TextColumn | MofNCompleteColumn = MofNCompleteColumn()
    else:
        count = TextColumn("{task.completed:.0f}/{task.total:.0f} s")
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        if len(planned) > 1:
            task = bar.add_task("files", total=len(planned))
            yield None, lambda files: bar.update(task, completed=files)
        else:
            try:
                total = probe(planned[0].source).duration if isinstance(planned[0].source, Path) else 0.0
            except InputError:
                total = 0.0  # reported when the file is read
            task = bar.add_task(escape(plain(Path(planned[0].source).name)), total=total)
            yield (lambda seconds: bar.update(task, completed=seconds)), nothing


def _tell_of_late_frames(outcomes: list[Outcome], max_rtf: float | None) -> None:
    """Print a line where frames were late so often that it had consequences."""
    from sese.runtime.limits import late_note

    reports = [outcome.report for outcome in outcomes if outcome.report]
    if max_rtf is None:
        return
    late = sum(report.late_frames or 0 for report in reports)
    lowered = sum(report.lowered or 0 for report in reports)
    text = late_note(late, lowered, any(report.missed for report in reports), max_rtf)
    if text:
        note(text)
