"""Searches of codes against plain counting and each other, and enhancement by packed dictionaries."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sese.bits import hashing
from sese.bits.hamming import HammingIndex
from sese.core.errors import InputError
from sese.core.install import install_command
from sese.export.packed import save_packed
from sese.nn.backbones.boosted_hashing import BoostedHashingConfig

HAS_FAISS = importlib.util.find_spec("faiss") is not None
SEARCHES = [
    "numpy",
    pytest.param("faiss", marks=pytest.mark.skipif(not HAS_FAISS, reason="faiss is not installed")),
]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("count", [5, 8, 25, 64, 100])
def test_the_nearest_are_those_of_plain_counting(search: str, count: int):
    generator = np.random.default_rng(count)
    codes, queries = (generator.integers(0, 256, (rows, 16), dtype=np.uint8) for rows in (300, 20))
    numbers, distances = HammingIndex(codes, count, search).nearest(queries, 7)
    for query, near, far in zip(queries, numbers, distances, strict=True):
        expected = [
            sum((int(query[b // 8]) ^ int(code[b // 8])) >> b % 8 & 1 for b in range(count)) for code in codes
        ]
        assert far.tolist() == sorted(expected)[:7]
        assert [expected[n] for n in near] == far.tolist(), "equals may come in any order"
        if search == "numpy":
            assert near.tolist() == sorted(range(300), key=lambda n: (expected[n], n))[:7]


@pytest.mark.parametrize("level", range(2))
def test_enhanced_as_the_network_enhances(level: int, tmp_path: Path):
    torch.manual_seed(0)
    config = BoostedHashingConfig(n_fft=128, hop_length=64, bits=(12, 30), frames=50, compression=0.5)
    model = config.build().eval()
    assert save_packed(model, tmp_path)
    audio = np.random.default_rng(0).normal(size=3000).astype(np.float32) * 0.1
    enhancer = hashing.HashEnhancer(tmp_path, budget=config.bits[level] / 30)
    assert enhancer.count == config.bits[level]
    expected = model.enhance_clip(torch.from_numpy(audio).view(1, 1, -1), {"bits": level + 1})
    made = enhancer.enhance(audio, 16000)
    # A sum that is zero to rounding may get the other sign.
    assert np.square(made - expected.flatten().detach().numpy()).sum() < 1e-3 * np.square(made).sum()


@pytest.mark.skipif(not HAS_FAISS, reason="faiss is not installed")
def test_faiss_enhances_as_well(tmp_path: Path):
    torch.manual_seed(0)
    save_packed(BoostedHashingConfig(n_fft=128, hop_length=64, bits=(64,), frames=99).build(), tmp_path)
    audio = np.random.default_rng(0).normal(size=3000).astype(np.float32) * 0.1
    ours, theirs = (
        hashing.HashEnhancer(tmp_path, search=search).enhance(audio, 16000) for search in ("numpy", "faiss")
    )
    assert np.isfinite(theirs).all()
    # They may only differ in which of equals they take.
    assert np.std(ours - theirs) < 0.5 * np.std(ours)


def test_what_is_refused(tmp_path: Path, monkeypatch):
    with pytest.raises(InputError, match=r"packed\.npz does not exist"):
        hashing.load(tmp_path)
    (tmp_path / "packed.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="holds no dictionary"):
        hashing.load(tmp_path)
    save_packed(BoostedHashingConfig(n_fft=64, hop_length=32, bits=(8,), frames=20).build(), tmp_path)
    for budget in ("auto", 0, 1.5):
        with pytest.raises(InputError, match="budget is"):
            hashing.HashEnhancer(tmp_path, budget)
    with pytest.raises(InputError, match="search is 'google'"):
        HammingIndex(np.zeros((2, 1), np.uint8), 8, "google")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape(install_command("hashing"))):
        HammingIndex(np.zeros((2, 1), np.uint8), 8, "faiss")
