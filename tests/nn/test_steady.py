"""Features at a level that offsets, digital silence and sudden sounds leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sese.export.forms.tracing import for_tracing
from sese.nn.features.steady import MOST, RECENT_FRAMES, SteadyFeatures
from sese.nn.features.stft import LEVEL_FLOOR
from sese.nn.state import fresh

N_FFT, HOP, BINS = 512, 256, 256
SECOND = 62  # frames at 16 kHz, of 62.5
FEATURES = SteadyFeatures(N_FFT, HOP, level_frames=2 * SECOND)


def analysed(audio: Tensor, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """The signal (batch, frame, 3, bin), and the next state."""
    before = fresh(FEATURES.state_shapes(), len(audio), audio) if state is None else state
    signal, _, after = FEATURES(audio, before)
    return signal.unflatten(1, (-1, 3, BINS)), after


def levels(audio: Tensor) -> Tensor:
    """Return the level that each frame is divided by, without the floor, (frame,), for one signal."""
    signal, _ = analysed(audio)
    _, spectrum, _ = FEATURES(audio, fresh(FEATURES.state_shapes(), 1, audio))
    magnitude = spectrum.unflatten(1, (-1, 2, BINS)).square().sum(2).clamp_min(1e-10) ** (1 / 6)
    loudest = magnitude.argmax(2, keepdim=True)
    return (magnitude.gather(2, loudest) / signal[:, :, 0].gather(2, loudest)).flatten() - LEVEL_FLOOR


def noise(frames: int, rms: float = 0.05, seed: int = 0) -> Tensor:
    """Noise whose level swells: (1, time)."""
    generator = torch.Generator().manual_seed(seed)
    swell = 0.5 + torch.rand(1, frames, 1, generator=generator)
    return (rms * swell * torch.randn(1, frames, HOP, generator=generator)).flatten(1)


def test_signal_is_magnitudes_and_parts_of_the_compressed_spectrum() -> None:
    signal, _ = analysed(noise(20))
    magnitude, real, imaginary = signal.unbind(2)
    torch.testing.assert_close((real.square() + imaginary.square()).sqrt(), magnitude, atol=1e-5, rtol=1e-4)
    assert not imaginary[:, :, 0].any(), "the lowest bin is real"


@pytest.mark.parametrize("offset", [0.05, -0.3])
def test_an_offset_is_gone_after_a_second_or_two(offset: float) -> None:
    """An offset as loud as the sound: after a second it changes the signal by 1% and the level by 0.5%.

    Frames in which the sound is soft show it most: 5%. After two seconds it is 0.2% of each.
    """
    x = noise(4 * SECOND)
    plain, shifted = analysed(x)[0], analysed(x + offset)[0]
    error = (shifted - plain).square().sum((0, 2, 3)).sqrt() / plain.square().sum((0, 2, 3)).sqrt()
    change = (levels(x + offset) / levels(x) - 1).abs()
    share = abs(offset) / 0.05
    assert error[0] > 0.05, "at first it is heard"
    assert error[SECOND : 2 * SECOND].mean() < 0.01 * share
    assert error[SECOND:].max() < 0.05 * share
    assert change[SECOND:].max() < 0.005 * share
    assert max(error[2 * SECOND :].max(), change[2 * SECOND :].max()) < 0.002 * share


def test_an_offset_leaves_low_voices_alone() -> None:
    """A tone of 80 Hz keeps its level to 0.1 dB and its phase to a degree."""
    time = torch.arange(3 * SECOND * HOP) / 16000
    tone = 0.2 * torch.sin(2 * math.pi * 80 * time).unsqueeze(0)
    centred, _ = FEATURES._centred(tone, torch.zeros(1, 1))
    heard, given = centred[:, SECOND * HOP :], tone[:, SECOND * HOP :]
    assert float((heard - given).norm() / given.norm()) < 0.02


def test_digital_silence_leaves_the_level() -> None:
    x = noise(3 * SECOND)
    gap = torch.cat([x, torch.zeros(1, 10 * SECOND * HOP), x], dim=1)
    before, after = (analysed(audio)[1]["level"][0].view(2, 2) for audio in (x, gap[:, : 13 * SECOND * HOP]))
    torch.testing.assert_close(after[0] / after[1], before[0] / before[1])
    assert after[1, 0] < 0.02 < before[1, 0], "what is long ago weighs little when sound comes back"
    level = levels(gap)
    torch.testing.assert_close(level[3 * SECOND : 5 * SECOND].min(), level[3 * SECOND - 1], rtol=0.01, atol=0)
    assert (level[13 * SECOND :] / level[3 * SECOND - 1] - 1).abs().max() < 0.35, "of a swelling sound"


@pytest.mark.parametrize("heard", [0, 3])
def test_silence_of_any_length_is_no_louder_than_sound(heard: int) -> None:
    signal, _ = analysed(torch.cat([noise(heard * SECOND + 1), torch.zeros(1, 20 * SECOND * HOP)], dim=1))
    assert signal[:, heard * SECOND + SECOND :].max() < 1


def test_faint_noise_counts_where_zeros_do_not() -> None:
    x, quiet = noise(3 * SECOND), noise(10 * SECOND, rms=1e-5, seed=1)
    level = levels(torch.cat([x, quiet], dim=1))
    assert level[-1] < 0.15 * level[3 * SECOND - 1]


@pytest.mark.parametrize("change_db", [60.0, -60.0])
def test_level_follows_a_jump_within_18_db(change_db: float) -> None:
    """The slow level takes seconds for such a jump; what is divided by stays near that of the last frames."""
    before, after = noise(4 * SECOND), noise(SECOND, rms=0.05 * 10 ** (change_db / 20), seed=1)
    x = torch.cat([before, after], dim=1) * (1.0 if change_db < 0 else 1e-3)
    level = levels(x)
    state = fresh(FEATURES.state_shapes(), 1, x)
    _, spectrum, _ = FEATURES(x, state)
    size = spectrum.unflatten(1, (-1, 2, BINS)).square().sum(2).clamp_min(1e-10).pow(1 / 3).mean(2)[0]
    recent, weight, expected = 0.0, 0.0, []
    for value in size.tolist():
        recent += (value - recent) / RECENT_FRAMES
        weight += (1 - weight) / RECENT_FRAMES
        expected.append(recent / weight)
    db = 60 * torch.log10(level / torch.tensor(expected).sqrt())  # of magnitudes that are not compressed
    assert db.abs().max() < 30 * math.log10(MOST) + 0.1
    assert 30 * math.log10(MOST) == pytest.approx(18, abs=0.1)
    assert db.abs().max() > 17, "this jump is at the limit"


@pytest.mark.parametrize("gain", [0.01, 0.1, 10.0])
def test_gain_changes_nothing_up_to_the_floor(gain: float) -> None:
    x = noise(2 * SECOND)
    plain, other = analysed(x)[0], analysed(gain * x)[0]
    allowed = LEVEL_FLOOR / float((gain ** (1 / 3)) * levels(x).min()) + 1e-3
    assert float((other - plain).norm() / plain.norm()) < allowed < 0.01


@pytest.mark.parametrize("chunks", [[1] * 40, [7, 1, 30, 2], [40]], ids=str)
def test_streaming_equals_offline(chunks: list[int]) -> None:
    x = torch.cat([noise(20) + 0.1, torch.zeros(1, 8 * HOP), 1e-3 * noise(12, seed=1)], dim=1)
    x = torch.cat([x, x.flip(1)])
    whole, end = analysed(x)
    made, state = [], None
    for part in x.split([length * HOP for length in chunks], dim=1):
        signal, state = analysed(part, state)
        made.append(signal)
    got = torch.cat(made, 1)
    assert (got - whole).norm() < 1e-5 * whole.norm()
    torch.testing.assert_close(got, whole, atol=2e-3, rtol=0)  # a cube root is steep at zero
    assert state is not None
    for name, value in end.items():
        torch.testing.assert_close(state[name], value, atol=1e-6, rtol=1e-4)


def test_forms_for_one_frame_equal_the_general_ones() -> None:
    traced = for_tracing(FEATURES, many=False)
    x = torch.cat([noise(20) + 0.1, torch.zeros(1, 4 * HOP), 1e-3 * noise(12, seed=1)], dim=1)
    x = torch.cat([x, x.flip(1)])
    state = fresh(FEATURES.state_shapes(), 2, x)
    offset, level = state["offset"], state["level"]
    size = noise(36, rms=1.0, seed=2).view(36, HOP).square().mean(1).expand(2, -1)
    for at, part in enumerate(x.split(HOP, dim=1)):
        got, expected = (features._centred(part, offset) for features in (traced, FEATURES))
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
        offset = expected[1]
        got, expected = (
            features._level(size[:, at : at + 1], part, level) for features in (traced, FEATURES)
        )
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
        level = expected[1]
    assert float(level.min()) > 0


def test_silence_from_the_start_leaves_no_trace() -> None:
    silence, x = torch.zeros(1, 40 * HOP), noise(20)
    state = analysed(silence)[1]
    assert not any(value.any() for value in state.values())
    assert torch.equal(analysed(torch.cat([silence, x], dim=1))[0][:, 40:], analysed(x, state)[0])
