"""Packed bitwise networks against the network they were packed from, and against plain Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sese.bits import bitwise, kernel
from sese.bits.words import Matrix, ones, pack, unpack, words
from sese.core import compiled
from sese.core.errors import InputError
from sese.export.packed import packed
from sese.nn.backbones.bitwise import BitwiseConfig
from sese.nn.enhancer import Enhancer
from sese.nn.layers.bitwise import Binarisation

needs_compiler = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler")
KERNELS = [pytest.param("numpy"), pytest.param("c", marks=needs_compiler)]

TINY = {"n_fft": 64, "hop_length": 32}
NETWORKS = {
    "gru": BitwiseConfig(**TINY, hidden=70, sparsity=0.0),
    "gru-sparse": BitwiseConfig(**TINY, hidden=70, sparsity=0.8),
    "gru-soft": BitwiseConfig(**TINY, hidden=64, sparsity=0.0, output="soft"),
    "gru-two": BitwiseConfig(**TINY, hidden=40, layers=2, sparsity=0.3),
    "dense": BitwiseConfig(**TINY, hidden=70, layers=2, recurrent=False, sparsity=0.0),
    "dense-sparse": BitwiseConfig(**TINY, hidden=33, layers=1, recurrent=False, sparsity=0.5),
}


def build(config: BitwiseConfig) -> Enhancer:
    torch.manual_seed(0)
    model = config.build().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3)
    return model


def saved(model: Enhancer, path: Path, kernel: str) -> bitwise.Network:
    bitwise.save(packed(model), path)
    return bitwise.Network(bitwise.load(path, kernel))


def bits(count: int, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, count)) < 0.5


# Words


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_packed_bits_come_back(count: int):
    values = bits(count, 5, 0)
    assert pack(values).shape == (5, words(count))
    assert np.array_equal(unpack(pack(values), count), values)
    number = sum(int(word) << (64 * at) for at, word in enumerate(pack(values[0])))
    assert number == sum(1 << at for at, value in enumerate(values[0]) if value), "the first value is lowest"
    assert np.bitwise_count(ones(count)).sum() == count


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("kind", KERNELS)
def test_products_are_those_of_plain_numbers(kind: str, kept: bool):
    count, rows = 150, 70
    signs, row, mask = bits(count, rows, 1), bits(count, 1, 2)[0], bits(count, 1, 3)[0]
    present = bits(count, rows, 4) if kept else np.ones((rows, count), bool)
    expected = []
    for i in range(rows):
        total = 0
        for j in range(count):
            if present[i, j] and mask[j]:
                total += (1 if signs[i, j] else -1) * (1 if row[j] else -1)
        expected.append(total)
    least = np.random.default_rng(5).integers(-9, 9, rows).astype(np.int32)
    made = kernel.CompiledMatrix if kind == "c" else Matrix
    matrix = made(pack(signs), pack(present) if kept else None, least)
    assert matrix.products(pack(row), pack(mask)).tolist() == expected
    ups = unpack(matrix.above(pack(row), pack(mask)), rows)
    assert ups.tolist() == [total >= low for total, low in zip(expected, least, strict=True)]


# Networks


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_packed_steps_are_those_of_the_network(config: BitwiseConfig, kind: str, tmp_path: Path):
    model = build(config)
    network, frames = saved(model, tmp_path / "x.npz", kind), 25
    inputs = model.backbone.inputs
    codes = bits(inputs, frames, 6)
    x = torch.from_numpy(np.where(codes, 1.0, -1.0).astype(np.float32)).view(1, -1)
    start = {name: torch.zeros(1, *shape) for name, shape in model.backbone.state_shapes().items()}
    expected, after = model.backbone(x, {"whole": 1}, start)
    state = network.fresh()
    made = np.stack([network.step(pack(code), state) for code in codes])
    expected = expected.view(frames, -1).numpy()
    if config.output == "hard":
        assert np.array_equal(made, expected)
        assert 0.1 < made.mean() < 0.9
    else:
        np.testing.assert_allclose(made, expected, atol=1e-6)
    for (up, updated), name in zip(state, after, strict=True):
        value = np.where(unpack(up, config.hidden), 1, -1) * unpack(updated, config.hidden)
        assert np.array_equal(value, after[name].flatten().numpy())
        assert np.abs(value).mean() > 0.5


def test_a_gru_of_bits_is_that_of_plain_python(tmp_path: Path):
    """Lists and integers alone, from the weights as they were learned."""
    config = NETWORKS["gru-sparse"]
    model = build(config)
    network, hidden = saved(model, tmp_path / "x.npz", "numpy"), config.hidden
    layer, last = model.backbone.layers[0], model.backbone.mask

    def ternary(linear) -> tuple[list[list[int]], list[float]]:
        """Signs of the largest fifth, and the bias in units of their mean size."""
        values = torch.tanh(linear.weight).tolist()
        sizes = sorted(abs(v) for row in values for v in row)
        floor = sizes[int(linear.sparsity * len(sizes)) - 1]
        kept = [abs(v) for row in values for v in row if abs(v) > floor]
        signs = [[(0 if abs(v) <= floor else 1 if v > 0 else -1) for v in row] for row in values]
        return signs, [b / (sum(kept) / len(kept)) for b in linear.bias.tolist()]

    def times(weights: list[list[int]], x: list[int]) -> list[int]:
        return [sum(w * v for w, v in zip(row, x, strict=True)) for row in weights]

    def up(sums: list[int], bias: list[float]) -> list[int]:
        return [int(s + b >= 0) for s, b in zip(sums, bias, strict=True)]

    (gates, gate_bias), (new, new_bias), (mask, mask_bias) = map(
        ternary, (layer.gates, layer.candidate, last)
    )
    state, h = network.fresh(), [0] * hidden
    for code in bits(model.backbone.inputs, 12, 7):
        x = [1 if one else -1 for one in code]
        both = up(times(gates, x + h), gate_bias)
        reset, update = both[:hidden], both[hidden:]
        made = up(times(new, x + [r * v for r, v in zip(reset, h, strict=True)]), new_bias)
        h = [2 * m - 1 if u else v for m, u, v in zip(made, update, h, strict=True)]
        assert network.step(pack(code), state).tolist() == up(times(mask, h), mask_bias)


def test_the_learning_network_at_a_share_of_one_is_the_learned_one():
    for config in NETWORKS.values():
        model = build(config)
        x = torch.from_numpy(np.where(bits(model.backbone.inputs, 9, 8), 1.0, -1.0)).float().view(1, -1)
        start = {name: torch.zeros(1, *shape) for name, shape in model.backbone.state_shapes().items()}
        made, after = model.backbone.learn(x, start, Binarisation(1.0))
        expected, state = model.backbone(x, {"whole": 1}, start)
        torch.testing.assert_close((0.5 * made + 0.5).flatten(1), expected, atol=1e-6, rtol=0)
        for name, value in state.items():
            assert torch.equal(after[name], value)


# Enhancement


@pytest.mark.parametrize("kind", KERNELS)
def test_enhanced_as_the_network_enhances(kind: str, tmp_path: Path):
    config = BitwiseConfig(n_fft=512, hop_length=256, hidden=64, sparsity=0.0, output="soft")
    model = build(config)
    bitwise.save(packed(model), tmp_path / "packed.npz")
    audio = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    audio[6000:9000] *= 0.05
    enhancer = bitwise.PackedEnhancer(tmp_path, kind)
    made = enhancer.enhance(audio, 16000)
    expected = model.enhance_clip(torch.from_numpy(audio).view(1, 1, -1)).flatten().detach().numpy()
    assert made.shape == audio.shape
    # A power that lies on a threshold to rounding may get another code; a few frames, at most.
    same = np.abs(made - expected) < 1e-5
    assert same.mean() > 0.8
    assert np.square(made - expected).sum() < 1e-3 * np.square(expected).sum()


def test_streamed_as_whole(tmp_path: Path):
    config = BitwiseConfig(n_fft=128, hop_length=64, hidden=64, sparsity=0.0, output="soft")
    bitwise.save(packed(build(config)), tmp_path / "packed.npz")
    enhancer = bitwise.PackedEnhancer(tmp_path)
    audio = np.random.default_rng(0).normal(size=64 * 30).astype(np.float32)
    whole = enhancer.feed(audio)
    enhancer.reset()
    parts = [enhancer.feed(part) for part in np.split(audio, [64, 64 * 8, 64 * 9])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_it_runs_without_torch(tmp_path: Path):
    bitwise.save(packed(build(NETWORKS["gru"])), tmp_path / "packed.npz")
    code = (
        "import sys, numpy; from sese.bits.bitwise import PackedEnhancer;"
        f"PackedEnhancer({str(tmp_path)!r}).enhance(numpy.zeros(99, 'float32'), 16000);"
        "print(any(name in sys.modules for name in ('torch', 'onnx', 'onnxruntime')))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_published_network_is_as_small_as_it_says(tmp_path: Path):
    model = BitwiseConfig(sparsity=0.0).build()
    weights = sum(p.numel() for name, p in model.named_parameters() if name.endswith("weight"))
    assert weights == 9_669_000
    made = packed(model)
    bitwise.save(made, tmp_path / "x.npz")
    assert weights / 8 < made.nbytes < 1.06 * weights / 8
    assert (tmp_path / "x.npz").stat().st_size < 1.06 * weights / 8


# What is refused


def test_what_cannot_be_packed_or_read_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"only a bitwise network with model\.binary"):
        packed(BitwiseConfig(**TINY, hidden=8, binary=False).build())
    with pytest.raises(InputError, match=r"packed\.npz does not exist; `sese export`"):
        bitwise.load(tmp_path)
    (tmp_path / "packed.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"is no packed network"):
        bitwise.load(tmp_path)
    np.savez(tmp_path / "packed.npz", facts=np.array(json.dumps({"format": 99})))
    with pytest.raises(InputError, match="another version"):
        bitwise.load(tmp_path)
    with pytest.raises(InputError, match="kernel is 'gpu'"):
        bitwise.load(tmp_path, "gpu")
    bitwise.save(packed(build(NETWORKS["gru"])), tmp_path / "packed.npz")
    with pytest.raises(InputError, match="one level"):
        bitwise.PackedEnhancer(tmp_path, budget=0.5)
    with pytest.raises(InputError, match="8000 Hz"):
        bitwise.PackedEnhancer(tmp_path).enhance(np.zeros(9, np.float32), 8000)


def test_a_missing_or_failing_compiler_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel._library.cache_clear()
    monkeypatch.setattr(compiled, "compiler", lambda: None)
    with pytest.raises(InputError, match=r'no C compiler.*kernel="numpy"'):
        kernel._library()
    monkeypatch.setattr(compiled, "compiler", lambda: "false")
    with pytest.raises(InputError, match=r'false cannot compile.*kernel="numpy"'):
        kernel._library()
    assert not [path for path in (tmp_path / "sese").iterdir() if path.suffix == ".so"]
