"""Bits in words, and numbers as codes of a few bits: what goes in comes out, and products are products."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from properties.drawn import seeds
from sese.bits.words import Matrix, ones, pack, unpack, words
from sese.compression import packed
from sese.compression.integer import quantiser


@given(seed=seeds, rows=st.integers(0, 5), count=st.integers(1, 300), share=st.floats(0, 1))
def test_bits_come_back(seed: int, rows: int, count: int, share: float) -> None:
    bits = np.random.default_rng(seed).random((rows, count)) < share
    held = pack(bits)
    assert held.shape == (rows, words(count))
    assert held.dtype == np.uint64
    np.testing.assert_array_equal(unpack(held, count), bits)
    assert np.bitwise_count(held).sum() == bits.sum(), "what fills a word is zero"
    assert np.bitwise_count(ones(count)).sum() == count


@given(
    seed=seeds, rows=st.integers(1, 20), count=st.integers(1, 200), zeros=st.sampled_from([0.0, 0.3, 1.0]),
    unknown=st.sampled_from([0.0, 0.4, 1.0]),
)  # fmt: skip
def test_products_of_words_are_products(
    seed: int, rows: int, count: int, zeros: float, unknown: float
) -> None:
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((rows, count)) < zeros, 0, rng.choice([-1, 1], (rows, count)))
    row = np.where(rng.random(count) < unknown, 0, rng.choice([-1, 1], count))
    least = rng.integers(-count, count + 1, rows).astype(np.int32)
    kept = None if (weights != 0).all() else pack(weights != 0)
    matrix = Matrix(pack(weights > 0), kept, least)
    np.testing.assert_array_equal(matrix.products(pack(row > 0), pack(row != 0)), weights @ row)
    above = matrix.above(pack(row > 0), pack(row != 0))
    np.testing.assert_array_equal(unpack(above, rows), weights @ row >= least)


@given(data=st.data(), bits=st.integers(1, 16), count=st.integers(0, 100))
def test_codes_come_back_and_take_their_bits(data: st.DataObject, bits: int, count: int) -> None:
    codes = np.array(
        data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count)), np.int64
    )
    held = packed.pack(codes, bits)
    assert len(held) == (count * bits + 7) // 8
    np.testing.assert_array_equal(packed.unpack(held, bits, count), codes)


@given(
    low=st.floats(-1e3, 1e3), width=st.floats(0, 1e3), bits=st.integers(2, 16),
    shares=st.lists(st.floats(0, 1), max_size=20),
)  # fmt: skip
def test_a_code_is_within_half_a_step_and_0_is_exact(
    low: float, width: float, bits: int, shares: list[float]
) -> None:
    own = quantiser(low, low + width, bits)
    values = np.array([low + share * width for share in shares] + [0.0])
    codes = own.encode(values)
    assert codes.min() >= 0
    assert codes.max() <= own.top
    assert own.decode(codes)[-1] == 0
    # The code of 0 is a whole number, so an end of the range may lie half a step beyond the codes.
    np.testing.assert_allclose(own.decode(codes), values, atol=1.001 * own.scale + 1e-9)
    np.testing.assert_array_equal(own.encode(own.decode(np.arange(own.top + 1))), np.arange(own.top + 1))
