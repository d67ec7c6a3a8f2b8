"""Chains taken out of enhancers and put back, and `sese compress` on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from command_line import Run
from sese.compression import packed
from sese.compression.enhancement import Enhancement, layers_of, put_back, run_from_chain, run_to_chain
from sese.compression.layers import run
from sese.compression.open import open_subject
from sese.compression.study import dequantised
from sese.evaluation.pairs import find_pairs
from sese.nn import checkpoint
from sese.nn.backbones.registry import SYSTEMS

NETWORKS = {
    "nsnet2": {"hidden": 8, "wide": 12, "exits": ("fc3",)},
    "demucs": {"channels": 4, "depth": 3, "oversampling": 1, "groups": 2, "layers": 2},
}


@pytest.fixture(params=NETWORKS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return network(tmp_path / request.param, request.param, **NETWORKS[request.param])


def network(where: Path, system: str, **values: object) -> Path:
    torch.manual_seed(0)
    config = SYSTEMS[system](**values)
    checkpoint.save(where, system, config, config.build().state_dict())
    return where


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    for number in range(4):
        clean = 0.2 * np.sin(2 * np.pi * (200 + 90 * number) * time) * (np.sin(9 * time) > 0)
        noisy = clean + 0.05 * generator.standard_normal(16000)
        for side, audio in (("clean", clean), ("noisy", noisy)):
            path = tmp_path / "pairs" / side / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio, 16000)
    return tmp_path / "pairs"


def test_the_chain_in_float_is_what_the_network_runs(folder: Path) -> None:
    model = checkpoint.load(folder)
    noisy = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    whole = model.enhance_clip(noisy[:, None])[:, 0]
    made = run_from_chain(model, noisy, run(layers_of(model), run_to_chain(model, noisy)))
    torch.testing.assert_close(made, whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.enhance_clip(noisy[:, None])[:, 0], whole)  # nothing is left behind


def test_weights_go_out_and_back(folder: Path) -> None:
    model = checkpoint.load(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layers = layers_of(model)
    with torch.no_grad():
        for weight in model.backbone.parameters():
            weight.add_(1.0)
    put_back(model, layers)
    chain = {id(value) for value in (model.backbone.gru if "demucs" in folder.name else model).parameters()}
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name] if id(value) in chain else before[name] + 1)


def test_compress_writes_networks_and_a_report(folder: Path, clips: Path, tmp_path: Path, sese: Run) -> None:
    out = tmp_path / "out"
    options = ["--search", "--population", 16, "--generations", 2, "--seconds", 0.5, "--limit", 3]
    options += [
        "--bits",
        "8,4",
        "--tune",
        1,
        "--test",
        clips,
        "--test-seconds",
        1,
        "--test-limit",
        1,
        "--listen",
        1,
    ]
    ran = sese("compress", folder, clips, "-o", out, *options, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result == json.loads((out / "compress.json").read_text())
    names = [row["name"] for row in result["networks"]]
    assert names[:8] == ["float", "8-bit", "4-bit", "w4s8", "w3s8", "w2s8", "near", "small"]
    assert names[8:] == ["near-tuned", "small-tuned"]
    subject = Enhancement(folder, find_pairs(clips), 0.5)  # all of them choose
    for row in result["networks"][1:]:
        path = out / row["name"] / "weights.int"
        assert row["bytes"] == path.stat().st_size
        chain = packed.read(path)
        assert subject.error(chain(subject.x)) == pytest.approx(row["error"], abs=1e-12)
        # The folder beside it holds the same weights as floats.
        again = layers_of(checkpoint.load(path.parent))
        for one, other, first in zip(again, dequantised(chain), subject.layers, strict=True):
            for name, matrix in one.matrices.items():
                assert np.array_equal(matrix, other.matrices[name])
                assert np.array_equal(one.biases[name], other.biases[name])
                if row["name"] == "8-bit":
                    assert np.abs(matrix - first.matrices[name]).max() < np.ptp(matrix) / 100
                    np.testing.assert_allclose(one.biases[name], first.biases[name], atol=1e-4)
        assert (out / "audio" / row["name"] / "0.wav").exists()
        assert {"pesq_wb", "estoi", "si_sdr"} == set(row["test"])
    assert (out / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "| 8-bit |" in (out / "compress.md").read_text()
    # Again: all is known.
    kept = [out / "evaluations.jsonl", out / "scores.jsonl"]
    before = [path.read_text() for path in kept]
    assert sese("compress", folder, clips, "-o", out, *options).code == 0
    assert [path.read_text() for path in kept] == before
    assert json.loads((out / "compress.json").read_text()) == result


def test_bundled_models_go_by_their_name(clips: Path) -> None:
    subject = open_subject(Path("demucs-slim-small"), clips, 2, 0.5)
    assert [layer.name for layer in subject.layers] == ["gru.0", "gru.1"]
    assert subject.error(run(subject.layers, subject.x)) < 1


def test_bad_input_is_one_line_and_exit_code_2(clips: Path, tmp_path: Path, sese: Run) -> None:
    small = network(tmp_path / "small", "nsnet2", **NETWORKS["nsnet2"])
    exits = network(tmp_path / "exits", "nsnet2", hidden=8, wide=12)
    other = network(tmp_path / "other", "conv_fsenet")
    damaged = network(tmp_path / "damaged", "nsnet2", **NETWORKS["nsnet2"])
    (damaged / "model.safetensors").write_bytes(b"nothing")
    for side in ("clean", "noisy"):
        shutil.copytree(clips / "clean", tmp_path / "equal" / side)
    out = tmp_path / "out"
    for arguments, word in (
        ((tmp_path / "none", clips), "is not a folder"),
        ((tmp_path, clips), "does not exist"),
        ((exits, clips), "one exit"),
        ((other, clips), "one exit"),
        ((damaged, clips), "does not hold the weights"),
        ((small, tmp_path / "none"), "no such folder"),
        ((small, clips, "--bits", "9"), "--bits is '9'"),
        ((small, clips, "--bits", "x"), "--bits is 'x'"),
        ((small, clips, "--search", "--population", 1), "--population is 1"),
        ((small, clips, "--limit", 0), "--limit is 0"),
        ((small, clips, "--seconds", "-1"), "--seconds is -1"),
        ((small, clips, "--seconds", "0.01"), "--seconds is 0.01; use 0.1 to 60"),
        ((small, clips, "--test-seconds", "1e9"), "--test-seconds is 1000000000.0; use 0.1 to 60"),
        ((small, clips, "--tune", "-1"), "--tune is -1"),
        ((small, clips, "--listen", "-1"), "--listen is -1"),
        ((small, clips, "--max-minutes", "nan"), "--max-minutes is nan"),
        ((small, tmp_path / "equal", "--seconds", 1), "give pairs with noise"),
    ):
        ran = sese("compress", *arguments, "-o", out)
        assert (ran.code, ran.out) == (2, ""), (arguments, ran)
        assert ran.err.startswith("sese: error: "), ran.err
        assert ran.err.count("\n") == 1, ran.err
        assert word in ran.err
        assert not out.exists()
