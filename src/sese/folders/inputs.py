"""Find the files to enhance, and choose their outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sese.audio.files import FORMAT_OF, READABLE, UNREADABLE, unreadable
from sese.audio.media import MEDIA_SUFFIXES, SOUND_SUFFIXES, has_video
from sese.core.errors import InputError, remedy
from sese.core.walk import files_below
from sese.folders.places import Place, name_of, resolver, suffix_of, walk

SUFFIX = "_enhanced"


@dataclass(frozen=True)
class Job:
    """One file to enhance, from a path or URL to another. A job with an `error` cannot be done."""

    source: Place
    target: Place
    error: str | None = None


def plan_jobs(
    inputs: Sequence[Place], output: Path | None = None, out_dir: Place | None = None, force: bool = False
) -> list[Job]:
    """Turn files and folders into jobs, each with its own output.

    Folders are searched for audio files, by extension, and links to folders are followed. Audio of a format
    that cannot be read is a job with an error, and so is a folder that cannot be listed or that is `out_dir`.
    Hidden files, outputs of earlier runs and everything under `out_dir` are passed over. The output is
    ``<stem>_enhanced<ext>`` beside the input, or lies under `out_dir` as the input lies under its folder.

    Args:
        inputs: Paths and URLs of files and folders.
        output: File to write, for one input file.
        out_dir: Folder to write to.
        force: Whether existing outputs will be replaced.

    Raises:
        InputError: `output` is given with a folder, several inputs, a URL or `out_dir`; a URL is given
            without `out_dir`, or cannot be listed.
    """
    if output is not None:
        return [_single(inputs, output, out_dir)]
    real = resolver()
    jobs: dict[str, Job] = {}
    for path in inputs:
        if out_dir is not None and _is_folder(path) and real(path) == real(out_dir):
            error = f"{path} is the output folder itself, whose files are never overwritten; choose another"
            jobs[real(path)] = Job(path, path, f"{error} with --out-dir")
            continue
        for job in _expand(path, out_dir) if isinstance(path, Path) else _expand_url(path, out_dir):
            jobs.setdefault(real(job.source), job)
    sources = set(jobs)
    taken: dict[str, Place] = {}
    return [_without_clash(job, real, sources, taken, force) for job in jobs.values()]


def _is_folder(path: Place) -> bool:
    return isinstance(path, str) or path.is_dir()


def _under(folder: Place, relative: Path) -> Place:
    return folder / relative if isinstance(folder, Path) else f"{folder}/{relative.as_posix()}"


def _single(inputs: Sequence[Place], output: Path, out_dir: Place | None) -> Job:
    if out_dir is not None:
        raise InputError(f"--output {output} and --out-dir {out_dir} are both given; give one of them")
    if isinstance(inputs[0], str):
        raise InputError(f"--output {output} names a file for a path, not for {inputs[0]}; use --out-dir")
    if len(inputs) != 1 or inputs[0].is_dir():
        what = f"{inputs[0]} is a folder" if len(inputs) == 1 else f"there are {len(inputs)} inputs"
        raise InputError(f"--output {output} names one file, but {what}; use --out-dir")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; use --out-dir {output}, or name a file in it")
    if os.path.realpath(output) == os.path.realpath(inputs[0]):
        error = f"output {output} is the input itself, which is never overwritten; name another output"
        return Job(inputs[0], output, error)
    return Job(inputs[0], output)


def _expand(path: Path, out_dir: Place | None) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(path, _under(out_dir, _written(path, Path(path.name))) if out_dir else _beside(path))
        return
    found = False
    closed: list[OSError] = []
    for source in _audio_files(path, out_dir if isinstance(out_dir, Path) else None, closed.append):
        found = True
        if source.suffix.lower() in UNREADABLE:
            yield Job(source, source, unreadable(source))
            continue
        below = _written(source, source.relative_to(path))
        yield Job(source, _under(out_dir, below) if out_dir else _beside(source))
    for error in closed:
        folder = Path(error.filename)
        yield Job(folder, folder, f"folder {folder} cannot be listed ({error.strerror}); {remedy(error)}")
    if not found and not closed:
        yield _without_audio(path)


def _expand_url(url: str, out_dir: Place | None) -> Iterator[Job]:
    if out_dir is None:
        raise InputError(f"outputs cannot be written beside {url}; choose a folder with --out-dir")
    below = list(walk(url))
    if not below and suffix_of(url).lower() in READABLE:  # a file, or fetching it will show the error
        yield Job(url, _under(out_dir, _written(url, Path(name_of(url)))))
        return
    found = False
    for source, relative in below:
        hidden = any(part.startswith(".") for part in relative.split("/"))
        inside = isinstance(out_dir, str) and source.startswith(f"{out_dir}/")
        if not hidden and not inside and Path(relative).suffix.lower() in UNREADABLE:
            found = True
            yield Job(source, source, unreadable(source))
        elif not hidden and not inside and Path(relative).suffix.lower() in READABLE:
            found = True
            yield Job(source, _under(out_dir, _written(source, Path(relative))))
    if not found:
        yield _without_audio(url)


def _beside(source: Path) -> Path:
    """Return the usual output of a file, beside it."""
    named = source.with_name(source.stem + SUFFIX + source.suffix)
    return named.with_suffix(_written(source, named).suffix)


def _written(source: Place, relative: Path) -> Path:
    """Return the path of an output: sound alone of a format that is only read becomes WAV."""
    suffix = relative.suffix.lower()
    if suffix in SOUND_SUFFIXES:
        return relative.with_suffix(".wav")
    if suffix in MEDIA_SUFFIXES and isinstance(source, Path) and not has_video(source):
        return relative.with_suffix(".wav")
    return relative


def _without_audio(folder: Place) -> Job:
    return Job(
        folder, folder, f"{folder} is a folder without audio files; name one with {' '.join(FORMAT_OF)}"
    )


def _audio_files(folder: Path, out_dir: Path | None, closed: Callable[[OSError], object]) -> Iterator[Path]:
    for path in files_below(folder, closed, out_dir):
        suffix = path.suffix.lower()
        if suffix in UNREADABLE or (suffix in READABLE and not _is_output(path)):
            yield path


def _is_output(path: Path) -> bool:
    """Return whether a file is an output that lies beside its input."""
    stem = path.stem.removesuffix(SUFFIX)
    suffixes = [path.suffix] + [*MEDIA_SUFFIXES] * (path.suffix.lower() == ".wav")
    return stem not in ("", path.stem) and any(path.with_name(stem + s).exists() for s in suffixes)


def _without_clash(
    job: Job,
    real: Callable[[Place], str],
    sources: set[str],
    taken: dict[str, Place],
    force: bool,
) -> Job:
    target = real(job.target)
    if job.error is None and target in taken:
        error = (
            f"{job.source} and {taken[target]} would both be written to {job.target}; "
            "enhance this one alone, with another name after -o"
        )
        return Job(job.source, job.target, error)
    taken[target] = job.source
    if job.error is None and target in sources and (force or target == real(job.source)):
        error = f"{job.source} would be written over the input {job.target}; use --out-dir for another folder"
        return Job(job.source, job.target, error)
    return job
