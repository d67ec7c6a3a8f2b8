"""A folder on a Ray cluster of several nodes, one of which is killed while it works."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from command_line import Run
from runtime.tiny_model import tone

ray = pytest.importorskip("ray", reason="Ray is not installed: extra ray")
pytest.importorskip("ray.data", reason="Ray Data is not installed: extra ray")

FILES = 12


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head that does no work, and two nodes of one core each."""
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        "RAY_enable_metrics_collection": "0",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH", "")]
        ),
    }
    before = {name: os.environ.get(name) for name in quiet}
    os.environ.update(quiet)
    from ray.cluster_utils import Cluster

    node = {"object_store_memory": 80_000_000, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0} | node)
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, **node)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder to be named as a path, one to be named as a URL, and in it what is no audio."""
    folder = tmp_path / "in"
    noise = np.random.default_rng(0)
    for index in range(FILES):
        path = folder / ("far" if index % 2 else "near") / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(4 * 16000) + noise.normal(0, 0.02, (4 * 16000, 1)), 16000)
    (folder / "far" / "text.wav").write_text("not audio")
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def outputs(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.wav")}


def test_killed_node(cluster: Any, sese: Run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = out / "manifest.jsonl"
    written: dict[str, int] = {}  # outputs that were reported before the node was killed, when they were made

    def kill() -> None:
        while len(rows(manifest)) < 5:
            time.sleep(0.02)
        for row in rows(manifest):
            if row["status"] == "done":
                written[row["output"]] = Path(row["output"]).stat().st_mtime_ns
        cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    model = ("--model", "demucs-slim-small")
    places = (corpus / "near", f"local://{corpus}/far")
    ran = sese("enhance", *places, "--out-dir", out, *model, "--ray", cluster.address)
    killer.join(10)
    assert ran.code == 1, ran
    assert f"{FILES} done, 0 skipped, 1 failed" in ran.out
    assert f"local://{corpus}/far/text.wav is damaged or not audio" in ran.err
    lost = re.search(r"sese: note: (\d+) files? .* tried again", ran.err)
    assert lost, ran.err  # the node had files in hand
    assert 1 <= int(lost[1]) <= 4  # and no more than that is done again
    assert ran.out.count("\n") == 1  # nothing of Ray's own

    assert len(rows(manifest)) == FILES + 1
    found = [row for row in rows(manifest) if row["status"] == "done"]
    assert 4 <= len(written) < FILES
    assert len(found) == len({row["output"] for row in found}) == FILES
    assert {str(path) for path in outputs(out).values()} == {row["output"] for row in found}
    assert all(Path(path).stat().st_mtime_ns == made for path, made in written.items())
    assert not list(out.rglob(".*"))

    (corpus / "far" / "text.wav").unlink()
    near_and_far = (corpus / "near", corpus / "far")
    assert sese("enhance", *near_and_far, "--out-dir", tmp_path / "alone", *model, "--jobs", "1").code == 0
    alone = outputs(tmp_path / "alone")
    assert alone.keys() == outputs(out).keys()
    assert all(path.read_bytes() == alone[name].read_bytes() for name, path in outputs(out).items())

    again = sese("enhance", *places, "--out-dir", out, *model, "--ray", cluster.address)
    assert f"0 done, {FILES} skipped, 0 failed" in again.out
    assert len(rows(manifest)) == FILES + 1


def test_no_cluster(sese: Run, corpus: Path, tiny: Path, tmp_path: Path) -> None:
    ran = sese(
        "enhance", corpus, "--out-dir", tmp_path / "out", "--model", tiny, "--ray", "nothing.invalid:1"
    )
    assert ran.code == 2
    assert "no Ray cluster at nothing.invalid:1" in ran.err
