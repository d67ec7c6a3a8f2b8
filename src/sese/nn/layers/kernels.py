"""C kernels for training, compiled for the processor at their first use: the library, and the gated mixer's.

PyTorch runs the same sums in separate passes over memory, which take several times as long. Without a C
compiler the layers run in PyTorch alone. DEMUCS' kernels are in `slim_kernels.py`.
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

SOURCES = ("kernel_numbers.c", "kernels.c", "slim_kernels.c", "spectral_kernels.c")
"""Files that are compiled as one, in this order."""

EPSILON = 1e-5
"""Added to the variance, as PyTorch's layer norm does."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None where they cannot be compiled."""
    source = b"\n".join((files("sese.nn.layers") / name).read_bytes() for name in SOURCES)
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
    return kernels


def usable(x: Tensor) -> bool:
    """Return whether the kernels accept a stream (..., band, channel): bfloat16, on a CPU, not too wide."""
    small = x.shape[-2] <= MOST_BANDS and x.shape[-1] <= MOST_CHANNELS
    return x.dtype == torch.bfloat16 and small and on(x)


def on(x: Tensor) -> bool:
    """Return whether x is on a CPU and the kernels are compiled, or can be."""
    return x.device.type == "cpu" and library() is not None


def in_training(x: Tensor) -> bool:
    """Return whether x takes part in a training under bfloat16 autocast on a CPU, and there are kernels."""
    if not torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and on(x)


def run(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a kernel: tensors, which must be contiguous, by their address, and None as a null pointer."""
    kernels = library()
    assert kernels is not None
    getattr(kernels, name)(*map(_passed, arguments))


def _passed(value: Tensor | int | float | None) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float:
    if isinstance(value, int):
        return ctypes.c_int64(value)
    if isinstance(value, float):
        return ctypes.c_float(value)
    return ctypes.c_void_p(None if value is None else value.data_ptr())


def norm(x: Tensor, gain: Tensor, shift: Tensor, turned: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise the rows of x (tile, band, channel), bfloat16; gain and shift (channel,), float32.

    Returns:
        The result, (tile, channel, band) if turned, and the rows' means and inverse deviations.
    """
    tiles, bands, channels = x.shape
    y = x.new_empty((tiles, channels, bands) if turned else x.shape)
    means, inverses = (gain.new_empty(tiles, bands) for _ in range(2))
    sizes = (tiles, bands, channels, int(turned))
    run("norm_forward", x, gain, shift, y, means, inverses, *sizes, EPSILON)
    return y, means, inverses


def norm_backward(
    x: Tensor, gain: Tensor, means: Tensor, inverses: Tensor, slope: Tensor, residual: Tensor, turned: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the residual path's gradient plus the norm's, and the gradients of gain and shift."""
    dx, dgain, dshift = torch.empty_like(x), torch.zeros_like(gain), torch.zeros_like(gain)
    sizes = (*x.shape, int(turned))
    run("norm_backward", x, gain, means, inverses, slope, residual, dx, dgain, dshift, *sizes)
    return dx, dgain, dshift


def add_turned(x: Tensor, turned: Tensor) -> Tensor:
    """Return x (tile, band, channel) plus turned (tile, channel, band)."""
    result = torch.empty_like(x)
    run("add_turned", x, turned, result, *x.shape)
    return result


def turn(x: Tensor) -> Tensor:
    """Return x (tile, band, channel) as (tile, channel, band)."""
    tiles, bands, channels = x.shape
    result = x.new_empty(tiles, channels, bands)
    run("turn", x, result, *x.shape)
    return result


def shift_relu(y: Tensor, bias: Tensor) -> None:
    """Add a bias (unit,), float32, to y (row, unit), bfloat16, and replace negative values by 0, in place."""
    run("shift_relu", y, bias, *y.shape)


def shift_relu_backward(slope: Tensor, y: Tensor) -> Tensor:
    """Apply the backward pass of `shift_relu` to a gradient (row, unit), in place.

    Returns:
        The gradient of the bias (unit,).
    """
    dbias = torch.zeros(y.shape[1])
    run("shift_relu_backward", slope, y, dbias, *y.shape)
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
    run("recur_forward", gates, bias, last, states, made, steps, rows, units)
    return made, states, last


def recur_backward(
    gates: Tensor, bias: Tensor, states: Tensor, slope: Tensor, later: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of gates, bias and the first state; `later` is that of the last state."""
    steps, rows, _, units = gates.shape
    carried = later.clone(memory_format=torch.contiguous_format)
    dgates, dbias = torch.empty_like(gates), torch.zeros_like(bias)
    run("recur_backward", gates, bias, states, slope, carried, dgates, dbias, steps, rows, units)
    return dgates, dbias, carried
