"""Adapt a model to a user's recordings: teach, guard, export, report."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sese.adaptation import guard
from sese.adaptation.card import notes
from sese.adaptation.config import AdaptConfig
from sese.adaptation.distillation import LAST, Adaptation, Material, Progress
from sese.adaptation.recordings import (
    Recording,
    Span,
    part,
    pieces,
    read_recordings,
    several_speakers,
    with_speech,
)
from sese.adaptation.report import Outcome, level_names, refusal, report_of
from sese.adaptation.results import Report
from sese.adaptation.teacher import OWN, Teacher, enhance, model_folder, open_teacher
from sese.adaptation.voice import listen
from sese.core.errors import InputError
from sese.export.folder import check_output, export_folder
from sese.nn import checkpoint
from sese.nn.enhancer import Enhancer
from sese.nn.plan import alternatives
from sese.nn.policies.fixed import level_plans
from sese.runtime.artefact import DEFAULT_MODEL
from sese.training.process import prepare

LOW, ALL = "low", "all"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """Request for an adaptation.

    Attributes:
        model: a bundled model's name, a model folder or a run folder.
        recordings: folder with the user's recordings, or one file.
        output: model folder to write.
        teacher: name for `open_teacher`; None for the model's own highest level, or `sese-2` without levels.
        levels: ``low`` (all but the highest), ``all``, or utilizations, as ``0.125,0.25`` (of experts their
            numbers, ``1,3``); None for low where the model teaches itself, else all.
        config: settings.
        resume: go on from the checkpoint of an interrupted adaptation.
        force: replace an existing model folder, and start anew where an interrupted adaptation lies.
        max_minutes: time limit of learning; then the best so far is taken.
    """

    model: Path
    recordings: Path
    output: Path
    teacher: str | None = None
    levels: str | None = None
    config: AdaptConfig = dataclasses.field(default_factory=AdaptConfig)
    resume: bool = False
    force: bool = False
    max_minutes: float | None = None

    @property
    def work(self) -> Path:
        """Return the folder of the checkpoint, beside the output."""
        return self.output.parent / f".{self.output.name}.adapting"


def adapt(request: Request, tell: Tell) -> Report:
    """Adapt a model to recordings; the original is only read.

    The function is long since it is the whole course of an adaptation, step by step.

    Args:
        request: the request.
        tell: takes lines of progress and warnings.

    Returns:
        The report. Its `refused` says why nothing was written; empty where the output was.

    Raises:
        InputError: anything that cannot be used; nothing is written then.
    """
    source = model_folder(request.model)
    _check_places(request, source)
    config = request.config
    prepare(config.threads)
    torch.manual_seed(config.seed)
    student = checkpoint.load(source)
    system, system_config = checkpoint.read_config(source)
    _check_student(student, system, request.model)
    own = request.teacher or (OWN if _slimmable(student) else DEFAULT_MODEL)
    chosen = parse_levels(request.levels or (LOW if own == OWN else ALL), student)
    teacher = open_teacher(own, student)
    if own == OWN and len(level_plans(student)) - 1 in chosen:
        raise InputError(
            "the highest level is the teacher and cannot learn from itself; leave it out of --levels"
        )

    found, left_out = read_recordings(request.recordings, student.sample_rate, config.segment_seconds)
    for line in left_out:
        tell(line)
    pairs = guard.general_set(student.sample_rate)
    before = guard.scores(student, pairs)
    taught = before[-1] if own == OWN else guard.teacher_scores(teacher, pairs)
    chosen = _learnable(
        teacher, taught, before, chosen, level_names(student), strict=request.levels not in (None, LOW)
    )
    if len(chosen) < len(before):
        kept = [name for level, name in enumerate(level_names(student)) if level not in chosen]
        tell(f"levels that are kept as they are: {', '.join(kept)}")

    seconds = sum(len(each.audio) for each in found) / student.sample_rate
    tell(f"{teacher.name} enhances {seconds / 60:.1f} minutes of recordings")
    targets = [teacher.run(each.audio, student.sample_rate) for each in found]
    recordings, targets, warning, silent = _spoken(request, found, targets, student.sample_rate)
    for line in [*silent, *([f"warning: {warning}"] if warning else [])]:
        tell(line)
    learn, held = part(recordings, student.sample_rate, config.held_out, config.seed)
    material = _material(student, recordings, targets, chosen, learn, held)

    identity = _identity(source, recordings, teacher, chosen, config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    original = {name: value.clone() for name, value in student.to(device).state_dict().items()}
    adaptation = Adaptation(student, chosen, _to(material, device), config, request.work, identity)
    if request.resume:
        adaptation.resume()
    elif request.force:
        shutil.rmtree(request.work, ignore_errors=True)
    adaptation.run(lambda now: tell(_line(now, adaptation)), request.max_minutes)
    outcome = _guarded(adaptation, original, pairs, before, tell)
    student.cpu()
    facts = report_of(adaptation, teacher, outcome)
    facts["recordings"]["left_out"] = len(left_out) + len(silent)
    facts["recordings"]["warning"] = warning
    facts["general"]["teacher_db"] = float(taught.mean())
    report: Report = {
        "model": request.model.resolve().name if request.model.exists() else str(request.model),
        "name": request.output.name,
        **facts,
        "refused": refusal(facts, config),
    }
    if report["refused"]:
        if not adaptation.progress.best_step:
            shutil.rmtree(request.work, ignore_errors=True)
        return report
    checkpoint.save(request.work / "model", system, system_config, student.state_dict())
    _export(request, report, system_config.description)
    return report


def _export(request: Request, report: Report, description: str) -> None:
    """Export the adapted network from the work folder, and remove that folder."""
    text = request.work / "notes.md"
    text.write_text(notes(report, request.config))
    with contextlib.redirect_stdout(io.StringIO()):
        export_folder(
            request.work / "model",
            request.output,
            notes=text,
            description=f"{description} Adapted to one user's recordings.",
            force=request.force,
        )
    shutil.rmtree(request.work, ignore_errors=True)


def _slimmable(student: Enhancer) -> bool:
    """Return whether a model has levels, one within the other."""
    return len(level_plans(student)) > 1 and not alternatives(student.sites)


def parse_levels(text: str, student: Enhancer) -> list[int]:
    """Return the numbers of the levels that a text names, from 0 for the lowest; see `Request`.

    Raises:
        InputError: it names one that there is not.
    """
    plans = level_plans(student)
    if text == ALL or (text == LOW and len(plans) == 1):
        return list(range(len(plans)))
    if text == LOW:
        return list(range(len(plans) - 1))
    names = level_names(student)
    found = set()
    for word in text.split(","):
        try:
            near = [level for level, name in enumerate(names) if abs(float(name) - float(word)) < 0.005]
        except ValueError:
            near = []
        if not near:
            raise InputError(
                f"--levels {text}: there is no level '{word}'; use low, all, or some of {', '.join(names)}"
            )
        found.add(near[0])
    return sorted(found)


def _check_places(request: Request, source: Path) -> None:
    output, work = request.output, request.work
    teacher = [] if request.teacher is None else [Path(request.teacher)]
    check_output(output, request.force, source, request.model, request.recordings, *teacher)
    if not request.recordings.exists():
        raise InputError(f"{request.recordings} does not exist; name a folder with recordings")
    if (work / LAST).exists() and not request.resume and not request.force:
        raise InputError(
            f"an interrupted adaptation lies in {work}; add --resume to go on, or --force to start anew"
        )
    if request.resume and not (work / LAST).exists():
        raise InputError(f"{work / LAST} does not exist; leave --resume out to start")
    if request.max_minutes is not None and not request.max_minutes > 0:
        raise InputError(f"--max-minutes is {request.max_minutes}; use a number above 0")


def _check_student(student: Enhancer, system: str, model: Path) -> None:
    if student.backbone.quantised or system in ("bitwise", "boosted_hashing"):
        raise InputError(f"{model} is a network of bits ({system}), which is not adapted; use one in floats")
    if student.gated:
        raise InputError(f"{model} has gates, which pick channels; only models with levels are adapted")


def _learnable(
    teacher: Teacher,
    taught: Tensor,
    before: Tensor,
    levels: Sequence[int],
    names: Sequence[str],
    strict: bool,
) -> list[int]:
    """Return the levels that the teacher is better than on the general set, which can learn from it.

    Args:
        teacher: the teacher, named in errors.
        taught: SI-SDR of the teacher on each clip, in dB: (clip,).
        before: SI-SDR of the student in dB: (level, clip).
        levels: levels that are to learn.
        names: names of all levels.
        strict: whether all of `levels` have to fit.

    Raises:
        InputError: none of them, or not all of them and `strict`.
    """
    worse = [level for level in levels if taught.mean() > before[level].mean()]
    if not worse or (strict and len(worse) < len(levels)):
        level = next(level for level in levels if level not in worse)
        raise InputError(
            f"teacher and student do not fit: on the bundled general set {teacher.name} reaches "
            f"{taught.mean():.2f} dB SI-SDR, level {names[level]} of the student "
            f"{before[level].mean():.2f} dB; name a better teacher with --teacher, or lower levels with "
            "--levels"
        )
    return worse


def _spoken(
    request: Request, found: Sequence[Recording], targets: Sequence[Any], rate: int
) -> tuple[list[Recording], list[Any], str, list[str]]:
    """Return recordings with speech, their targets, a warning on several speakers, and lines on the rest."""
    voices = [listen(target, rate, each.audio) for target, each in zip(targets, found, strict=True)]
    numbers, silent = with_speech(request.recordings, found, voices, rate, request.config.least_seconds)
    recordings, spoken = [found[number] for number in numbers], [targets[number] for number in numbers]
    heard = [
        listen(spoken[span.recording][span.begin : span.end], rate) for span in pieces(recordings, rate, 5.0)
    ]
    return recordings, spoken, several_speakers(heard), silent


def _material(
    student: Enhancer,
    recordings: Sequence[Recording],
    targets: Sequence[Any],
    chosen: Sequence[int],
    learn: Sequence[Span],
    held: Sequence[Span],
) -> Material:
    """Return targets of all levels: the teacher's output, and for protected levels their own output now."""
    taught = [torch.from_numpy(np.asarray(target, np.float32)) for target in targets]
    kept = [
        taught
        if level in chosen
        else [torch.from_numpy(enhance(student, each.audio, plan)) for each in recordings]
        for level, plan in enumerate(level_plans(student))
    ]
    return Material([torch.from_numpy(each.audio) for each in recordings], kept, learn, held)


def _to(material: Material, device: torch.device) -> Material:
    moved = [[each.to(device) for each in level] for level in material.targets]
    return dataclasses.replace(material, noisy=[each.to(device) for each in material.noisy], targets=moved)


def _identity(
    source: Path,
    recordings: Sequence[Recording],
    teacher: Teacher,
    levels: Sequence[int],
    config: AdaptConfig,
) -> str:
    """Return a digest of everything that decides what is learnt."""
    digest = hashlib.sha256((source / checkpoint.WEIGHTS).read_bytes())
    for recording in recordings:
        digest.update(recording.audio.tobytes())
    settings = dataclasses.asdict(config)
    for name in ("tolerance_db", "draw_back", "threads", "patience"):  # may change on the way
        del settings[name]
    taught = (teacher.name, teacher.macs_per_second, teacher.fingerprint)
    digest.update(repr((*taught, list(levels), settings)).encode())
    return digest.hexdigest()


def _guarded(
    adaptation: Adaptation, original: dict[str, Tensor], pairs: guard.Pairs, before: Tensor, tell: Tell
) -> Outcome:
    """Take as much of an adaptation as the guard lets pass; where it lets nothing pass, report all of it."""
    config, student, adapted = adaptation.config, adaptation.student, adaptation.best
    outcomes = []
    for share in guard.SHARES if config.draw_back else (1.0,):
        student.load_state_dict(guard.between(original, adapted, share))
        general = guard.compare(before, guard.scores(student, pairs))
        harmed = guard.harmed(general, config.tolerance_db)
        outcomes.append(Outcome(share, adaptation.measure(), general, harmed))
        if not harmed:
            return outcomes[-1]
        worst = min(row["change_db"]["mean"] for row in harmed)
        tell(f"at {share:.0%} of the way, SI-SDR on the general set falls by {-worst:.2f} dB")
    return outcomes[0]


def _line(progress: Progress, adaptation: Adaptation) -> str:
    first, last = (adaptation.score(progress.history[place][1]) for place in (0, -1))
    return (
        f"step {progress.step} of at most {adaptation.config.steps}, {progress.seconds / 60:.1f} min: "
        f"held-out SI-SDR to the teacher {last:.2f} dB, at first {first:.2f} dB"
    )
