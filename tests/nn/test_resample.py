from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sese.nn.features.level import smooth
from sese.nn.features.resample import AHEAD, TAPS, downsample, half_sample_kernel, upsample

RATE = 16000
KERNEL = half_sample_kernel()


def band_limited(time: int = 4000, highest_hz: float = 6500.0) -> Tensor:
    """Two rows of noise without anything above `highest_hz`, faded at its ends: (2, time)."""
    spectrum = torch.fft.rfft(torch.randn(2, time, generator=torch.Generator().manual_seed(0)))
    spectrum[:, torch.fft.rfftfreq(time, 1 / RATE) > highest_hz] = 0
    return torch.fft.irfft(spectrum, time) * torch.hann_window(time)


def up(x: Tensor) -> Tensor:
    return upsample(x, torch.zeros(x.shape[0], TAPS - 1), KERNEL)[0]


def down(x: Tensor) -> Tensor:
    return downsample(x, torch.zeros(x.shape[0], TAPS, 2), KERNEL)[0]


def error_db(x: Tensor, expected: Tensor) -> float:
    return float(10 * torch.log10((x - expected).square().mean() / expected.square().mean()))


@pytest.mark.parametrize("hz", [100, 1000, 4000, 6500])
def test_upsampled_tone_is_the_tone_at_twice_the_rate(hz: int):
    t = torch.arange(8000, dtype=torch.float64) / (2 * RATE)
    fine = torch.sin(2 * torch.pi * hz * t).float().unsqueeze(0)
    late = 2 * AHEAD
    assert error_db(up(fine[:, ::2])[:, 400:], fine[:, 400 - late : -late]) < -40


@pytest.mark.parametrize("hz", [100, 1000, 4000, 6500])
def test_downsampled_tone_is_the_tone_at_half_the_rate(hz: int):
    t = torch.arange(8000, dtype=torch.float64) / (2 * RATE)
    fine = torch.sin(2 * torch.pi * hz * t).float().unsqueeze(0)
    assert error_db(down(fine)[:, 200:], fine[:, ::2][:, 200 - AHEAD : -AHEAD]) < -40


def test_down_leaves_little_of_what_the_lower_rate_cannot_hold():
    t = torch.arange(8000, dtype=torch.float64) / (2 * RATE)
    image = torch.sin(2 * torch.pi * 10_000 * t).float().unsqueeze(0)
    assert down(image)[:, 200:].square().mean() < 1e-4 * image.square().mean()


@pytest.mark.parametrize("stages", [1, 2])
def test_up_and_down_is_a_delay(stages: int):
    x = band_limited()
    y = x
    for _ in range(stages):
        y = up(y)
    for _ in range(stages):
        y = down(y)
    late = {1: 2 * AHEAD, 2: 2 * (AHEAD + AHEAD // 2)}[stages]
    assert error_db(y[:, late:], x[:, :-late]) < -40
    assert error_db(y[:, late + 1 :], x[:, : -late - 1]) > -10, "no other delay would do"


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_streamed_equals_whole(chunk: int):
    x = band_limited(256)
    fine, history = [], torch.zeros(2, TAPS - 1)
    for part in x.split(chunk, dim=1):
        y, history = upsample(part, history, KERNEL)
        fine.append(y)
    torch.testing.assert_close(torch.cat(fine, 1), up(x), atol=1e-6, rtol=0)
    coarse, history = [], torch.zeros(2, TAPS, 2)
    for part in up(x).split(2 * chunk, dim=1):
        y, history = downsample(part, history, KERNEL)
        coarse.append(y)
    torch.testing.assert_close(torch.cat(coarse, 1), down(up(x)), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("frames", "decay"), [(1, 0.5), (2, 0.99), (7, 0.9), (64, 0.1), (1000, 0.999)])
def test_smooth_equals_the_loop(frames: int, decay: float):
    generator = torch.Generator().manual_seed(frames)
    x, before = torch.rand(3, frames, generator=generator), torch.rand(3, 1, generator=generator)
    y, expected = before[:, 0].double(), []
    for n in range(frames):
        y = decay * y + (1 - decay) * x[:, n].double()
        expected.append(y)
    torch.testing.assert_close(
        smooth(x, before, decay), torch.stack(expected, 1).float(), atol=1e-6, rtol=1e-5
    )
