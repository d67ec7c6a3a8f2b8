"""Fourier transforms of frames as products with two small matrices.

ONNX Runtime's own operator computes its sines anew in every call. It takes two to five times as long, for one
frame and for many. A frame of n = a b samples is a table with sample a r + c in row r and column c. A
transform along its columns, factors for each value, and a transform along its rows make the bins: bin
b p + q is in row p and column q (Cooley and Tukey, Math. Comp. 19, 1965). Complex values are two real ones.
The product after the factors adds their parts up, so that a value is four real ones between the products.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def to_spectra(frames: Tensor, bins: int) -> Tensor:
    """Transform real frames.

    Args:
        frames: (batch, frame, n_fft), n_fft even.
        bins: bins to return, from the lowest; at most n_fft / 2 + 1.

    Returns:
        (batch, frame, 2, bin), real parts before imaginary ones.

    Example:
        >>> to_spectra(torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), 3)[0, 0]
        tensor([[1., 1., 1.],
                [0., 0., 0.]])
    """
    n_fft = frames.shape[2]
    a, b = _sides(n_fft)
    rows = -(-bins // b)
    along, factor, across = _turns(b, b, b), _turns(a, b, n_fft), _turns(rows, a, a)
    inward = np.concatenate([along.real, along.imag] * 2, axis=1)
    factors = np.concatenate([factor.real, -factor.imag, factor.imag, factor.real], axis=1)
    real = np.stack([across.real, across.real, -across.imag, -across.imag], axis=2)
    imaginary = np.stack([across.imag, across.imag, across.real, across.real], axis=2)
    outward = np.concatenate([real, imaginary]).reshape(2 * rows, 4 * a)
    tables = frames.reshape(-1, b, a).transpose(1, 2)
    turned = torch.matmul(tables, _tensor(inward)) * _tensor(factors)
    spectra = torch.matmul(_tensor(outward), turned.reshape(-1, 4 * a, b))
    return spectra.reshape(*frames.shape[:2], 2, rows * b)[..., :bins]


def to_frames(spectra: Tensor, n_fft: int) -> Tensor:
    """Transform spectra back to real frames.

    Args:
        spectra: (batch, frame, 2, bin); the bins that are missing up to n_fft / 2 are zero.
        n_fft: samples in a frame, even.

    Returns:
        (batch, frame, n_fft).

    Example:
        >>> to_frames(to_spectra(torch.eye(4)[None], 3), 4)[0].abs().round()
        tensor([[1., 0., 0., 0.],
                [0., 1., 0., 0.],
                [0., 0., 1., 0.],
                [0., 0., 0., 1.]])
    """
    return _inverse(spectra * _mirrored(spectra.shape[3], n_fft), n_fft)


def product_to_frame(first: Tensor, second: Tensor, n_fft: int) -> Tensor:
    """Transform the complex product of two spectra of one frame back.

    Args:
        first, second: (batch, 2, bin).
        n_fft: samples in a frame, even.

    Returns:
        (batch, 1, n_fft).

    Example:
        >>> one = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])
        >>> product_to_frame(one, one, 4)[0].abs().round()
        tensor([[1., 0., 0., 0.]])
    """
    first = first * _mirrored(first.shape[2], n_fft)
    return _inverse((first.unsqueeze(2) * second.unsqueeze(1)).flatten(1, 2).unsqueeze(1), n_fft)


def _inverse(values: Tensor, n_fft: int) -> Tensor:
    """Transform back what has a factor for mirror images.

    Args:
        values: (batch, frame, 2, bin), or products (batch, frame, 4, bin) of the parts of two spectra.
        n_fft: samples in a frame, even.
    """
    count, bins = values.shape[2:]
    a, b = _sides(n_fft)
    rows = -(-bins // b)
    across, factor, along = _turns(rows, a, -a), _turns(b, a, -n_fft), _turns(b, b, -b)
    real = np.concatenate([across.real, across.imag] * 2, axis=1)
    imaginary = np.concatenate([-across.imag, across.real] * 2, axis=1)
    # Imaginary times imaginary is minus real.
    inward = np.concatenate([real, imaginary] if count == 2 else [real, imaginary, imaginary, -real])
    factors = np.concatenate([factor.real, -factor.imag, factor.imag, factor.real], axis=1)
    outward = np.stack([along.real, along.real, -along.imag, -along.imag], axis=2).reshape(b, 4 * b) / n_fft
    if rows * b > bins:
        values = F.pad(values, (0, rows * b - bins))
    tables = values.reshape(-1, count * rows, b).transpose(1, 2)
    turned = torch.matmul(tables, _tensor(inward)) * _tensor(factors)
    frames = torch.matmul(_tensor(outward), turned.reshape(-1, 4 * b, a))
    return frames.reshape(*values.shape[:2], n_fft)


def _mirrored(bins: int, n_fft: int) -> Tensor:
    """Return the number of bins of a whole transform that each of its lower half stands for, (bin,)."""
    counts = np.full(bins, 2.0)
    counts[0] = 1.0
    if bins > n_fft // 2:
        counts[-1] = 1.0  # the Nyquist frequency
    return _tensor(counts)


def _sides(size: int) -> tuple[int, int]:
    """Return the columns, an even number, and the rows of the table of a frame with the fewest products.

    Example:
        >>> _sides(512), _sides(320)
        ((16, 32), (16, 20))
    """
    return min(((a, size // a) for a in range(2, size + 1, 2) if size % a == 0), key=sum)


def _turns(rows: int, columns: int, period: int) -> NDArray[np.complex128]:
    """Return exp(-2 pi i row column / period), (row, column)."""
    turns = np.outer(np.arange(rows), np.arange(columns)) % period / period
    return np.exp(-2j * np.pi * turns)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
