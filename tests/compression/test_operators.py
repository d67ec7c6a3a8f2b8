"""The batched integer arithmetic against plain Python integers, one number at a time."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from sese.compression import packed
from sese.compression.calibration import Calibration
from sese.compression.layers import GRU, Dense, run
from sese.compression.operators import IntegerChain, IntegerLayer, quantise
from sese.core.errors import InputError


def half_up(value: Fraction | float) -> int:
    return math.floor(Fraction(value) + Fraction(1, 2))


def multipliers(*reals: float) -> tuple[list[int], int]:
    """The largest gets 31 bits (or less, beyond a shift of 54); the others the same shift."""
    shift = 54
    while Fraction(max(reals)) * 2**shift >= 2**31:
        shift -= 1
    return [half_up(Fraction(real) * 2**shift) for real in reals], shift


def scaled(to, terms):
    """Integers with the real worth of their steps -> a code."""
    ms, shift = multipliers(*(worth for _, worth in terms))
    total = sum(m * x for m, (x, _) in zip(ms, terms, strict=True))
    rounded = (total + 2 ** (shift - 1)) // 2**shift
    return min(max(rounded + to.zero, 0), 2**to.bits - 1)


def product(q, codes, matrix, to, group, column):
    """Codes [input] times a column of weights, and the bias."""
    total = sum(
        (code - q.zero) * (int(weight) - matrix.quantiser.zero)
        for code, weight in zip(codes, matrix.codes[group, :, column], strict=True)
    )
    total += int(matrix.bias[group, column]) * 2**matrix.bias_shift
    assert abs(total) < 2**31
    return scaled(to, [(total, q.scale * matrix.quantiser.scale / to.scale)])


def looked_up(function, q, code, to):
    value = function(q.scale * (code - q.zero))
    return min(max(math.floor(value / to.scale + 0.5) + to.zero, 0), 2**to.bits - 1)


def plus(a, x, b, y, to):
    return scaled(to, [(x - a.zero, a.scale / to.scale), (y - b.zero, b.scale / to.scale)])


def times(a, x, b, y, to):
    return scaled(to, [((x - a.zero) * (y - b.zero), a.scale * b.scale / to.scale)])


def logistic(x):
    return 1 / (1 + math.exp(-x))


def gru_reference(layer: IntegerLayer, frames: list[list[int]], before) -> list[list[int]]:
    q, m = layer.signals, layer.matrices
    groups, inputs, units = m["W_ir"].codes.shape
    h = [[q["state"].zero] * units for _ in range(groups)]
    out = []
    for frame in frames:
        after = []
        for g in range(groups):
            x = frame[g * inputs : (g + 1) * inputs]
            row = []
            for u in range(units):
                i_r, i_z, i_n = (product(before, x, m[f"W_i{k}"], q[f"i{k}"], g, u) for k in "rzn")
                h_r, h_z, h_n = (product(q["state"], h[g], m[f"W_h{k}"], q[f"h{k}"], g, u) for k in "rzn")
                r = looked_up(logistic, q["sum_r"], plus(q["ir"], i_r, q["hr"], h_r, q["sum_r"]), q["reset"])
                z = looked_up(logistic, q["sum_z"], plus(q["iz"], i_z, q["hz"], h_z, q["sum_z"]), q["update"])
                gated = times(q["reset"], r, q["hn"], h_n, q["gated"])
                n = looked_up(
                    math.tanh, q["sum_n"], plus(q["in"], i_n, q["gated"], gated, q["sum_n"]), q["new"]
                )
                one = scaled(
                    q["one_minus"],
                    [
                        (255, 1 / 255 / q["one_minus"].scale),
                        (-(z - q["update"].zero), q["update"].scale / q["one_minus"].scale),
                    ],
                )
                fresh = times(q["one_minus"], one, q["new"], n, q["fresh"])
                kept = times(q["update"], z, q["state"], h[g][u], q["kept"])
                row.append(plus(q["fresh"], fresh, q["kept"], kept, q["state"]))
            after.append(row)
        h = after
        out.append([code for row in h for code in row])
    return out


def dense_reference(layer: IntegerLayer, frames: list[list[int]], before) -> list[list[int]]:
    (matrix,) = layer.matrices.values()
    first = next(iter(layer.signals.values()))
    columns = range(matrix.codes.shape[2])
    sums = [[product(before, frame, matrix, first, 0, column) for column in columns] for frame in frames]
    if layer.kind != "sigmoid":
        return sums
    return [[looked_up(logistic, first, code, layer.signals["out"]) for code in row] for row in sums]


def reference(chain: IntegerChain, x: np.ndarray) -> np.ndarray:
    """A chain on one clip [frame, input]."""
    q = chain.source
    top = 2**q.bits - 1
    frames = [[min(max(math.floor(float(v) / q.scale + 0.5) + q.zero, 0), top) for v in frame] for frame in x]
    for layer in chain.layers:
        frames = (gru_reference if layer.kind == "gru" else dense_reference)(layer, frames, q)
        q = list(layer.signals.values())[-1]
    return q.scale * (np.array(frames) - q.zero)


def layers(seed: int, groups: int = 2, spread: float = 1.0) -> list[Dense | GRU]:
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return (spread * generator.standard_normal(shape) / 2).astype(np.float32)

    return [
        Dense("first", draw(5, 8), draw(8), "relu"),
        GRU(
            "gru1",
            draw(groups, 8 // groups, 18),
            draw(groups, 6, 18),
            draw(groups, 18),
            draw(groups, 18),
        ),
        GRU("gru2", draw(1, 6 * groups, 12), draw(1, 4, 12), draw(1, 12), draw(1, 12)),
        Dense("last", draw(4, 3), draw(3), "sigmoid"),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_equals_plain_integers_bit_for_bit(seed: int) -> None:
    """Any bit widths, with ranges that saturate, on frames beyond the calibrated range."""
    chain_layers = layers(seed, groups=1 + seed % 2, spread=1 + seed)
    generator = np.random.default_rng(100 + seed)
    x = generator.standard_normal((3, 7, 5)).astype(np.float32)
    calibration = Calibration(chain_layers, x)
    choose = random.Random(seed)
    for lowest, highest in ((2, 8), (8, 8), (2, 2)):
        bits = {gene: choose.randint(lowest, highest) for gene in calibration.genes}
        chain = quantise(chain_layers, calibration.quantisers(bits))
        wider = 1.5 * x
        expected = np.stack([reference(chain, clip) for clip in wider])
        assert np.array_equal(chain(wider), expected)


def test_wide_layers_are_summed_exactly() -> None:
    """Sums beyond 24 bits need more than single precision; the largest codes reach them."""
    generator = np.random.default_rng(0)
    weight = generator.uniform(0, 1, (600, 2)).astype(np.float32)
    wide = [Dense("wide", weight, np.ones(2, np.float32))]
    x = generator.uniform(0, 1, (1, 3, 600)).astype(np.float32)
    calibration = Calibration(wide, x)
    chain = quantise(wide, calibration.quantisers({"wide.W": 8}))
    x[:] = 1.0
    assert np.array_equal(chain(x)[0], reference(chain, x[0]))


def test_eight_bits_are_near_pytorch() -> None:
    """The float chain equals `nn.GRU`, and 8 bits stay near it."""
    torch.manual_seed(0)
    net = torch.nn.GRU(12, 16, batch_first=True)
    parts = [getattr(net, f"{name}_l0").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih")]
    layer = GRU(
        "gru", parts[0].T[None], parts[1].T[None], parts[2][None], net.bias_hh_l0.detach().numpy()[None]
    )
    x = np.random.default_rng(0).standard_normal((4, 40, 12)).astype(np.float32)
    expected = net(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(run([layer], x), expected, atol=1e-5)
    calibration = Calibration([layer], x)
    errors = []
    for bits in (8, 6, 4):
        chain = quantise([layer], calibration.quantisers(dict.fromkeys(calibration.genes, bits)))
        errors.append(float(np.abs(chain(x) - expected).mean()))
    assert errors[0] < 0.012
    assert errors[0] < errors[1] < errors[2] < 0.25


def test_file_has_the_bits_and_gives_the_same_numbers(tmp_path) -> None:
    chain_layers = layers(1)
    x = np.random.default_rng(1).standard_normal((2, 9, 5)).astype(np.float32)
    calibration = Calibration(chain_layers, x)
    for bits in (3, 8):
        chain = quantise(chain_layers, calibration.quantisers(dict.fromkeys(calibration.genes, bits)))
        path = tmp_path / f"{bits}.int"
        size = packed.write(chain, path)
        assert size == path.stat().st_size == packed.size(chain)
        assert np.array_equal(packed.read(path)(x), chain(x))
        whole = path.read_bytes()
        header = 12 + int.from_bytes(whole[8:12], "little")
        matrices = [matrix.size for layer in chain_layers for matrix in layer.matrices.values()]
        biases = sum(bias.size for layer in chain_layers for bias in layer.biases.values())
        assert len(whole) == header + 2 * biases + sum(math.ceil(bits * count / 8) for count in matrices)
    for wrong in (whole[:-1], whole[:40], b"other" + whole, whole + b"0"):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="damaged"):
            packed.read(path)
