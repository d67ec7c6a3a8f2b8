"""C kernels for the training of the gated mixer, compiled for the processor at their first use.

PyTorch runs the same sums in separate passes over memory, which take several times as long. Without a C
compiler the layers run in PyTorch alone.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from importlib.resources import files

import torch
from torch import Tensor

from sese.core.compiled import compile_library
from sese.core.errors import InputError

MOST_BANDS, MOST_CHANNELS = 64, 1024
"""Largest sizes that the kernels accept."""

NAMES = (
    "norm_forward",
    "norm_backward",
    "add_turned",
    "turn",
    "shift_relu",
    "shift_relu_backward",
    "recur_forward",
    "recur_backward",
)

EPSILON = 1e-5
"""Added to the variance, as PyTorch's layer norm does."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None where they cannot be compiled."""
    source = (files("sese.nn.layers") / "kernels.c").read_bytes()
    # Without these the compiler may not turn rounding, comparisons and sums into vectors.
    flags = (
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffinite-math-only",
        "-fno-signed-zeros",
        "-fopenmp-simd",
    )
    try:
        kernels = ctypes.CDLL(str(compile_library(source, flags, libraries=("-lm",))))
    except (InputError, OSError) as error:  # a cache folder may forbid to run what is in it
        warnings.warn(f"training runs without its C kernels, and slower: {error}", stacklevel=2)
        return None
    pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    kernels.norm_forward.argtypes = [*[pointer] * 6, *[number] * 4, real]
    kernels.norm_backward.argtypes = [*[pointer] * 9, *[number] * 4]
    kernels.add_turned.argtypes = [*[pointer] * 3, *[number] * 3]
    kernels.turn.argtypes = [*[pointer] * 2, *[number] * 3]
    kernels.shift_relu.argtypes = [*[pointer] * 2, *[number] * 2]
    kernels.shift_relu_backward.argtypes = [*[pointer] * 3, *[number] * 2]
    kernels.recur_forward.argtypes = [*[pointer] * 5, *[number] * 3]
    kernels.recur_backward.argtypes = [*[pointer] * 7, *[number] * 3]
    for name in NAMES:
        getattr(kernels, name).restype = None
    return kernels


def usable(x: Tensor) -> bool:
    """Return whether the kernels accept a stream (..., band, channel): bfloat16, on a CPU, not too wide."""
    small = x.shape[-2] <= MOST_BANDS and x.shape[-1] <= MOST_CHANNELS
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and small and library() is not None


def _run(name: str, *arguments: Tensor | int | float) -> None:
    kernels = library()
    assert kernels is not None
    getattr(kernels, name)(*(a.data_ptr() if isinstance(a, Tensor) else a for a in arguments))


def norm(x: Tensor, gain: Tensor, shift: Tensor, turned: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise the rows of x (tile, band, channel), bfloat16; gain and shift (channel,), float32.

    Returns:
        The result, (tile, channel, band) if turned, and the rows' means and inverse deviations.
    """
    tiles, bands, channels = x.shape
    y = x.new_empty((tiles, channels, bands) if turned else x.shape)
    means, inverses = (gain.new_empty(tiles, bands) for _ in range(2))
    sizes = (tiles, bands, channels, int(turned))
    _run("norm_forward", x, gain, shift, y, means, inverses, *sizes, EPSILON)
    return y, means, inverses


def norm_backward(
    x: Tensor, gain: Tensor, means: Tensor, inverses: Tensor, slope: Tensor, residual: Tensor, turned: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the residual path's gradient plus the norm's, and the gradients of gain and shift."""
    dx, dgain, dshift = torch.empty_like(x), torch.zeros_like(gain), torch.zeros_like(gain)
    sizes = (*x.shape, int(turned))
    _run("norm_backward", x, gain, means, inverses, slope, residual, dx, dgain, dshift, *sizes)
    return dx, dgain, dshift


def add_turned(x: Tensor, turned: Tensor) -> Tensor:
    """Return x (tile, band, channel) plus turned (tile, channel, band)."""
    result = torch.empty_like(x)
    _run("add_turned", x, turned, result, *x.shape)
    return result


def turn(x: Tensor) -> Tensor:
    """Return x (tile, band, channel) as (tile, channel, band)."""
    tiles, bands, channels = x.shape
    result = x.new_empty(tiles, channels, bands)
    _run("turn", x, result, *x.shape)
    return result


def shift_relu(y: Tensor, bias: Tensor) -> None:
    """Add a bias (unit,), float32, to y (row, unit), bfloat16, and replace negative values by 0, in place."""
    _run("shift_relu", y, bias, *y.shape)


def shift_relu_backward(slope: Tensor, y: Tensor) -> Tensor:
    """Apply the backward pass of `shift_relu` to a gradient (row, unit), in place.

    Returns:
        The gradient of the bias (unit,).
    """
    dbias = torch.zeros(y.shape[1])
    _run("shift_relu_backward", slope, y, dbias, *y.shape)
    return dbias


def recur(gates: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run the gated recurrence.

    Args:
        gates: (step, row, 3, unit), bfloat16: keep, value and gate.
        bias: (3, unit), float32, of the gates.
        state: (row, unit), float32, before the first step.

    Returns:
        The output (step, row, unit), the states (step + 1, row, unit), and the last state in float32.
    """
    steps, rows, _, units = gates.shape
    last = state.clone(memory_format=torch.contiguous_format)
    states, made = gates.new_empty(steps + 1, rows, units), gates.new_empty(steps, rows, units)
    _run("recur_forward", gates, bias, last, states, made, steps, rows, units)
    return made, states, last


def recur_backward(
    gates: Tensor, bias: Tensor, states: Tensor, slope: Tensor, later: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of gates, bias and the first state; `later` is that of the last state."""
    steps, rows, _, units = gates.shape
    carried = later.clone(memory_format=torch.contiguous_format)
    dgates, dbias = torch.empty_like(gates), torch.zeros_like(bias)
    _run("recur_backward", gates, bias, states, slope, carried, dgates, dbias, steps, rows, units)
    return dgates, dbias, carried
