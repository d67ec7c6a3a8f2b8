"""Bitwise networks and hashes as one file: streams, sizes, and what lies beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sese.bits import bitwise, hashing
from sese.core.errors import InputError
from sese.export.check import check_export
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.bitwise import BitwiseConfig
from sese.nn.backbones.boosted_hashing import BoostedHashingConfig
from sese.runtime.artefact import open_artefact
from sese.runtime.enhancer import Enhancer

GRU = BitwiseConfig(n_fft=128, hop_length=64, hidden=96, sparsity=0.0, output="soft")
HASH = BoostedHashingConfig(n_fft=128, hop_length=64, bits=(8, 24), frames=300)


def exported(folder: Path, system: str, config) -> tuple[torch.nn.Module, Path]:
    torch.manual_seed(0)
    checkpoint.save(folder / "run", system, config, config.build().state_dict())
    export_folder(folder / "run", folder / "model")
    return checkpoint.load(folder / "run"), folder / "model"


@pytest.fixture(scope="module")
def gru(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    return exported(tmp_path_factory.mktemp("gru"), "bitwise", GRU)


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    return exported(tmp_path_factory.mktemp("hash"), "boosted_hashing", HASH)


def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=4000).astype(np.float32) * 0.1


def test_weights_are_bits_in_the_file_and_beside_it(gru):
    model, folder = gru
    weights = sum(p.numel() for name, p in model.named_parameters() if name.endswith("weight"))
    card = open_artefact(folder).card
    assert card.parameters == sum(p.numel() for p in model.parameters())
    assert (folder / "model.onnx").stat().st_size < weights / 8 + 220_000  # the rest is Fourier transforms
    assert (folder / bitwise.FILE).stat().st_size < weights / 8 * 1.2 + 12_000
    assert (folder / "model.safetensors").stat().st_size > 4 * weights


@pytest.mark.parametrize("name", ["gru", "hashes"])
def test_streams_equal_whole_files(name: str, request: pytest.FixtureRequest):
    _, folder = request.getfixturevalue(name)
    audio = noise()
    for level in open_artefact(folder).card.levels:
        enhancer = Enhancer(folder, budget=f"fixed:{level.utilization:g}")
        whole = enhancer.enhance(audio, 16000)
        stream = enhancer.stream(16000)
        parts = [stream.feed(part) for part in np.array_split(audio, 9)]
        made = np.concatenate([*parts, stream.flush()])
        np.testing.assert_allclose(made, whole, atol=1e-6)


def test_an_export_that_hears_otherwise_is_refused(gru, monkeypatch):
    model, folder = gru
    assert check_export(folder / "model.onnx", model, [1.0]) < 1
    monkeypatch.setattr(model.head, "window", 0.9 * model.head.window)
    with pytest.raises(InputError, match=r"differs from PyTorch by 1\.\d+e-01 \(allowed 3e-02\)"):
        check_export(folder / "model.onnx", model, [1.0])


def test_packed_bits_enhance_as_the_file_does(gru):
    _, folder = gru
    expected = Enhancer(folder).enhance(noise(), 16000)
    made = bitwise.PackedEnhancer(folder).enhance(noise(), 16000)
    assert np.square(made - expected).sum() < 1e-2 * np.square(expected).sum()


def test_the_packed_dictionary_enhances_as_the_file_does(hashes):
    _, folder = hashes
    for level in open_artefact(folder).card.levels:
        expected = Enhancer(folder, budget=f"fixed:{level.utilization:g}").enhance(noise(), 16000)
        made = hashing.HashEnhancer(folder, budget=level.utilization).enhance(noise(), 16000)
        assert np.square(made - expected).sum() < 1e-2 * np.square(expected).sum()
