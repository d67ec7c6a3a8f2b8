"""The manifest: what a row says, what is read back, and what tears."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from runtime.tiny_model import tone
from sese.core.errors import InputError
from sese.folders.inputs import plan_jobs
from sese.folders.job import RunOptions
from sese.folders.jobs import run_jobs
from sese.folders.manifest import Manifest
from sese.runtime.options import EnhanceOptions


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three files on two floors, and one that is no audio."""
    folder = tmp_path / "in"
    for name in ("a.wav", "b.wav", "deep/c.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tone(1600), 16000)
    (folder / "text.wav").write_text("not audio")
    return folder


def run(corpus: Path, model: Path, told: list[str] | None = None, **options: Any) -> dict[str, str]:
    """Enhance into `out` beside the corpus; the status of each input."""
    out = corpus.parent / "out"
    jobs = plan_jobs([corpus], out_dir=out, force=options.get("force", False))
    tell = None if told is None else told.append
    force = options.pop("force", False)
    settings = RunOptions(str(model), EnhanceOptions(**options), force)
    outcomes = run_jobs(jobs, settings, workers=1, manifest=out / "manifest.jsonl", tell=tell)
    return {Path(outcome.job.source).name: outcome.status for outcome in outcomes}


def rows(corpus: Path) -> list[dict[str, Any]]:
    lines = (corpus.parent / "out" / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_fields(corpus: Path, tiny: Path) -> None:
    run(corpus, tiny, budget=0.5)
    by_name = {Path(row["input"]).name: row for row in rows(corpus)}
    done = by_name["c.wav"]
    assert done["input"] == str(corpus / "deep/c.wav")
    assert done["output"] == str(corpus.parent / "out/deep/c.wav")
    assert (done["status"], done["seconds"], done["utilization"]) == ("done", 0.1, 0.5)
    assert (done["model"], done["budget"], done["mix"], done["error"]) == ("tiny 1", 0.5, 1.0, None)
    assert len(done["model_sha256"]) == 16
    assert 0 < done["processing_seconds"] < 10
    failed = by_name["text.wav"]
    assert failed["status"] == "failed"
    assert "not audio" in failed["error"]
    assert failed["seconds"] is failed["model"] is None


def test_failed_ones_are_tried_again_and_finished_ones_skipped(corpus: Path, tiny: Path) -> None:
    assert run(corpus, tiny) == {"a.wav": "done", "b.wav": "done", "c.wav": "done", "text.wav": "failed"}
    soundfile.write(corpus / "text.wav", tone(1600), 16000)
    (corpus.parent / "out/b.wav").unlink()  # taken away: made again
    expected = {"a.wav": "skipped", "b.wav": "done", "c.wav": "skipped", "text.wav": "done"}
    assert run(corpus, tiny) == expected
    names = [(Path(row["input"]).name, row["status"]) for row in rows(corpus)]
    assert len(names) == 6  # the skipped ones had their rows
    assert dict(names) == dict.fromkeys(expected, "done")  # the last row counts


def test_outputs_without_a_row_get_one(corpus: Path, tiny: Path) -> None:
    """As a run leaves them that is killed between a file and its row."""
    run(corpus, tiny)
    manifest = corpus.parent / "out/manifest.jsonl"
    kept = [line for line in manifest.read_text().splitlines(keepends=True) if "a.wav" not in line]
    manifest.write_text("".join(kept))
    run(corpus, tiny)
    run(corpus, tiny)
    found = [row for row in rows(corpus) if row["input"].endswith("a.wav")]
    assert [row["status"] for row in found] == ["skipped"]


def test_other_settings_are_refused(corpus: Path, tiny: Path, remembering: Path) -> None:
    """Outputs that stay would not be what was asked for."""
    run(corpus, tiny, budget=0.5)
    run(corpus, tiny, budget=0.5)
    with pytest.raises(
        InputError, match=r"3 finished outputs were made with budget 0\.5, not 0\.25"
    ) as caught:
        run(corpus, tiny, budget=0.25)
    assert "--force" in str(caught.value)
    assert "--out-dir or -o" in str(caught.value)
    (corpus.parent / "out/a.wav").unlink()  # made again: no output that stays
    with pytest.raises(InputError, match="2 finished outputs were made with budget"):
        run(corpus, tiny, budget=0.25)
    assert not (corpus.parent / "out/a.wav").exists()  # nothing is done
    with pytest.raises(InputError, match="model tiny 1, not remembering 1"):
        run(corpus, remembering, budget=0.5)
    assert run(corpus, tiny, budget=0.25, force=True)["a.wav"] == "done"
    assert run(corpus, tiny, budget=0.25)["a.wav"] == "skipped"


@pytest.mark.parametrize("torn", [b'{"input": "x", "outp', b"\0\0\0\n", b"[]\n"])
def test_torn_line(corpus: Path, tiny: Path, torn: bytes) -> None:
    run(corpus, tiny)
    path = corpus.parent / "out/manifest.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    told: list[str] = []
    (corpus.parent / "out/a.wav").unlink()
    run(corpus, tiny, told)
    assert told == [f"manifest {path}: 1 line was torn and is passed over"]
    after = path.read_bytes().removeprefix(whole)
    after = after.removeprefix(torn) if torn.endswith(b"\n") else after
    assert [json.loads(line)["status"] for line in after.splitlines()] == ["done", "failed"]


def test_one_run_at_a_time(corpus: Path, tiny: Path) -> None:
    run(corpus, tiny)
    path = corpus.parent / "out/manifest.jsonl"
    with Manifest(path), pytest.raises(InputError, match="in use by another run"):
        run(corpus, tiny)
    run(corpus, tiny)


def test_manifest_that_cannot_be(corpus: Path, tiny: Path, tmp_path: Path) -> None:
    jobs = plan_jobs([corpus], out_dir=tmp_path / "out")
    with pytest.raises(InputError, match="is a folder"):
        list(run_jobs(jobs, RunOptions(str(tiny)), manifest=tmp_path))
    with pytest.raises(InputError, match="cannot be written"):
        list(run_jobs(jobs, RunOptions(str(tiny)), 1, manifest=corpus / "a.wav" / "m.jsonl"))


@pytest.mark.parametrize("name", ["a.wav", "deep/c.wav", "diary.txt", "linked"])
def test_other_files_are_left_alone(corpus: Path, tiny: Path, name: str) -> None:
    """Above all the inputs; by any name."""
    (corpus / "diary.txt").write_text("Dear diary,\ntoday")
    (corpus / "linked").hardlink_to(corpus / "b.wav")
    before = (corpus / name).read_bytes()
    jobs = plan_jobs([corpus], out_dir=corpus.parent / "out")
    with pytest.raises(InputError, match=r"input itself|not a manifest"):
        list(run_jobs(jobs, RunOptions(str(tiny)), 1, manifest=corpus / name))
    assert (corpus / name).read_bytes() == before
    assert not (corpus.parent / "out").exists()


def test_other_files_of_the_run_are_no_manifest(corpus: Path, tiny: Path, tmp_path: Path) -> None:
    output, trace = tmp_path / "out.wav", tmp_path / "trace.json"
    jobs = plan_jobs([corpus / "a.wav"], output)
    for path, of in ((output, "output"), (trace, "trace")):
        with pytest.raises(InputError, match=f"manifest {path} is the {of} itself"):
            list(run_jobs(jobs, RunOptions(str(tiny), trace=trace), manifest=path))
        assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_only_files_and_nowhere_are_appended_to(corpus: Path, tiny: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    jobs = plan_jobs([corpus / "a.wav"], tmp_path / "out.wav")
    with pytest.raises(InputError, match="a pipe"):
        list(run_jobs(jobs, RunOptions(str(tiny)), manifest=tmp_path / "pipe"))
    (outcome,) = run_jobs(jobs, RunOptions(str(tiny)), manifest=Path(os.devnull))
    assert outcome.status == "done"


def test_standard_output_is_no_manifest(corpus: Path, tiny: Path, tmp_path: Path) -> None:
    command = ["enhance", corpus / "a.wav", "--model", tiny, "--manifest", "/dev/stdout"]
    with (tmp_path / "told").open("wb") as told:
        ran = subprocess.run(
            [sys.executable, "-m", "sese.cli.main", *map(str, command)], stdout=told, stderr=subprocess.PIPE
        )
    assert ran.returncode == 2
    assert b"this program's output" in ran.stderr
    assert (tmp_path / "told").read_bytes() == b""


def test_equal_settings_of_many_rows_are_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    row = {"status": "done", "model": "m 1", "budget": 1.0}
    with path.open("w") as file:
        for index in range(20000):
            file.write(json.dumps({"input": f"/in/{index}.wav", "output": f"/out/{index}.wav"} | row) + "\n")
    with Manifest(path) as manifest:
        assert manifest.rows == 20000
        assert len(manifest._settings) == 1
