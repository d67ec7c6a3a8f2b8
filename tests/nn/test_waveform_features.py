"""The running level of networks on samples: what misleads it, and that chunks make no difference."""

from __future__ import annotations

import pytest
import torch

from sese.nn.features.level import BLOCK, smooth_below
from sese.nn.features.waveform import LEVEL_FLOOR, WaveformFeatures
from sese.nn.state import fresh

HOP, FRAMES = 32, 40


@pytest.fixture
def features() -> WaveformFeatures:
    return WaveformFeatures(HOP, 1, FRAMES)


def noise(frames: int, decibels: float, seed: int = 0) -> torch.Tensor:
    """Noise (1, time) with little at low frequencies, so that frames hardly have an offset of their own."""
    generator = torch.Generator().manual_seed(seed)
    return 10 ** (decibels / 20) * torch.randn(1, frames * HOP + 1, generator=generator).diff() / 2**0.5


def run(features: WaveformFeatures, audio: torch.Tensor, chunk: int | None = None):
    """Signal and level (time) of audio (1, time), in chunks of so many frames."""
    state = fresh(features.state_shapes(), 1, audio)
    signals, levels = [], []
    for part in audio.split(chunk * HOP if chunk else audio.shape[1], dim=1):
        signal, level, state = features(part, state)
        signals.append(signal)
        levels.append(level)
    return torch.cat(signals, dim=1)[0], torch.cat(levels, dim=1)[0]


def test_an_average_under_a_limit_is_that_of_a_loop():
    generator = torch.Generator().manual_seed(1)
    frames = 2 * BLOCK + 7
    x, most = torch.rand(2, frames, generator=generator), torch.rand(2, frames, generator=generator)
    most += (torch.rand(2, frames, generator=generator) < 0.7) * 10  # limits now and then
    before = torch.tensor([[0.0], [5.0]])
    y, expected = before, []
    for n in range(frames):
        y = torch.minimum(0.9 * y + 0.1 * x[:, n : n + 1], most[:, n : n + 1])
        expected.append(y)
    torch.testing.assert_close(smooth_below(x, most, before, 0.9), torch.cat(expected, dim=1))
    torch.testing.assert_close(smooth_below(x[:, :1], most[:, :1], before, 0.9), expected[0])


def test_steady_noise_is_divided_by_its_level(features: WaveformFeatures):
    signal, level = run(features, noise(400, -30))
    assert float(level[-HOP:].mean()) == pytest.approx(10 ** (-30 / 20) + LEVEL_FLOOR, rel=0.1)
    torch.testing.assert_close(signal * level, noise(400, -30)[0], atol=2e-3, rtol=0.02)


@pytest.mark.parametrize("offset", [0.02, -0.3])
def test_an_offset_makes_no_difference(features: WaveformFeatures, offset: float):
    audio = noise(200, -40)
    expected, level = run(features, audio)
    signal, same = run(features, audio + offset)
    torch.testing.assert_close(signal, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(same, level, atol=1e-5, rtol=1e-3)


def test_an_offset_that_begins_is_soon_gone(features: WaveformFeatures):
    audio = noise(200, -40)
    audio[:, 100 * HOP :] += 0.05
    signal, level = run(features, audio)
    tail = slice(150 * HOP, None)  # ten time constants of the offset
    assert float((signal * level)[tail].mean().abs()) < 2e-3


def test_after_a_loud_sound_the_level_comes_down(features: WaveformFeatures):
    """Within a tenth of its time constant to twice the loudest frame, within half of it to that frame."""
    quiet = noise(100, -40, seed=1)
    _, level = run(features, torch.cat([noise(100, -10), quiet], dim=1))
    _, alone = run(features, quiet)
    over = 20 * torch.log10(level[100 * HOP :] / alone)
    assert over[: 2 * HOP].max() > 20
    last, lasting = features.last_frames, features.lasting_frames
    assert over[(last + 1) * HOP :].max() < 6  # 3 dB over the loudest frame, which is above the mean
    assert over[(lasting + 1) * HOP :].max() < 3


def test_a_short_pause_is_forgotten(features: WaveformFeatures):
    """In it the level dips; behind it the level is what it would have been."""
    audio = noise(100, -20)
    audio[:, 50 * HOP : 60 * HOP] *= 0.01
    _, level = run(features, audio)
    _, through = run(features, noise(100, -20))
    ratio = 20 * torch.log10(level / through)
    assert ratio[58 * HOP] < -20
    assert ratio[62 * HOP :].abs().max() < 2


@pytest.mark.parametrize("frames", [3, 50])
def test_digital_silence_has_no_say(features: WaveformFeatures, frames: int):
    """At the beginning it is as if it had not been; later, the level stays."""
    audio, zeros = noise(100, -30), torch.zeros(1, frames * HOP)
    expected, level = run(features, audio)
    for part in (audio, audio + 0.05):
        signal, same = run(features, torch.cat([zeros, part], dim=1))
        assert not signal[: frames * HOP].any()
        torch.testing.assert_close(signal[frames * HOP :], expected, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(same[frames * HOP :], level, atol=1e-5, rtol=1e-3)
        signal, same = run(features, torch.cat([part, zeros, part], dim=1))
        middle = slice(100 * HOP, (100 + frames) * HOP)
        assert not signal[middle].any()
        torch.testing.assert_close(same[middle], level[-1:].expand(frames * HOP), atol=1e-5, rtol=2e-2)


@pytest.mark.parametrize("chunk", [1, 7, 300])
def test_chunks_make_no_difference(features: WaveformFeatures, chunk: int):
    zeros = torch.zeros(1, 9 * HOP)
    long = torch.zeros(1, 20 * FRAMES * HOP)  # in which all is forgotten
    parts = [zeros, noise(50, -10), zeros, noise(50, -50) + 0.02, long, noise(50, -30), noise(90, -60)]
    audio = torch.cat(parts, dim=1)
    whole, level = run(features, audio)
    signal, same = run(features, audio, chunk)
    torch.testing.assert_close(signal, whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(same, level, atol=1e-6, rtol=1e-4)


def test_what_a_policy_sees_has_no_offset():
    for oversampling in (1, 2):
        features = WaveformFeatures(HOP, oversampling, FRAMES)
        audio = noise(50, -40) + 0.1
        signal, level, _ = features(audio, fresh(features.state_shapes(), 1, audio))
        seen = features.evidence(audio, signal, level)
        assert seen.shape == audio.shape
        assert float(seen.mean().abs()) < 0.1
        assert 0.5 < float(seen.std()) < 1.5
