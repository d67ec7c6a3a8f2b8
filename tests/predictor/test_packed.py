"""Packed inference against PyTorch in double precision, map by map, to the bit; and against ONNX Runtime."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from quality.networks import ODD, PUBLISHED, network, spectrogram
from sese.core.errors import InputError
from sese.predictor import packed
from sese.predictor.design import Design
from sese.predictor.spectrum import CENTRE, SPREAD
from sese.quality import network as networks
from sese.quality.exporting import check, export, packed_of, to_onnx, unpacked
from sese.quality.network import with_rounded_weights

DESIGNS = [PUBLISHED, ODD, Design(seconds=4.0, hop=480, bands=40, activation="binary", pool="mean")]
NAMES = ["published", "odd", "bundled sizes"]


@pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_maps_are_those_of_pytorch(design: Design, seed: int):
    made, mel = network(design, seed), spectrogram(design, seed)
    small = packed_of(made)
    heard = torch.from_numpy(packed.rounded_spectrogram(mel)).double() * SPREAD / packed.INPUT_STEPS + CENTRE
    reference = with_rounded_weights(made).double()
    with torch.no_grad():
        maps = reference.maps(heard[None])
        score = float(reference.score(reference.vector(maps[-1])))
    for theirs, ours in zip(maps, packed.pooled_maps(small, mel), strict=True):
        theirs = theirs[0].permute(1, 2, 0).numpy() > 0
        bits = np.unpackbits(ours, axis=-1, count=theirs.shape[-1], bitorder="little") > 0
        np.testing.assert_array_equal(bits, theirs)
        assert 0.02 < bits.mean() < 0.999
    limited = min(max(score, packed.LEAST), packed.MOST)
    assert packed.predict(small, mel) == pytest.approx(limited, abs=1e-5)


def test_weights_are_packed_without_loss():
    whole = np.random.default_rng(0).integers(-128, 128, (9, 12, 3, 3)).astype(np.int8)
    np.testing.assert_array_equal(unpacked(packed._planes(whole), 12), whole)


def test_rounding_is_to_the_nearest_of_255_steps():
    weight = np.random.default_rng(0).normal(size=(6, 5, 3, 3)).astype(np.float32)
    whole, scale = packed.rounded(weight)
    error = np.abs(whole * scale[:, None, None, None] - weight)
    assert (error.reshape(6, -1).max(1) <= 0.501 * scale).all()
    assert (np.abs(whole).reshape(6, -1).max(1) == 127).all()


def test_counting_bits_without_numpy_2(monkeypatch: pytest.MonkeyPatch):
    words = np.random.default_rng(0).integers(0, 2**64, (3, 5), dtype=np.uint64)
    expected = [[int(word).bit_count() for word in row] for row in words]
    assert packed.popcount(words).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert packed.popcount(words).tolist() == expected


def test_onnx_runtime_agrees(tmp_path: Path):
    made = network(ODD)
    networks.save(tmp_path / "run", ODD, made.state_dict())
    export(tmp_path / "run", tmp_path / "out")
    small = packed.load(tmp_path / "out" / "predictor.npz")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "predictor.onnx"))
    mels = [spectrogram(ODD, seed) for seed in range(3)]
    whole = np.stack([packed.rounded_spectrogram(mel) for mel in mels]).astype(np.float32)
    (theirs,) = session.run(None, {"spectrogram": whole})
    np.testing.assert_allclose(theirs, [packed.predict(small, mel) for mel in mels], atol=1e-5)


def test_files_of_two_networks_are_told_apart(tmp_path: Path):
    packed.save(packed_of(network(ODD, 0)), tmp_path / "a.npz")
    (tmp_path / "b.onnx").write_bytes(to_onnx(packed_of(network(ODD, 1))).SerializeToString())
    with pytest.raises(InputError, match="predicts"):
        check(tmp_path / "a.npz", tmp_path / "b.onnx")


def test_inference_needs_little_memory():
    """The maps of the published network take 5.3 MB in floats; all that packed inference takes, 0.5 MB."""
    small, mel = packed_of(network(PUBLISHED)), spectrogram(PUBLISHED)
    packed.predict(small, mel)
    tracemalloc.start()
    packed.predict(small, mel)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6e6
    assert small.bytes < 55_000


def test_only_binary_maps_are_packed():
    relu = Design(bands=16, seconds=1.0)
    with pytest.raises(InputError, match="only binary"):
        packed_of(network(relu))


def test_bad_files(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        packed.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(InputError, match="no quality predictor"):
        packed.load(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="no quality predictor"):
        packed.load(tmp_path / "other.npz")
