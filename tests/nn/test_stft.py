"""Compressed spectra and the mask's head: what goes in comes out where nothing is masked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sese.nn.features.stft import COMPRESSION, LEVEL_FLOOR, SpectralFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.state import fresh

N_FFT, HOP = 512, 256
BINS = N_FFT // 2


def features(**others: int) -> SpectralFeatures:
    return SpectralFeatures(N_FFT, HOP, level_frames=20, **others)


def analysed(audio: Tensor, layer: SpectralFeatures) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    return layer(audio, fresh(layer.state_shapes(), audio.shape[0], audio))


def noise(frames: int, batch: int = 2) -> Tensor:
    return 0.1 * torch.randn(batch, frames * HOP, generator=torch.Generator().manual_seed(0))


def band_limited(frames: int) -> Tensor:
    """Sines far from the Nyquist frequency, swelling from nothing and back: (1, time)."""
    t = torch.arange(frames * HOP, dtype=torch.float64)
    swell = (torch.pi * t / len(t)).sin().square()
    sines = [torch.sin(2 * torch.pi * cycles * t + cycles) for cycles in (0.002, 0.013, 0.07, 0.19, 0.25)]
    return (0.1 * swell * torch.stack(sines).sum(0)).float().unsqueeze(0)


def synthesised(mask: Tensor, spectrum: Tensor) -> Tensor:
    head = MaskHead(N_FFT, HOP)
    flat = mask.expand_as(spectrum.unflatten(1, (-1, 2, BINS))).flatten(1)
    return head(flat, spectrum, fresh(head.state_shapes(), spectrum.shape[0], spectrum))[0]


def constant(real: float, imaginary: float) -> Tensor:
    return torch.tensor([real, imaginary]).view(1, 1, 2, 1)


def decibels(error: Tensor, signal: Tensor) -> float:
    return float(10 * torch.log10(error.square().sum() / signal.square().sum()))


def test_a_mask_of_one_gives_the_input_late() -> None:
    x, late = band_limited(24), MaskHead(N_FFT, HOP).lookahead_samples
    assert late == N_FFT - HOP
    y = synthesised(constant(1, 0), analysed(x, features())[1])
    assert y.shape == x.shape
    assert decibels(y[:, :late], x) < -80
    error = y[:, late:] - x[:, :-late]
    assert decibels(error, x) < -80
    assert decibels(y[:, late:] - x[:, 1 : 1 - late], x) > -40, "a sample off is seen"


def test_what_is_lost_is_the_bin_at_the_nyquist_frequency() -> None:
    x = noise(12)
    spectrum = analysed(x, features())[1]
    late = synthesised(constant(1, 0), spectrum)[:, HOP:]
    signs = (-1.0) ** torch.arange(N_FFT)
    window = torch.hann_window(N_FFT).sqrt()
    wanted = x[:, :-HOP].clone()
    padded = torch.nn.functional.pad(x, (HOP, 0))
    for at in range(12):  # take from each window what it has at the Nyquist frequency
        frame = padded[:, at * HOP : at * HOP + N_FFT] * window
        lost = (frame * signs).sum(1, keepdim=True) / N_FFT * signs * window
        if at:
            wanted[:, (at - 1) * HOP : at * HOP] -= lost[:, :HOP]
        if at < 11:
            wanted[:, at * HOP : (at + 1) * HOP] -= lost[:, HOP:]
    torch.testing.assert_close(late, wanted, atol=1e-6, rtol=0)
    assert decibels(late - x[:, :-HOP], x) > -40, "noise does have something there"


def test_masks_act_cubed() -> None:
    x = band_limited(16)
    spectrum = analysed(x, features())[1]
    whole = synthesised(constant(1, 0), spectrum)
    torch.testing.assert_close(synthesised(constant(0.5, 0), spectrum), whole / 8, atol=1e-7, rtol=0)
    torch.testing.assert_close(synthesised(constant(-1, 0), spectrum), -whole, atol=1e-7, rtol=0)
    assert not synthesised(constant(0, 0), spectrum).any()


def test_masks_turn_phases() -> None:
    angle = 0.07 * 2 * torch.pi * torch.arange(16 * HOP)
    spectrum = analysed(0.1 * torch.sin(angle).unsqueeze(0), features())[1]
    for factor in (1.0, 2**0.5):
        turned = synthesised(constant(0, factor), spectrum)[:, 2 * HOP :]  # a quarter turn
        wanted = 0.1 * factor**3 * torch.cos(angle - 2 * torch.pi * 0.07 * HOP)[2 * HOP :]
        torch.testing.assert_close(turned[0], wanted, atol=1e-3, rtol=0)


def test_spectra_are_those_of_windows() -> None:
    x = noise(5)
    signal, spectrum, _ = analysed(x, features())
    frame = x[:, 2 * HOP : 4 * HOP] * torch.hann_window(N_FFT).sqrt()  # the hop of frame 3 and the one before
    wanted = torch.fft.rfft(frame)[:, :BINS]
    made = spectrum.unflatten(1, (5, 2, BINS))[:, 3]
    torch.testing.assert_close(torch.complex(made[:, 0], made[:, 1]), wanted, atol=1e-5, rtol=0)
    compressed = signal.unflatten(1, (5, 2, BINS))[:, 3]
    compressed = torch.complex(compressed[:, 0], compressed[:, 1])
    torch.testing.assert_close(compressed.angle(), wanted.angle(), atol=1e-3, rtol=0)
    ratio = compressed.abs() / wanted.abs() ** COMPRESSION
    torch.testing.assert_close(ratio, ratio.mean(1, keepdim=True).expand_as(ratio), atol=0, rtol=1e-3)


@pytest.mark.parametrize("gain", [0.1, 4.0])
def test_compressed_spectra_do_not_depend_on_the_level(gain: float) -> None:
    x = noise(30)
    layer = features()
    signal, other = analysed(x, layer)[0], analysed(gain * x, layer)[0]
    assert (other - signal).norm() < 0.01 * signal.norm()
    first = signal.unflatten(1, (30, -1))[:, 0].square().sum(1) / BINS
    torch.testing.assert_close(first, torch.ones(2), atol=4 * LEVEL_FLOOR, rtol=0)


def test_the_level_is_the_average_so_far() -> None:
    """Exact from the first frame on: weights decay ** age over the frames so far, that sum to one."""
    x = noise(7, batch=1) * torch.tensor([1.0, 0.1, 2, 2, 0.5, 1, 3]).repeat_interleave(HOP)
    layer = features()
    signal, spectrum, _ = analysed(x, layer)
    spectrum, signal = (value.unflatten(1, (7, 2, BINS))[0] for value in (spectrum, signal))
    magnitudes = spectrum.square().sum(1).sqrt() ** COMPRESSION
    power = magnitudes.square().mean(1)
    for frame in range(7):
        weights = layer.decay ** torch.arange(frame, -1, -1.0)
        level = ((weights * power[: frame + 1]).sum() / weights.sum()).sqrt() + LEVEL_FLOOR
        torch.testing.assert_close(
            signal[frame].square().sum(0).sqrt(), magnitudes[frame] / level, atol=1e-3, rtol=1e-3
        )


def test_silence_is_finite_and_stays_silent() -> None:
    layer = features()
    x = torch.zeros(1, 6 * HOP)
    signal, spectrum, after = analysed(x, layer)
    evidence = layer.evidence(x, signal, spectrum)
    for value in (signal, spectrum, evidence, *after.values()):
        assert torch.isfinite(value).all()
    assert not signal.any()
    assert not synthesised(constant(1, 0), spectrum).any()
    loud = noise(2, batch=1)
    again = layer(loud, after)[0]
    assert torch.isfinite(again).all()
    assert again.abs().max() > 0.1


@pytest.mark.parametrize("bands", [32, 8])
def test_evidence_is_the_mean_compressed_magnitudes_of_bands(bands: int) -> None:
    x, frames = noise(9), 9
    layer = features(bands=bands)
    signal, spectrum, _ = analysed(x, layer)
    evidence = layer.evidence(x, signal, spectrum)
    assert evidence.shape == (2, frames * layer.evidence_size) == (2, frames * bands)
    parts = signal.unflatten(1, (frames, 2, BINS))
    wide = BINS // bands
    for row, frame, band in ((0, 0, 0), (1, 4, bands // 2), (0, 8, bands - 1)):
        own = parts[row, frame, :, band * wide : (band + 1) * wide]
        wanted = torch.complex(own[0], own[1]).abs().mean()
        torch.testing.assert_close(evidence[row, frame * bands + band], wanted, atol=1e-5, rtol=1e-5)


def test_evidence_is_none_of_the_later_frames() -> None:
    x = noise(9)
    layer = features()
    heard = layer.evidence(x, *analysed(x, layer)[:2]).unflatten(1, (9, -1))
    other = torch.cat([x[:, : 5 * HOP], -2 * x[:, 5 * HOP :]], dim=1)
    again = layer.evidence(other, *analysed(other, layer)[:2]).unflatten(1, (9, -1))
    torch.testing.assert_close(again[:, :5], heard[:, :5], atol=1e-6, rtol=0)
    assert not torch.allclose(again[:, 5:], heard[:, 5:], atol=1e-2)
