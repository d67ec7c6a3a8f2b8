"""Enhancing many files: which, and where to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sese.audio.files import FORMAT_OF
from sese.errors import InputError

SUFFIX = "_enhanced"


@dataclass(frozen=True)
class Job:
    """One file to enhance. A job with an `error` cannot be done."""

    source: Path
    target: Path
    error: str | None = None


def plan_jobs(
    inputs: Sequence[Path], output: Path | None = None, out_dir: Path | None = None, force: bool = False
) -> list[Job]:
    """Turn files and folders into jobs, each with its own output.

    Folders are searched for audio files, by extension; hidden files, outputs of former runs and everything
    under `out_dir` are passed over. The output is ``<stem>_enhanced<ext>`` beside the input, or lies under
    `out_dir` as the input lies under its folder.

    Args:
        inputs: Files and folders.
        output: Where to write the one input file.
        out_dir: Folder to write to.
        force: Whether existing outputs will be replaced.

    Raises:
        InputError: `output` is given with a folder, several inputs, or `out_dir`.
    """
    if output is not None:
        return [_single(inputs, output, out_dir)]
    jobs: dict[Path, Job] = {}
    for path in inputs:
        for job in _expand(path, out_dir):
            jobs.setdefault(Path(os.path.realpath(job.source)), job)
    sources = set(jobs)
    taken: dict[Path, Path] = {}
    return [_without_clash(job, sources, taken, force) for job in jobs.values()]


def _single(inputs: Sequence[Path], output: Path, out_dir: Path | None) -> Job:
    if out_dir is not None:
        raise InputError(f"--output {output} and --out-dir {out_dir} are both given; give one of them")
    if len(inputs) != 1 or inputs[0].is_dir():
        what = f"{inputs[0]} is a folder" if len(inputs) == 1 else f"there are {len(inputs)} inputs"
        raise InputError(f"--output {output} names one file, but {what}; use --out-dir")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; use --out-dir {output}, or name a file in it")
    return Job(inputs[0], output)


def _expand(path: Path, out_dir: Path | None) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(path, out_dir / path.name if out_dir else path.with_name(path.stem + SUFFIX + path.suffix))
        return
    found = False
    for source in _audio_files(path, out_dir):
        found = True
        beside = source.with_name(source.stem + SUFFIX + source.suffix)
        yield Job(source, out_dir / source.relative_to(path) if out_dir else beside)
    if not found:
        yield Job(
            path,
            path,
            f"{path} is a folder without audio files; name one with {' '.join(FORMAT_OF)}",
        )


def _audio_files(folder: Path, out_dir: Path | None) -> Iterator[Path]:
    outputs = out_dir.resolve() if out_dir else None
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (Path(place) / name).resolve() != outputs
        )
        for name in sorted(names):
            path = Path(place) / name
            if not name.startswith(".") and path.suffix.lower() in FORMAT_OF and not _is_output(path):
                yield path


def _is_output(path: Path) -> bool:
    """Whether a file lies beside the input that it was made from."""
    stem = path.stem.removesuffix(SUFFIX)
    return stem not in ("", path.stem) and path.with_name(stem + path.suffix).exists()


def _without_clash(job: Job, sources: set[Path], taken: dict[Path, Path], force: bool) -> Job:
    target = Path(os.path.realpath(job.target))
    if job.error is None and target in taken:
        error = f"{job.source} and {taken[target]} would both be written to {job.target}; enhance them apart"
        return Job(job.source, job.target, error)
    taken[target] = job.source
    if job.error is None and target in sources and (force or target == Path(os.path.realpath(job.source))):
        error = f"{job.source} would be written over the input {job.target}; use --out-dir for another folder"
        return Job(job.source, job.target, error)
    return job
