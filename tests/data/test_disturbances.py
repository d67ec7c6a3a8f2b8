"""Steps of the gain, loud sounds before the speech, digital zeros, offsets and hum are as asked for."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.test_augmentation import CPU, QUIET, pair
from data.tiny import RATE
from sese.data import effects
from sese.data.mix_config import DISTURBANCES, OFF_BY_DEFAULT
from sese.data.mixing import MixConfig, Mixer, active_power

OLD = tuple(name for name in OFF_BY_DEFAULT if name not in DISTURBANCES)


def decibels(a, b):
    return float(20 * torch.log10(a / b))


def rms(clip):
    return clip.square().mean().sqrt()


def test_examples_of_before_are_bit_identical(banks):
    """With the older augmentation on, examples without a disturbance are the same to the last bit."""
    config = MixConfig(seconds=1.0, reverb=0.5, clip=0.3, **dict.fromkeys(OLD, 0.4))
    specs, *before_and_after = pair(banks, 48, config, **dict.fromkeys(DISTURBANCES, 0.15))
    rows = [row for row, p in enumerate(specs) if not any(getattr(p, name) for name in DISTURBANCES)]
    assert 8 < len(rows) < 40
    for before, after in zip(before_and_after[:2], before_and_after[2:], strict=True):
        assert torch.equal(before[rows], after[rows])


def test_the_older_draws_are_those_of_before_the_disturbances(banks):
    config = MixConfig(seconds=1.0, **dict.fromkeys(OLD, 0.5))
    for disturbed in (config, replace(config, **dict.fromkeys(DISTURBANCES, 1e-9))):
        sample = Mixer(disturbed, *banks, seed=5).sampler
        drawn = repr([(p.babble, p.colour, p.drop_in, p.telephone, p.gaps) for p in map(sample, range(20))])
        assert hashlib.sha256(drawn.encode()).hexdigest()[:16] == "01b0cbf72677ea1d"


def test_a_step_is_one_gain_on_both_sides(banks):
    specs, noisy, clean, noisy_after, clean_after = pair(banks, 64, level_step=1.0)
    steps = np.array([p.level_step[0] for p in specs])
    assert steps.min() < -20
    assert steps.max() > 15
    sudden = [p.level_step[2] == 1 for p in specs]
    assert 16 < sum(sudden) < 48
    for row, p in enumerate(specs):
        step, begin, length = p.level_step
        assert 0.1 * RATE <= begin <= 0.9 * RATE
        assert length == 1 or 16 <= length <= 800
        for before, after in ((noisy[row], noisy_after[row]), (clean[row], clean_after[row])):
            if not before[: begin + 1].any():
                continue  # the speech begins later
            lower = decibels(rms(after[: begin + 1]), rms(before[: begin + 1]))
            assert lower <= 1e-3  # where a step up needs room
            upper = decibels(rms(after[begin + length :]), rms(before[begin + length :]))
            assert upper - lower == pytest.approx(step, abs=1e-2)
        assert max(noisy_after[row].abs().max(), clean_after[row].abs().max()) < 1


def test_a_loud_sound_precedes_the_speech(banks):
    config = replace(QUIET, level_dbfs=(-45.0, -12.0), snr_db=(60.0, 60.0))
    specs, _, clean, noisy_after, clean_after = pair(banks, 64, config, loud_before=1.0)
    kinds = {p.loud_before.kind for p in specs}
    assert kinds == {"noise", "voice", "beep"}
    for row, p in enumerate(specs):
        sound = p.loud_before
        begin, end = sound.begin, sound.begin + sound.length
        assert 15 <= sound.above_db <= 35
        assert 0.1 * RATE <= end <= 0.5 * RATE
        inside = slice(begin + 80, end - 80)
        after = slice(end + 80, RATE)
        loud, target = noisy_after[row, inside], clean_after[row, inside]
        speech = active_power(clean_after[row : row + 1, after], RATE).sqrt()
        level = decibels(active_power(loud[None], RATE).sqrt(), speech)
        assert level == pytest.approx(sound.above_db, abs=1.5)  # the pieces measured are not quite the same
        assert rms(loud) <= 10 ** (-6 / 20) * 1.03  # 0.2 dB: what is measured leaves the fades out
        if sound.kind == "voice":  # on both sides
            assert decibels(rms(loud), rms(target)) == pytest.approx(0, abs=0.1)
        else:
            assert (target == 0).all()
        # What follows differs by its level alone.
        ratio = decibels(rms(clean_after[row, after]), rms(clean[row, after]))
        torch.testing.assert_close(
            clean_after[row, after], clean[row, after] * 10 ** (ratio / 20), atol=1e-5, rtol=1e-3
        )


def test_a_beep_has_its_frequency_and_length(banks):
    specs, *_, noisy, _ = pair(banks, 64, replace(QUIET, snr_db=(60.0, 60.0)), loud_before=1.0)
    beeps = [(row, p.loud_before) for row, p in enumerate(specs) if p.loud_before.kind == "beep"]
    assert len(beeps) > 10
    for row, sound in beeps:
        assert 200 <= sound.hertz <= 4000
        assert sound.length <= RATE
        assert sound.length >= 0.2 * RATE or sound.begin == 0
        clip = torch.zeros(RATE)
        clip[: sound.length] = noisy[row, sound.begin : sound.begin + sound.length]
        assert int(torch.fft.rfft(clip).abs().argmax()) == pytest.approx(sound.hertz, abs=1.5)


def test_zeros_are_exact_on_both_sides_and_all_else_is_as_before(banks):
    specs, noisy, clean, noisy_after, clean_after = pair(banks, 64, zeros=1.0, offset=0.0)
    places = set()
    for row, p in enumerate(specs):
        begin, length = p.zeros
        assert 0.05 * RATE <= length <= 0.5 * RATE
        places.add("first" if begin == 0 else "last" if begin + length == RATE else "inside")
        inside = torch.zeros(RATE, dtype=torch.bool)
        inside[begin : begin + length] = True
        for before, after in ((noisy[row], noisy_after[row]), (clean[row], clean_after[row])):
            assert not after[inside].any()
            assert torch.equal(after[~inside], before[~inside])
    assert places == {"first", "inside", "last"}


def test_an_offset_is_one_constant_on_the_noisy_side_alone(banks):
    specs, noisy, clean, noisy_after, clean_after = pair(banks, offset=1.0)
    assert torch.equal(clean, clean_after)
    offsets = torch.tensor([p.offset for p in specs])
    assert offsets.min() < -0.01
    assert offsets.max() > 0.01
    assert offsets.abs().max() <= 0.05
    torch.testing.assert_close(noisy_after - noisy, offsets[:, None].expand_as(noisy), atol=1e-6, rtol=0)
    loud = replace(QUIET, level_dbfs=(-3.0, -3.0))
    *_, noisy, clean = pair(banks, config=loud, offset=1.0)
    assert noisy.abs().max() <= 0.99 + 1e-6
    assert decibels(rms(noisy - noisy.mean(1, keepdim=True)), rms(clean)) < 10  # still one scale


def test_rumble_is_low_at_its_level_and_on_the_noisy_side_alone(banks):
    config = replace(QUIET, level_dbfs=(-50.0, -50.0))
    specs, noisy, clean, noisy_after, clean_after = pair(banks, 32, config, rumble=1.0)
    assert torch.equal(clean, clean_after)
    added = noisy_after - noisy
    level = added.square().mean(1).sqrt()
    spectrum = torch.fft.rfft(added * torch.hann_window(RATE)).abs().square()  # 1 Hz a bin
    hums = 0
    for row, p in enumerate(specs):
        assert -10 <= p.rumble.above_db <= 20
        assert decibels(level[row], active_power(clean[row : row + 1], RATE).sqrt()) == pytest.approx(
            p.rumble.above_db, abs=0.01
        )
        base = p.rumble.partials[0][0]
        share = spectrum[row] / spectrum[row].sum()
        if len(p.rumble.partials) < 12:
            hums += 1
            assert min(abs(base - 50), abs(base - 60)) <= 0.2
            assert 2 <= len(p.rumble.partials) <= 6
            near = [round(f) + k for f, *_ in p.rumble.partials for k in range(-3, 4)]
            assert share[near].sum() > 0.999
            assert int(share.argmax()) == round(base)
        else:
            assert share[4:64].sum() > 0.999
    assert 6 < hums < 26


def test_sines_are_the_sines_asked_for():
    partials = [[(50.0, 1.0, 0.25), (1234.5, 0.5, 0.1)], [(7.0, 2.0, 0.0)]]
    t = np.arange(10_000) / RATE
    expected = [sum(a * np.sin(2 * np.pi * (f * t + p)) for f, a, p in row) for row in partials]
    np.testing.assert_allclose(effects.sines(partials, 10_000, RATE, CPU), expected, atol=1e-5)
