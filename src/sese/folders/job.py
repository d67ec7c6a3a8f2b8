"""One job: its options, its outcome, and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from sese.core.errors import InputError
from sese.folders.inputs import Job
from sese.folders.places import deliver, fetch, suffix_of
from sese.runtime.artefact import Artefact, open_artefact
from sese.runtime.file import Report, enhance_file, require_separate
from sese.runtime.options import EnhanceOptions


@dataclass(frozen=True)
class RunOptions:
    """Options of a run over files, the same for all of them.

    Attributes:
        model: Name of a bundled model, path of a model folder or of an ``.onnx`` file; None for the default
            model.
        enhance: How to enhance.
        force: Replace existing outputs.
        trace: File for the share of compute of each frame, for a run over one file; None for none.
    """

    model: str | None = None
    enhance: EnhanceOptions = field(default_factory=EnhanceOptions)
    force: bool = False
    trace: Path | None = None

    def open(self) -> Artefact:
        """Open the model and check that it can run with the options.

        Raises:
            InputError: The model cannot be opened, or not run with these options.
        """
        artefact = open_artefact(self.model)
        self.enhance.check(artefact.card)
        return artefact


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job.

    "done" has a report, "failed" an error, "skipped" found its output there; "planned" is not done yet.
    """

    job: Job
    status: Literal["done", "skipped", "failed", "planned"]
    report: Report | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        facts = {"input": str(self.job.source), "output": str(self.job.target), "status": self.status}
        return facts | {"error": self.error} | (asdict(self.report) if self.report else {})


def enhance_job(
    artefact: Artefact,
    job: Job,
    options: RunOptions,
    progress: Callable[[float], object] | None = None,
    *,
    shared: bool = False,
) -> Outcome:
    """Do one job. Errors of its files are part of the outcome.

    Args:
        artefact: The opened model.
        job: Source and target; URLs are downloaded, enhanced and uploaded.
        options: How to enhance.
        progress: Called with the seconds of audio read so far.
        shared: Whether other machines write to the same folder. The file is then finished elsewhere, and
            brought there whole.
    """
    try:
        if isinstance(job.source, Path) and isinstance(job.target, Path):
            require_separate(job.source, job.target)
            if not shared:
                return Outcome(job, "done", _enhance(artefact, job.source, job.target, options, progress))
        return Outcome(job, "done", _enhance_apart(artefact, job, options, progress))
    except InputError as error:
        return Outcome(job, "failed", error=str(error))


def _enhance(
    artefact: Artefact,
    source: Path,
    target: Path,
    options: RunOptions,
    progress: Callable[[float], object] | None,
) -> Report:
    return enhance_file(
        artefact,
        source,
        target,
        options.enhance,
        trace=options.trace,
        force=options.force,
        progress=progress,
    )


def _enhance_apart(
    artefact: Artefact, job: Job, options: RunOptions, progress: Callable[[float], object] | None
) -> Report:
    """Enhance in a temporary folder of this machine, then deliver the finished file."""
    with TemporaryDirectory(prefix="sese-") as folder:
        source = fetch(job.source, Path(folder))
        target = Path(folder) / f"target{suffix_of(job.target)}"
        try:
            report = _enhance(artefact, source, target, options, progress)
        except InputError as error:
            text = str(error).replace(str(target), str(job.target)).replace(str(source), str(job.source))
            raise InputError(text) from error
        deliver(target, job.target)
    return replace(report, input=str(job.source), output=str(job.target))
