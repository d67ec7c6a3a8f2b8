"""Distances between spectra and their own backward pass, against autograd's of `torch.stft`."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from sese.core import compiled
from sese.nn.layers import kernels
from sese.training.compressed_distance import SIZES, compressed_complex
from sese.training.spectral_distance import RESOLUTIONS, multi_resolution_stft

needs_compiler = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler")


def compressed_by_autograd(estimate: Tensor, clean: Tensor) -> Tensor:
    total = estimate.new_zeros(())
    for n_fft in SIZES:
        window = torch.hann_window(n_fft, dtype=estimate.dtype)
        made, meant = (
            torch.stft(x, n_fft, n_fft // 2, n_fft, window, return_complex=True) for x in (estimate, clean)
        )
        power, target = (x.real**2 + x.imag**2 + 1e-8 for x in (made, meant))
        difference = made * power**-0.35 - meant * target**-0.35
        spectra = difference.real**2 + difference.imag**2
        total = total + (0.7 * (power**0.15 - target**0.15) ** 2 + 0.3 * spectra).mean()
    return total / len(SIZES)


def by_autograd(estimate: Tensor, clean: Tensor) -> Tensor:
    total = estimate.new_zeros(())
    for n_fft, hop_length, win_length in RESOLUTIONS:
        window = torch.hann_window(win_length, dtype=estimate.dtype)
        spectra = (
            torch.stft(x, n_fft, hop_length, win_length, window, return_complex=True)
            for x in (estimate, clean)
        )
        made, meant = ((x.real**2 + x.imag**2).clamp_min(1e-7).sqrt() for x in spectra)
        convergence = (meant - made).norm(dim=(1, 2)) / meant.norm(dim=(1, 2)).clamp_min(1e-3)
        total = total + convergence.mean() + (meant.log() - made.log()).abs().mean()
    return total / len(RESOLUTIONS)


LOSSES = {
    "multi_resolution_stft": (multi_resolution_stft, by_autograd, {"spectral_distance", "spectral_slope"}),
    "compressed_complex": (compressed_complex, compressed_by_autograd, {"compressed_distance"}),
}
"""Name of a loss -> itself, the same by autograd, and its kernels."""


def pair(time: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Clips of which one begins faint and one ends in silence, and where one target is silent."""
    generator = torch.Generator().manual_seed(0)
    estimate = 0.1 * torch.randn(4, time, generator=generator, dtype=torch.float64)
    clean = estimate + 0.02 * torch.randn(4, time, generator=generator, dtype=torch.float64)
    estimate[0, : time // 2] *= 1e-4
    estimate[1, time // 3 :] = 0
    clean[2] = 0
    return estimate.to(dtype), clean.to(dtype)


def results(loss: object, estimate: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    estimate = estimate.clone().requires_grad_()
    value = loss(estimate, clean)  # type: ignore[operator]
    return value.detach(), torch.autograd.grad(3 * value, estimate)[0]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("time", [1025, 7111])
def test_equals_autograd(time: int, name: str) -> None:
    signals, (loss, reference, _) = pair(time, torch.float64), LOSSES[name]
    for made, expected in zip(results(loss, *signals), results(reference, *signals), strict=True):
        torch.testing.assert_close(made, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))


@needs_compiler
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("time", [1025, 7111])
@pytest.mark.parametrize("compiles", [True, False], ids=["kernels", "no kernels"])
def test_in_single_precision_is_as_near_as_autograd(
    monkeypatch: pytest.MonkeyPatch, compiles: bool, time: int, name: str
) -> None:
    loss, reference, used = LOSSES[name]
    if not compiles:
        monkeypatch.setattr(kernels, "on", lambda x: False)
    ran: list[str] = []
    run = kernels.run
    monkeypatch.setattr(kernels, "run", lambda name, *given: (ran.append(name), run(name, *given)))
    signals = pair(time, torch.float32)
    value, slope = results(loss, *signals)
    assert set(ran) == (used if compiles else set())
    exact_value, exact = results(reference, *(x.double() for x in signals))
    assert value.item() == pytest.approx(exact_value.item(), rel=1e-5)
    error = (results(reference, *signals)[1] - exact).norm()
    assert (slope - exact).norm() < 2 * error + 1e-6 * exact.norm()


@needs_compiler
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_pulls_where_nothing_is_lost(name: str) -> None:
    clean = pair(3000, torch.float32)[1]
    value, slope = results(LOSSES[name][0], clean, clean)
    assert value < 1e-12
    assert slope.abs().max() < 1e-9


@pytest.mark.parametrize("name", LOSSES)
def test_value_is_the_same_without_a_gradient(name: str) -> None:
    estimate, clean = pair(3000, torch.float32)
    loss, *_ = LOSSES[name]
    alone = loss(estimate, clean)
    assert not alone.requires_grad
    torch.testing.assert_close(alone, results(loss, estimate, clean)[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_a_target_with_a_gradient_is_refused(name: str) -> None:
    estimate, clean = pair(3000, torch.float32)
    with pytest.raises(ValueError, match="detach it"):
        LOSSES[name][0](estimate, clean.requires_grad_())


def test_exponent_and_share_may_be_whole_numbers() -> None:
    estimate, clean = pair(1025, torch.float32)
    whole, broken = (
        results(partial(compressed_complex, power=power, complex_share=share), estimate, clean)
        for power, share in ((1, 0), (1.0, 0.0))
    )
    assert torch.equal(whole[0], broken[0])
    assert torch.equal(whole[1], broken[1])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(4, 1024), (1, 1025)])
def test_a_target_of_another_shape_is_refused(name: str, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"shapes \[4, 1025\] and"):
        LOSSES[name][0](torch.zeros(4, 1025), torch.zeros(shape))


def test_sizes_and_batches_that_have_no_distance_are_refused() -> None:
    with pytest.raises(ValueError, match="n_fft of a distance between spectra is 321"):
        compressed_complex(torch.zeros(1, 1025), torch.zeros(1, 1025), sizes=(320, 321))
    with pytest.raises(ValueError, match="at least one clip"):
        multi_resolution_stft(torch.zeros(0, 1025), torch.zeros(0, 1025))
