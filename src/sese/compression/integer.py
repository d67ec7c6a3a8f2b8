"""Numbers as unsigned codes of a few bits, and exact integer arithmetic on them.

A code q of b bits stands for scale * (q - zero). Every operator sums products of integers and brings the sum
to its output's codes by fixed-point multipliers m * 2**-shift, rounded half up:

    y = clip(((m_1 * x_1 + m_2 * x_2 + ... + 2**(shift - 1)) >> shift) + zero, 0, 2**b - 1)

The codes here are kept in int64 arrays, which hold every sum exactly; a device needs 8 bits for codes, 32 for
sums and 64 for their products with a multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MULTIPLIER_BITS = 31
"""Bits of the largest multiplier of an operator, without a sign."""

MOST_SHIFT = 54
"""So that the offset fits into 63 bits beside a sum."""

EXACT = {2**24: np.float32, 2**53: np.float64}
"""Sums of integers that stay within a bound are exact in this kind of float, which has quick products."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Quantiser:
    """Codes of a tensor.

    Attributes:
        bits: bits of a code, 2 to 16.
        scale: step between two codes.
        zero: code of 0.
    """

    bits: int
    scale: float
    zero: int

    @property
    def top(self) -> int:
        """Return the highest code."""
        return (1 << self.bits) - 1

    @property
    def reach(self) -> int:
        """Return the largest distance of a code from that of 0."""
        return max(self.zero, self.top - self.zero)

    def encode(self, values: NDArray) -> Codes:
        """Return the codes of real numbers, rounded half up, clipped to the range."""
        return np.clip(np.floor(values / self.scale + 0.5) + self.zero, 0, self.top).astype(np.int64)

    def decode(self, codes: NDArray) -> NDArray[np.float64]:
        """Return the real numbers of codes."""
        return self.scale * (codes - self.zero)


def quantiser(low: float, high: float, bits: int) -> Quantiser:
    """Return codes for a range, which is widened to hold 0; the scale has 7 digits, as in files."""
    low, high = min(low, 0.0), max(high, 0.0)
    top = (1 << bits) - 1
    scale = float(f"{max(high - low, 1e-9) / top:.6e}")
    return Quantiser(bits, scale, min(top, max(0, math.floor(-low / scale + 0.5))))


def fit(values: NDArray, bits: int, limit: float | None = None, power: int = 2) -> Quantiser:
    """Return the range with the least mean error among shrunken ranges of the values' span.

    Few bits gain from clipping rare large values.

    Args:
        values: any shape.
        bits: bits of a code.
        limit: values beyond this, and minus this, are clipped first, so that they do not count.
        power: power of the errors that are averaged; the higher, the more large values count.
    """
    values = np.ravel(values) if limit is None else np.clip(np.ravel(values), -limit, limit)
    best, least = None, math.inf
    for share in np.linspace(1.0, 0.25, 16):
        tried = quantiser(share * float(values.min()), share * float(values.max()), bits)
        codes = np.clip(np.rint(values / tried.scale) + tried.zero, 0, tried.top)
        error = float(((tried.scale * (codes - tried.zero) - values) ** power).mean())
        if error < least:
            best, least = tried, error
    assert best is not None
    return best


def fixed_point(*reals: float) -> tuple[list[int], int]:
    """Return positive factors as integers over one power of two: factor = integer * 2**-shift.

    The largest has 31 bits, unless that took a shift above 54.
    """
    _, exponent = math.frexp(max(reals))
    shift = min(MOST_SHIFT, MULTIPLIER_BITS - exponent)
    if shift < 1:
        raise ValueError(f"factor {max(reals)} needs no shift; scales are out of proportion")
    return [math.floor(math.ldexp(real, shift) + 0.5) for real in reals], shift


@dataclass(frozen=True, eq=False)
class Rescale:
    """From sums of integers to codes: the constants of the formula above, for one operator or a row of them.

    Attributes:
        factors: the multipliers, each a number or [output].
        offset: 2**(shift - 1) + zero * 2**shift, and whatever else is constant.
        shift, top: numbers or [output].
    """

    factors: tuple[Codes, ...]
    offset: Codes
    shift: Codes
    top: Codes

    def __call__(self, *sums: Codes) -> Codes:
        """Return codes of sums, one for each multiplier, all [..., output]."""
        y = sums[0] * self.factors[0]
        for other, factor in zip(sums[1:], self.factors[1:], strict=True):
            y += other * factor
        y += self.offset
        y >>= self.shift
        np.maximum(y, 0, out=y)
        np.minimum(y, self.top, out=y)
        return y


def rescale(to: Quantiser, *reals: float, constant: int = 0) -> Rescale:
    """Return the codes of `to` from sums whose steps are worth these multiples of its scale.

    Args:
        constant: added to the first sum.
    """
    factors, shift = fixed_point(*reals)
    offset = (1 << (shift - 1)) + (to.zero << shift) + constant * factors[0]
    arrays = [np.array(value, np.int64) for value in (*factors, offset, shift, to.top)]
    return Rescale(tuple(arrays[:-3]), *arrays[-3:])


def side_by_side(parts: list[Rescale], widths: list[int]) -> Rescale:
    """Join operators of one sum each into one operator over columns, so many for each."""

    def spread(values: list[Codes]) -> Codes:
        return np.repeat(np.array(values, np.int64), widths)

    return Rescale(
        (spread([part.factors[0] for part in parts]),),
        spread([part.offset for part in parts]),
        spread([part.shift for part in parts]),
        spread([part.top for part in parts]),
    )


def add(a: Quantiser, b: Quantiser, to: Quantiser) -> Rescale:
    """Return codes of a + b from codes of both."""
    made = rescale(to, a.scale / to.scale, b.scale / to.scale)
    constant = -a.zero * int(made.factors[0]) - b.zero * int(made.factors[1])
    return Rescale(made.factors, made.offset + constant, made.shift, made.top)


def subtract_from_one(a: Quantiser, to: Quantiser) -> Codes:
    """Return codes of 1 - a for every code of a; the one is 255 steps of 1 / 255, an operand of 8 bits."""
    (one, factor), shift = fixed_point(1 / 255 / to.scale, a.scale / to.scale)
    codes = np.arange(a.top + 1, dtype=np.int64)
    sums = 255 * one - factor * (codes - a.zero) + (1 << (shift - 1))
    return np.clip((sums >> shift) + to.zero, 0, to.top)


def table(function: Callable[[NDArray], NDArray], a: Quantiser, to: Quantiser) -> Codes:
    """Return codes of function(a) for every code of a."""
    return to.encode(function(a.decode(np.arange(a.top + 1))))


def exact_kind(terms: int, reach: int, other_reach: int) -> type:
    """Return the quickest kind of float in which sums of so many products of integers are exact."""
    bound = terms * reach * other_reach
    return next(kind for limit, kind in EXACT.items() if bound <= limit)


def sigmoid(values: NDArray) -> NDArray:
    """Return the logistic function."""
    with np.errstate(over="ignore"):  # far below 0 the power is infinite, and the result 0
        return 1 / (1 + np.exp(-values))
