from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sese.evaluation import metrics
from sese.training.losses import (
    LOSSES,
    active_compressed,
    compressed_complex,
    l1,
    multi_resolution_stft,
    negative_sdr,
    negative_si_sdr,
    si_sdr,
    total,
)


def noise(rows: int = 2, time: int = 4096, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(rows, time, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["l1", "multi_resolution_stft", "compressed_complex", "active_compressed"])
def test_nothing_is_lost_on_the_clean_signal(name: str):
    assert LOSSES[name](noise(), noise()) == 0
    assert LOSSES[name](noise(seed=1), noise()) > 0.01


def test_l1():
    assert l1(torch.tensor([[0.5, -0.5, 0.0, 1.0]]), torch.zeros(1, 4)) == 0.5


def test_multi_resolution_stft_of_twice_the_signal():
    # The spectra differ by the target itself, their logarithms by log 2.
    assert multi_resolution_stft(2 * noise(), noise()).item() == pytest.approx(1 + math.log(2), rel=1e-3)


def test_compressed_complex_of_scaled_and_of_turned_signals():
    clean = noise()
    # Magnitudes |S|^0.3 alike, spectra opposed: 0.3 * |2 S^0.3|^2. At twice the level: (2^0.3 - 1)^2 |S|^0.6.
    turned, twice = compressed_complex(-clean, clean), compressed_complex(2 * clean, clean)
    assert (twice / turned).item() == pytest.approx((2**0.3 - 1) ** 2 / 1.2, rel=1e-3)


def spectra(x: np.ndarray, n_fft: int, hop: int, window: int) -> np.ndarray:
    """Centred frames of [time], periodic Hann window in the middle of each: [frame, frequency]."""
    padded = np.pad(x, n_fft // 2, mode="reflect")
    hann = np.zeros(n_fft)
    first = (n_fft - window) // 2
    hann[first : first + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(padded) - n_fft + 1, hop)
    return np.stack([np.fft.rfft(padded[start : start + n_fft] * hann) for start in starts])


def test_spectral_losses_are_what_their_papers_say():
    estimate, clean = noise(1), noise(1, seed=1)
    pair = [x[0].double().numpy() for x in (estimate, clean)]
    expected = []
    for sizes in ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200)):
        e, s = (np.abs(spectra(x, *sizes)) for x in pair)
        expected.append(np.linalg.norm(s - e) / np.linalg.norm(s) + np.abs(np.log(s) - np.log(e)).mean())
    assert multi_resolution_stft(estimate, clean).item() == pytest.approx(np.mean(expected), rel=1e-3)
    expected = []
    for n_fft in (320, 512, 768):
        e, s = (spectra(x, n_fft, n_fft // 2, n_fft) for x in pair)
        magnitude = ((np.abs(e) ** 0.3 - np.abs(s) ** 0.3) ** 2).mean()
        both = np.abs(e * np.abs(e) ** -0.7 - s * np.abs(s) ** -0.7) ** 2
        expected.append(0.7 * magnitude + 0.3 * both.mean())
    assert compressed_complex(estimate, clean).item() == pytest.approx(np.mean(expected), rel=1e-3)


def test_active_compressed_is_at_the_level_of_active_frames():
    clean, estimate = noise(1), noise(1, seed=1)
    clean[:, 2048:] *= 1e-3  # not active
    e, s = (spectra(x[0].double().numpy(), 512, 256, 512) for x in (estimate, clean))
    levels = np.linalg.norm(s, axis=1) * np.sqrt(2) / 512
    active = levels > 0.025
    assert 0 < active.sum() < len(levels)
    e, s = e / levels[active].mean(), s / levels[active].mean()
    magnitude = ((np.abs(e) ** 0.3 - np.abs(s) ** 0.3) ** 2).mean()
    both = np.abs(e * np.abs(e) ** -0.7 - s * np.abs(s) ** -0.7) ** 2
    expected = 0.7 * magnitude + 0.3 * both.mean()
    assert active_compressed(estimate, clean).item() == pytest.approx(expected, rel=1e-3)


def test_active_compressed_of_silence_is_finite():
    estimate = noise(1).requires_grad_()
    loss = active_compressed(estimate, torch.zeros(1, 4096))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(estimate.grad).all()


def test_si_sdr_is_that_of_the_evaluation():
    clean, estimate = noise(3), 0.3 * noise(3) + 0.5 * noise(3, seed=1) + 0.01
    expected = [metrics.si_sdr(c.numpy(), e.numpy()) for c, e in zip(clean, estimate, strict=True)]
    torch.testing.assert_close(si_sdr(estimate, clean), torch.tensor(expected).float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("factor", [0.1, 7.0, -1.0])
def test_si_sdr_does_not_depend_on_scale_or_offset(factor: float):
    clean, estimate = noise(), noise() + 0.5 * noise(seed=1)
    expected = si_sdr(estimate, clean)
    torch.testing.assert_close(si_sdr(factor * estimate, clean), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(si_sdr(estimate, factor * clean), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(si_sdr(estimate + 0.2, clean - 0.3), expected, atol=1e-3, rtol=0)


def test_negative_si_sdr():
    t = torch.arange(4000) / 4000
    clean, other = torch.sin(2 * torch.pi * 40 * t), torch.sin(2 * torch.pi * 100 * t)  # orthogonal
    estimate = (clean + 10**-0.5 * other).unsqueeze(0)
    assert negative_si_sdr(estimate, clean.unsqueeze(0)).item() == pytest.approx(-1, abs=1e-3), "10 dB"
    assert negative_si_sdr(clean.unsqueeze(0), clean.unsqueeze(0)).item() == pytest.approx(-3), (
        "at most 30 dB"
    )
    # A clip without speech neither counts nor divides.
    with_silence = negative_si_sdr(estimate.expand(2, -1), torch.stack([clean, torch.zeros_like(clean)]))
    assert with_silence.item() == pytest.approx(-1, abs=1e-3)
    assert negative_si_sdr(estimate, torch.zeros(1, 4000)) == 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("clean", ["noise", "silence", "half"])
@pytest.mark.parametrize("estimate", ["noise", "silence", "clean"])
def test_gradients_are_finite(name: str, clean: str, estimate: str):
    target = {
        "noise": noise(),
        "silence": torch.zeros(2, 4096),
        "half": noise() * torch.tensor([[1.0], [0.0]]),
    }
    made = {"noise": noise(seed=1), "silence": torch.zeros(2, 4096), "clean": target[clean]}[estimate].clone()
    made.requires_grad_()
    loss = LOSSES[name](made, target[clean])
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(made.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_lead_downhill(name: str):
    clean = noise(time=8192)  # ESTOI needs 384 ms
    estimate = (0.5 * clean + 0.5 * noise(time=8192, seed=1)).requires_grad_()
    loss = LOSSES[name](estimate, clean)
    loss.backward()
    step = 1e-3 * estimate.detach().norm() / estimate.grad.norm()
    assert LOSSES[name](estimate.detach() - step * estimate.grad, clean) < loss


def test_total_weighs_by_name_at_the_level_of_the_noisy_input():
    estimate, clean = noise(), noise(seed=1)
    noisy = 0.2 * torch.tensor([1.0, -1.0]).repeat(2, 2048)  # a level of 0.2 is brought to 0.1
    losses = total(estimate, clean, noisy, {"l1": 2.0, "si_sdr": 0.5, "multi_resolution_stft": 0.0})
    assert set(losses) == {"l1", "si_sdr"}
    torch.testing.assert_close(losses["l1"], 2 * 0.5 * l1(estimate, clean))
    torch.testing.assert_close(losses["si_sdr"], 0.5 * negative_si_sdr(0.5 * estimate, 0.5 * clean))


def test_total_does_not_depend_on_how_loud_a_clip_is():
    estimate, clean, noisy = noise(), noise(seed=1), noise(seed=2)
    gains = torch.tensor([[0.05], [3.0]])
    weights = dict.fromkeys(LOSSES, 1.0)
    quiet_and_loud = total(gains * estimate, gains * clean, gains * noisy, weights)
    for name, value in total(estimate, clean, noisy, weights).items():
        torch.testing.assert_close(quiet_and_loud[name], value, rtol=1e-4, atol=1e-6)


def test_total_at_the_level_of_the_clean_target_or_at_none():
    estimate, clean = noise(), noise(seed=1)
    noisy, weights = 5 * noise(seed=2), {"l1": 1.0}
    louder = 10 * clean.square().mean(-1, keepdim=True).sqrt()  # of a level of 0.1
    at_clean = total(estimate, clean, noisy, weights, level="clean")["l1"]
    torch.testing.assert_close(at_clean, l1(estimate / louder, clean / louder))
    torch.testing.assert_close(
        total(estimate, clean, noisy, weights, level="none")["l1"], l1(estimate, clean)
    )


def test_total_of_silence_is_finite():
    silence = torch.zeros(1, 4096)
    assert all(
        torch.isfinite(value)
        for value in total(silence, silence, silence, dict.fromkeys(LOSSES, 1.0)).values()
    )


def test_negative_sdr_sees_scale_and_polarity_which_si_sdr_does_not():
    clean = noise()
    for scale, expected in ((0.5, 6.02), (-0.5, -3.52), (0.0, 0.0)):
        assert negative_sdr(scale * clean, clean).item() == pytest.approx(-expected / 10, abs=1e-3)
    noisy = clean + 0.3 * noise(seed=1)
    assert negative_si_sdr(-noisy, clean).item() == pytest.approx(negative_si_sdr(noisy, clean).item())
    assert negative_sdr(-noisy, clean) > negative_sdr(noisy, clean) + 0.5


def test_negative_sdr_leaves_clips_without_speech_out():
    clean = torch.cat([noise(rows=1), torch.zeros(1, 4096)])
    estimate = clean + 0.01 * noise(seed=1)
    assert negative_sdr(estimate, clean).item() == pytest.approx(negative_sdr(estimate[:1], clean[:1]).item())
