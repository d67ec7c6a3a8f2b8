"""Fourier transforms as products: what PyTorch computes, for every way that a frame divides."""

from __future__ import annotations

import pytest
import torch

from sese.export.forms.fourier import product_to_frame, to_frames, to_spectra


@pytest.mark.parametrize("n_fft", [4, 10, 64, 254, 320, 512])
@pytest.mark.parametrize("nyquist", [False, True])
def test_both_ways(n_fft: int, nyquist: bool) -> None:
    bins = n_fft // 2 + nyquist
    frames = torch.randn(2, 3, n_fft, generator=torch.Generator().manual_seed(n_fft))
    expected = torch.fft.rfft(frames.double())[..., :bins]
    spectra = to_spectra(frames, bins)
    largest = float(expected.abs().max())
    both = torch.stack([expected.real, expected.imag], dim=2).float()
    torch.testing.assert_close(spectra, both, atol=1e-6 * largest, rtol=0)
    back = torch.fft.irfft(expected, n_fft).float()
    torch.testing.assert_close(to_frames(both, n_fft), back, atol=1e-5, rtol=0)


def test_imaginary_parts_without_a_mirror_image_count_for_nothing() -> None:
    spectra = torch.zeros(1, 1, 2, 5)
    spectra[..., 1, [0, 4]] = 1.0
    torch.testing.assert_close(to_frames(spectra, 8), torch.zeros(1, 1, 8), atol=1e-6, rtol=0)


@pytest.mark.parametrize("bins", [32, 33])
def test_products_of_two_spectra(bins: int) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(2, bins, 2, generator=generator) for _ in range(2))
    product = torch.view_as_complex(first) * torch.view_as_complex(second)
    expected = torch.fft.irfft(product, 64).unsqueeze(1)
    got = product_to_frame(first.transpose(1, 2), second.transpose(1, 2), 64)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)
