"""Which files are enhanced, where to, and what becomes of each."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.tiny_model import tone
from sese.core.errors import InputError
from sese.folders.inputs import plan_jobs
from sese.folders.job import RunOptions
from sese.folders.jobs import run_jobs
from sese.runtime.options import EnhanceOptions


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with audio on two floors, and much that is no input."""
    folder = tmp_path / "in"
    for name in ("a.wav", "b.FLAC", "deep/er/c.wav", ".hidden.wav", ".secret/d.wav", "a_enhanced.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tone(800), 16000)
    soundfile.write(folder / "alone_enhanced.wav", tone(800), 16000)  # not made from a file beside it
    (folder / ".a.1234.part.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("not audio")
    return folder


def pairs(folder: Path, **options: object) -> list[tuple[str, str]]:
    jobs = plan_jobs([folder], **options)  # type: ignore[arg-type]
    assert all(job.error is None for job in jobs)
    return [(os.path.relpath(job.source, folder), os.path.relpath(job.target, folder)) for job in jobs]


def test_beside_the_inputs(tree: Path) -> None:
    assert pairs(tree) == [
        ("a.wav", "a_enhanced.wav"),
        ("alone_enhanced.wav", "alone_enhanced_enhanced.wav"),
        ("b.FLAC", "b_enhanced.FLAC"),
        ("deep/er/c.wav", "deep/er/c_enhanced.wav"),
    ]


def test_mirrored_tree(tree: Path) -> None:
    expected = ["a.wav", "alone_enhanced.wav", "b.FLAC", "deep/er/c.wav"]
    assert pairs(tree, out_dir=tree / "../out") == [(name, f"../out/{name}") for name in expected]


def test_output_folder_inside_the_input_folder(tree: Path, tiny: Path) -> None:
    settings = RunOptions(str(tiny))
    first = list(run_jobs(plan_jobs([tree], out_dir=tree / "out"), settings, workers=1))
    again = list(run_jobs(plan_jobs([tree], out_dir=tree / "out"), settings, workers=1))
    assert [outcome.status for outcome in first] == ["done"] * 4
    assert [outcome.status for outcome in again] == ["skipped"] * 4


def test_one_input_twice_is_done_once(tree: Path) -> None:
    assert len(plan_jobs([tree, tree / "a.wav", tree / "deep" / ".." / "a.wav"])) == 4


def test_two_inputs_for_one_output(tree: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(800), 16000)
    jobs = plan_jobs([tree / "a.wav", tmp_path / "a.wav"], out_dir=tmp_path / "out")
    assert jobs[0].error is None
    assert "would both be written" in str(jobs[1].error)
    assert "another name after -o" in str(jobs[1].error), "a second run would skip it: the output exists"


def test_output_is_another_input(tree: Path) -> None:
    inputs = [tree / "a.wav", tree / "a_enhanced.wav"]
    assert "over the input" in str(plan_jobs(inputs, force=True)[0].error)
    assert plan_jobs(inputs)[0].error is None  # it will be skipped


def test_output_folder_is_the_input_folder(tree: Path) -> None:
    (job,) = plan_jobs([tree], out_dir=tree)
    assert "is the output folder itself" in str(job.error)
    (tree.parent / "link").symlink_to(tree)
    (job,) = plan_jobs([tree], out_dir=tree.parent / "link")
    assert "is the output folder itself" in str(job.error)


def test_output_folder_is_one_of_the_inputs(tree: Path) -> None:
    """As with ``sese enhance in/* --out-dir in/out``, run once more."""
    jobs = plan_jobs([tree / "a.wav", tree / "deep", tree / "b.FLAC"], out_dir=tree / "deep")
    assert [job.source.name for job in jobs if job.error is None] == ["a.wav", "b.FLAC"]
    assert ["is the output folder itself" in job.error for job in jobs if job.error] == [True]


def test_output_folder_that_does_not_exist(tmp_path: Path) -> None:
    """The input is what is missing, and the run says so."""
    (job,) = plan_jobs([tmp_path / "none"], out_dir=tmp_path / "none")
    assert "output folder" not in str(job.error)


def test_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (job,) = plan_jobs([tmp_path / "empty"])
    assert "without audio files" in str(job.error)


def test_folder_that_is_closed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser may list everything, so that the system is played here."""
    real, deep = os.scandir, str(tree / "deep")

    def scandir(path: str) -> object:
        if str(path) == deep:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    *others, closed = plan_jobs([tree])
    assert len(others) == 3
    assert closed.error == (
        f"folder {deep} cannot be listed (Permission denied); "
        "change its permissions, or choose another folder"
    )
    (alone,) = plan_jobs([tree / "deep"])
    assert alone == closed


@pytest.mark.parametrize(
    ("inputs", "options", "words"),
    [
        (["in"], {"output": "out.wav"}, "in is a folder"),
        (["in/a.wav", "in/b.FLAC"], {"output": "out.wav"}, "2 inputs"),
        (["in/a.wav"], {"output": "in"}, "in is a folder; use --out-dir"),
        (["in/a.wav"], {"output": "out.wav", "out_dir": "out"}, "both given"),
    ],
)
def test_bad_output(
    tree: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], options: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tree.parent)
    with pytest.raises(InputError) as caught:
        plan_jobs([Path(path) for path in inputs], **{name: Path(path) for name, path in options.items()})
    assert words in str(caught.value)


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_do_not_stop_the_others(tree: Path, tiny: Path, workers: int) -> None:
    (tree / "bad.wav").write_text("not audio")
    soundfile.write(tree / "nan.wav", np.full(800, np.nan), 16000, subtype="FLOAT")
    outcomes = list(run_jobs(plan_jobs([tree]), RunOptions(str(tiny), EnhanceOptions(0.5)), workers))
    status = {outcome.job.source.name: outcome.status for outcome in outcomes}
    assert status == {
        "a.wav": "skipped",
        "alone_enhanced.wav": "done",
        "b.FLAC": "done",
        "bad.wav": "failed",
        "c.wav": "done",
        "nan.wav": "failed",
    }
    for outcome in outcomes:
        assert (outcome.report is not None) == (outcome.status == "done")
        assert (outcome.error is not None) == (outcome.status == "failed")
        if outcome.report:
            assert outcome.report.utilization == 0.5
            assert soundfile.info(outcome.job.target).frames == 800
        if outcome.error:
            assert str(outcome.job.source) in outcome.error
            assert not outcome.job.target.exists()
    assert not list(tree.rglob(".*.part.*.wav"))


def test_settings_are_refused_before_any_file(tree: Path, tiny: Path) -> None:
    for options in (RunOptions("none"), RunOptions(str(tiny), EnhanceOptions(0.01))):
        with pytest.raises(InputError):
            next(run_jobs(plan_jobs([tree]), options))
    with pytest.raises(InputError, match="jobs is 0"):
        next(run_jobs(plan_jobs([tree]), RunOptions(str(tiny)), workers=0))


def test_no_output_folder_for_a_missing_input(tmp_path: Path, tiny: Path) -> None:
    jobs = plan_jobs([tmp_path / "none.wav"], out_dir=tmp_path / "out")
    (outcome,) = run_jobs(jobs, RunOptions(str(tiny)))
    assert "does not exist" in str(outcome.error)
    assert not (tmp_path / "out").exists()
