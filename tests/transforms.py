"""Count the parts of an exported file beside the network: constants and products of its Fourier transforms.

Multiply-accumulates of a network leave transforms out, as papers do, so tests that count what runs add them.
"""

from __future__ import annotations

from sese.export.forms.fourier import _sides


def constants(n_fft: int) -> int:
    """Return an upper limit of the values of the matrices of both transforms."""
    a, b = _sides(n_fft)
    rows = -(-(n_fft // 2 + 1) // b)
    forward = 4 * b * b + 4 * a * b + 8 * rows * a
    backward = 16 * rows * a + 4 * a * b + 4 * b * b + n_fft
    return forward + backward


def products(n_fft: int) -> int:
    """Return the multiply-accumulates of both transforms of a frame with all bins, the factors left out."""
    a, b = _sides(n_fft)
    rows = -(-(n_fft // 2 + 1) // b)
    return 8 * a * b * b + 16 * a * b * rows
