"""The benchmark of self-supervised personalisation: it trains, scores, goes on where it was, pairs users."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

from sese.nn import checkpoint
from sese.nn import label_network as network
from sese.nn.backbones.local_experts import LocalExpertsConfig

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
RATE = 16000
SIZE = 8


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("self_supervised")


def write(path: Path, seconds: float, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    soundfile.write(path, 0.05 * generator.standard_normal(round(seconds * RATE)).clip(-4, 4), RATE)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two users, a corpus, a generalist and a predictor."""
    for number, name in enumerate(("ann", "bob")):
        user, seed = tmp_path / "users" / name, 100 * number
        for part in ("recordings/0", "clean/0", "test/clean/0", "test/noisy/0"):
            write(user / f"{part}.wav", 2.0, seed := seed + 1)
        (user / "user.json").write_text(json.dumps({"noise": "hum"}))
    for part, seed in (("train", 300), ("val", 400)):
        for path in ("clean/voice", "noise/hum", "noise/hiss"):
            write(
                tmp_path / "corpus" / part / f"{path}{part if 'clean' in path else ''}/{part}.wav", 3.0, seed
            )
            seed += 1
    config = LocalExpertsConfig(hidden=SIZE)
    torch.manual_seed(0)
    weights = config.build().state_dict()
    checkpoint.save(tmp_path / "runs" / f"gru-mask-{SIZE}" / "last", "local_experts", config, weights)
    net = network.LabelNetConfig(n_fft=1024, hop_length=256, bands=8, units=4, layers=1)
    network.save(tmp_path / "predictor", "frame_snr", net, network.LabelNet(net).state_dict())
    return tmp_path


def test_it_goes_on_where_it_stopped(
    folders: Path, benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders / "cache"))
    given = [folders / "users", folders / "corpus", "--generalists", folders / "runs", "--size", SIZE]
    given += ["--predictor", folders / "predictor", "--seconds", 1, "-o", folders / "out"]
    given += ["--ways", "contrastive_purification", "--set", "training.steps=1", "training.validate_steps=1"]
    given += ["training.batch_size=4", "data.mix.seconds=0.5"]

    def run(*more: object) -> str:
        monkeypatch.setattr(sys, "argv", [str(each) for each in ("self_supervised", *given, *more)])
        benchmark.main()
        return capsys.readouterr().out

    assert "time is up" in run("--max-minutes", 0)
    once = run()
    assert once.count("contrastive_purification+1s - 8 generalist+1s | 2 |") == 1
    runs = {path.parent: path.stat().st_mtime_ns for path in (folders / "out").rglob("done")}
    assert len(runs) == 2 + 2 * 2  # a way, and a second of clean speech after it or after the generalist
    again = run()
    assert "step" not in again  # nothing is trained again
    assert {path.parent: path.stat().st_mtime_ns for path in (folders / "out").rglob("done")} == runs
    scores = json.loads((folders / "out" / "scores.json").read_text())
    assert len(scores["8/ann/generalist"]["own"]) == 1
    assert len(scores["8/ann/generalist"]["other"]) == benchmark.OTHER_CLIPS
    cut = soundfile.info(folders / "out" / "clean-1s" / "ann" / "clean.wav")
    assert cut.frames == RATE


def test_users_are_paired(benchmark: ModuleType):
    scores = {}
    for user, noisy in (("ann", 0.0), ("bob", 10.0)):
        for way, gain in (("noisy", 0.0), ("generalist", 2.0), ("pseudo_enhancement", 3.0)):
            scores[f"8/{user}/{way}"] = {kind: [noisy + gain] * 2 for kind in ("own", "other")}
    lines = benchmark.report(scores, ["ann", "bob"], [8])
    assert "| 8 generalist | 2 | 2.00 (2.00 to 2.00) |  |" in lines
    assert "| 8 pseudo_enhancement | 2 | 3.00 (3.00 to 3.00) | +1.00 (+1.00 to +1.00) |" in lines
