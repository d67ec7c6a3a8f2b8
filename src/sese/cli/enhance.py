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
    BUDGET_HELP,
    BandAbove,
    Linked,
    MaxAttenuation,
    MaxMmacs,
    MaxRtf,
    Mix,
    Model,
    budgets,
    number_or_word,
)
from sese.core.errors import InputError, plain

if TYPE_CHECKING:
    from sese.folders.inputs import Job
    from sese.folders.jobs import Outcome, RunOptions


def enhance(
    inputs: Annotated[
        list[str], typer.Argument(help="Audio files, and folders of them; paths or URLs.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the one input file.")
    ] = None,
    out_dir: Annotated[
        str | None,
        typer.Option(
            help="Folder or URL for the outputs, laid out as the inputs; else, NAME_enhanced beside each."
        ),
    ] = None,
    model: Model = None,
    budget: Annotated[str, typer.Option(help=BUDGET_HELP, autocompletion=budgets)] = "1",
    max_mmacs: MaxMmacs = None,
    max_rtf: MaxRtf = None,
    mix: Mix = 1.0,
    max_attenuation_db: MaxAttenuation = None,
    band_above: BandAbove = "follow",
    linked: Linked = True,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs.")] = False,
    trace: Annotated[
        Path | None, typer.Option(help="Write what each frame of the one file used: .csv or .json.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Files to enhance at a time; one per core if not given.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Add a line of JSON for each file here; when a folder is enhanced into a local --out-dir, "
            "manifest.jsonl in it if not given."
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Work on a Ray cluster: the one at HOST:PORT if that follows, else that of RAY_ADDRESS or "
            "of this machine, else a new one on this machine ('local': always).",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a report of each file as JSON.")] = False,
) -> None:
    """Enhance audio files. Rate, channels, length and encoding are kept; inputs are never overwritten."""
    from sese.folders.inputs import plan_jobs
    from sese.folders.jobs import Outcome, RunOptions
    from sese.folders.places import as_place
    from sese.runtime.options import EnhanceOptions

    inputs, address = _part_address(inputs) if ray else (inputs, None)
    places = [as_place(text) for text in inputs]
    folder = as_place(out_dir) if out_dir is not None else None
    how = EnhanceOptions(
        budget=number_or_word(budget),
        max_mmacs=max_mmacs,
        max_rtf=max_rtf,
        mix=mix,
        max_attenuation_db=max_attenuation_db,
        band_above=band_above,
        linked=linked,
    )
    options = RunOptions(model, how, force, trace)
    planned = plan_jobs(places, output, folder, force)
    if len(planned) == 1 and planned[0].error:
        outcomes = [Outcome(planned[0], "failed", error=planned[0].error)]
    else:
        manifest = manifest or _usual_manifest(places, folder)
        outcomes = _run(planned, options, jobs, manifest, address)
    if as_json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed and len(outcomes) == 1:
        raise InputError(failed[0].error or "it failed")
    if not as_json:
        _summarize(outcomes)
    _tell_of_late_frames(outcomes, max_rtf)
    for outcome in failed:
        print(f"sese: error: {plain(outcome.error)}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _part_address(words: list[str]) -> tuple[list[str], str]:
    """Part the cluster's address from the inputs: the value of `--ray`, which typer cannot leave optional."""
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
    """Where the manifest of a folder goes, if nothing else is said."""
    from sese.folders.manifest import NAME

    folders = any(isinstance(place, str) or place.is_dir() for place in inputs)
    return out_dir / NAME if folders and isinstance(out_dir, Path) else None


def _as_typed(budget: float | str) -> str:
    return budget if isinstance(budget, str) else f"{budget:g}"


def _run(
    planned: list[Job], options: RunOptions, workers: int | None, manifest: Path | None, ray: str | None
) -> list[Outcome]:
    """Do the jobs and return their outcomes in the order of the jobs."""
    from sese.folders.jobs import run_jobs

    place = {job: index for index, job in enumerate(planned)}
    # Ray tells of lost nodes on standard output, where only the report belongs.
    aside = redirect_stdout(sys.stderr) if ray else nullcontext()
    with aside, _progress(planned) as (heard, done):
        outcomes = []
        outcomes_of = run_jobs(planned, options, workers, heard, manifest=manifest, ray=ray, tell=_note)
        for outcome in outcomes_of:
            outcomes.append(outcome)
            done(len(outcomes))
    return sorted(outcomes, key=lambda outcome: place[outcome.job])


def _note(text: str) -> None:
    print(f"sese: note: {plain(text)}", file=sys.stderr)


@contextmanager
def _progress(
    planned: list[Job],
) -> Iterator[tuple[Callable[[float], object] | None, Callable[[float], object]]]:
    """A bar on a terminal: seconds of audio for one file, else files. Yields what to call with each."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sese.audio.files import probe

    def nothing(_: float) -> None: ...

    console = Console(stderr=True)
    if not console.is_terminal:
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
                total = 0.0  # told when its turn comes
            task = bar.add_task(escape(plain(Path(planned[0].source).name)), total=total)
            yield (lambda seconds: bar.update(task, completed=seconds)), nothing


def _summarize(outcomes: list[Outcome]) -> None:
    """One line: what was done, how fast, with how much compute, and what limited it."""
    reports = [outcome.report for outcome in outcomes if outcome.report]
    skipped = sum(outcome.status == "skipped" for outcome in outcomes)
    if len(outcomes) == 1 and skipped:
        print(plain(f"{outcomes[0].job.target} exists: skipped (--force replaces it)"))
        return
    if len(outcomes) == 1:
        words = [f"{outcomes[0].job.source} -> {outcomes[0].job.target}"]
    else:
        words = [f"{len(reports)} done, {skipped} skipped, {len(outcomes) - len(reports) - skipped} failed"]
    if reports:
        seconds = sum(report.seconds for report in reports)
        spent = sum(report.processing_seconds for report in reports)
        used = sum(report.utilization * report.seconds for report in reports) / seconds
        words.append(f"{seconds:.1f} s of audio in {spent:.1f} s (real-time factor {spent / seconds:.3f})")
        words.append(f"utilization {used:.3g} (budget {_as_typed(reports[0].budget)})")
        limits = {f"{report.limited_to:g}" for report in reports if report.limited_to is not None}
        if limits:
            words.append(f"limited to level {min(limits, key=float)}")
    clipped = sum(report.clipped_samples for report in reports)
    if clipped:
        words.append(f"{clipped} samples clipped")
    print(plain("; ".join(words)))


def _tell_of_late_frames(outcomes: list[Outcome], max_rtf: float | None) -> None:
    """One line, if frames were late so often that it had consequences."""
    from sese.runtime.limits import late_note

    reports = [outcome.report for outcome in outcomes if outcome.report]
    if max_rtf is None:
        return
    late = sum(report.late_frames or 0 for report in reports)
    lowered = sum(report.lowered or 0 for report in reports)
    note = late_note(late, lowered, any(report.missed for report in reports), max_rtf)
    if note:
        print(f"sese: note: {note}", file=sys.stderr)
