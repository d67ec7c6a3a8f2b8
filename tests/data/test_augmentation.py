"""The augmentation that is off by default: each changes what it should, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from data.tiny import RATE
from sese.core.errors import InputError
from sese.data import effects
from sese.data.mix_config import CHANCES, OFF_BY_DEFAULT
from sese.data.mixing import MixConfig, Mixer, active_power
from sese.data.mixture_spec import MixtureSpec
from sese.data.weighted_sampler import WeightedSampler

PLAIN = MixConfig(seconds=1.0).without_augmentation()
QUIET = replace(PLAIN, level_dbfs=(-40.0, -36.0))  # quiet enough that no peak is scaled
FIELDS = {  # fields of a specification that a chance sets
    "babble": ("babble",),
    "colour": ("colour",),
    "drop_in": ("drop_in",),
    "level_change": ("level_change",),
    "telephone": ("telephone", "mu_law"),
    "packet_loss": ("gaps",),
    "conversation": ("turns", "no_noise"),
    "level_step": ("level_step",),
    "loud_before": ("loud_before",),
    "zeros": ("zeros",),
    "offset": ("offset",),
    "rumble": ("rumble",),
}
NONE = {f.name: f.default for f in fields(MixtureSpec)}
CPU = torch.device("cpu")


def pair(banks, count=16, config=QUIET, seed=1, **chances):
    """The specs with these chances, and noisy and clean [row, time] without and with them."""
    without, mixer = Mixer(config, *banks, seed=seed), Mixer(replace(config, **chances), *banks, seed=seed)
    before, after = without(range(count)), mixer(range(count))
    sides = [side[:, 0] for mixture in (before, after) for side in mixture[:2]]
    return [mixer.sampler(i) for i in range(count)], *sides


def test_each_is_off_by_default_and_leaves_the_other_choices_alone(banks):
    assert set(FIELDS) == set(OFF_BY_DEFAULT)
    everything = MixConfig(seconds=1.0, **dict.fromkeys(OFF_BY_DEFAULT, 1.0))
    without, all_on = (
        Mixer(MixConfig(seconds=1.0), *banks, seed=1).sampler,
        Mixer(everything, *banks, seed=1).sampler,
    )
    for name, of_plan in FIELDS.items():
        assert getattr(MixConfig(), name) == 0.0
        alone = Mixer(MixConfig(seconds=1.0, **{name: 1.0}), *banks, seed=1).sampler
        for i in range(20):
            assert getattr(alone(i), of_plan[0]) != NONE[of_plan[0]]
            assert replace(alone(i), **{field: NONE[field] for field in of_plan}) == without(i)
            assert all(getattr(all_on(i), field) == getattr(alone(i), field) for field in of_plan)


def test_plain_turns_all_off():
    config = MixConfig(**dict.fromkeys(CHANCES, 1.0)).without_augmentation(reverb=0.25)
    assert {getattr(config, name) for name in CHANCES if name != "reverb"} == {0.0}
    assert config.reverb == 0.25
    assert {f.name for f in fields(MixConfig)} >= set(CHANCES)


@pytest.mark.parametrize("name", OFF_BY_DEFAULT)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_bad_chances(name, value):
    with pytest.raises(InputError, match=f"mix {name}: got"):
        MixConfig(**{name: value})


def test_plans_are_those_of_before_these_options(banks):
    """These were drawn when there were no such options: a run that resumes goes on with its examples."""
    sample = Mixer(MixConfig(seconds=1.0), *banks, seed=5).sampler
    assert sample(8).speech == ((5, 2649), (4, 13962))
    assert [part[:2] for part in sample(12).noise] == [(0, 1399), (0, 21408)]
    assert sample(12).speech == ((2, -1032),)
    assert sample(12).rir == 0
    assert sample(12).snr_db == pytest.approx(9.273296986451504)
    assert sample(12).level_dbfs == pytest.approx(-23.384576825817952)
    shelves = (4.760847349802438, 153.12551773697146, 2.904020703545754, 2661.262678972626)
    assert sample(12).shelves == pytest.approx(shelves)


def test_examples_that_are_not_chosen_stay_as_they_are(banks):
    chances = dict.fromkeys(OFF_BY_DEFAULT, 0.08)
    specs, *sides = pair(banks, 48, replace(PLAIN, second_noise=0.5), **chances)
    same = [
        i for i, p in enumerate(specs) if all(getattr(p, f) == NONE[f] for of in FIELDS.values() for f in of)
    ]
    assert 8 < len(same) < 48
    for before, after in zip(sides[:2], sides[2:], strict=True):
        torch.testing.assert_close(after[same], before[same], rtol=0, atol=0)


def test_range_and_independence_of_the_batch(banks):
    config = MixConfig(seconds=1.0, reverb=0.5, silence=0.1, clip=0.3, **dict.fromkeys(OFF_BY_DEFAULT, 0.5))
    mixer = Mixer(config, *banks, seed=3)
    whole = mixer(range(32))
    for side in whole[:2]:
        assert side.dtype == torch.float32
        assert torch.isfinite(side).all()
        assert side.abs().max() <= 1.0
    assert not whole.snr_db.isnan().any()
    # Mu-law may turn a rounding error into a step: at most 1/16 of the sample.
    for i in range(32):
        noisy, clean, snr = Mixer(config, *banks, seed=3)([i])[:3]
        torch.testing.assert_close(clean[0], whole.clean[i], atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(snr[0], whole.snr_db[i], atol=1e-4, rtol=1e-4)
        coded = mixer.sampler(i).mu_law
        bound = {"atol": 5e-4, "rtol": 1 / 16} if coded else {"atol": 2e-6, "rtol": 1e-5}
        torch.testing.assert_close(noisy[0], whole.noisy[i], **bound)


def test_gathering_gives_the_same_examples(banks):
    """Assemble clips on the CPU as other devices do."""
    config = replace(PLAIN, babble=1.0, second_noise=0.5)
    copying, gathering = Mixer(config, *banks, seed=1), Mixer(config, *banks, seed=1)
    for bank in (gathering.speech, gathering.noise):
        bank.samples = torch.from_numpy(bank.bank.samples)
    alone = [i for i in range(16) if len(copying.sampler(i).noise) == 1]  # all noise is babble
    for examples in (range(16), alone):
        for a, b in zip(copying(examples), gathering(examples), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_very_short_clips(banks):
    config = MixConfig(seconds=0.02, **dict.fromkeys(OFF_BY_DEFAULT, 1.0))
    mixture = Mixer(config, *banks, seed=1)(range(8))
    assert all(torch.isfinite(side).all() and side.abs().max() <= 1 for side in mixture[:2])


def test_telephone_is_a_band_on_both_sides(banks):
    specs, *_, noisy, clean = pair(banks, config=replace(QUIET, snr_db=(0.0, 0.0)), telephone=1.0)
    coded = torch.tensor([p.mu_law for p in specs])
    assert 0 < coded.sum() < len(specs)
    for side in (noisy[~coded], clean):
        spectrum = torch.fft.rfft(side).abs().square()  # 1 Hz a bin
        outside = spectrum[:, :60].sum(1) + spectrum[:, 4300:].sum(1)
        assert (outside < 1e-3 * spectrum.sum(1)).all()
        assert (spectrum[:, 400:2900].sum(1) > 0.6 * spectrum.sum(1)).all()
    for p in specs:
        assert p.telephone is not None
        assert 150 <= p.telephone[0] <= 300
        assert 3000 <= p.telephone[1] <= 3600


def test_mu_law_is_on_the_noisy_side_only(banks, monkeypatch):
    specs, *_, noisy, clean = pair(banks, telephone=1.0)
    monkeypatch.setattr(effects, "mu_law", torch.clone)
    *_, analogue, same = pair(banks, telephone=1.0)
    assert torch.equal(clean, same)
    for row, p in enumerate(specs):
        assert torch.equal(noisy[row], analogue[row]) != p.mu_law
        if p.mu_law:
            assert len(noisy[row].unique()) <= 256
            ratio = analogue[row].square().mean() / (noisy[row] - analogue[row]).square().mean()
            assert 10 * torch.log10(ratio) > 25  # at these low levels; up to 38 dB at high ones


def test_mu_law_is_that_of_g711():
    x = torch.linspace(-1, 1, 40001)
    coded = effects.mu_law(x)
    levels = (coded.abs() * 8159).round().unique()
    assert len(levels) == 128
    assert levels[:20].tolist() == [*range(0, 31, 2), 33, 37, 41, 45]
    assert levels[-1] == 8031
    torch.testing.assert_close(coded, -coded.flip(0))
    torch.testing.assert_close(effects.mu_law(coded), coded, atol=1e-6, rtol=0)
    assert effects.mu_law(torch.zeros(3)).tolist() == [0.0] * 3
    assert ((coded - x).abs() <= x.abs() / 31 + 1.01 / 8159)[x.abs() < 0.98].all()


def test_gaps_are_silent_on_both_sides_and_all_else_is_as_before(banks):
    specs, noisy, clean, noisy_after, clean_after = pair(banks, packet_loss=1.0)
    fade = 32
    assert len({len(p.gaps) for p in specs}) > 3
    for row, p in enumerate(specs):
        assert 1 <= len(p.gaps) <= 6
        inside, near = torch.zeros(RATE, dtype=torch.bool), torch.zeros(RATE, dtype=torch.bool)
        for begin, length in p.gaps:
            assert 160 <= length <= 960
            assert 0 <= begin <= RATE - length
            inside[begin : begin + length] = True
            near[max(begin - fade, 0) : begin + length + fade] = True
        for before, after in ((noisy, noisy_after), (clean, clean_after)):
            assert (after[row][inside] == 0).all()
            assert torch.equal(after[row][~near], before[row][~near])
            edge = near & ~inside
            assert (after[row][edge].abs() <= before[row][edge].abs()).all()


def test_gaps_fade_in_two_milliseconds():
    gain = effects.gaps([[(100, 50)], [(0, 20), (10, 30), (180, 20)]], 200, 4, CPU)
    np.testing.assert_allclose(gain[0, 94:101], [1, 1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(gain[0, 149:156], [0, 0.2, 0.4, 0.6, 0.8, 1, 1], atol=1e-6)
    assert (gain[1, :40] == 0).all()
    assert (gain[1, 180:] == 0).all()
    assert (gain[1, 44:176] == 1).all()


def test_babble_is_of_other_speakers_and_stands_in_for_the_noise(banks):
    speech = banks[0]
    config = replace(QUIET, snr_db=(3.0, 3.0))
    _, noisy, clean, noisy_after, clean_after = pair(banks, config=config, babble=1.0)
    assert torch.equal(clean, clean_after)
    assert not torch.isclose(noisy, noisy_after).all(1).any()
    power = (noisy_after - clean_after).square().mean(1)
    snr = 10 * torch.log10(active_power(clean_after, RATE) / power)
    torch.testing.assert_close(snr, torch.full((16,), 3.0), atol=0.1, rtol=0)
    sample = Mixer(replace(config, babble=1.0), *banks, seed=1).sampler
    counts = set()
    for p in map(sample, range(300)):
        target = speech.groups[p.speech[0][0]]
        counts.add(len(p.babble))
        for recording, offset, level in p.babble:
            assert speech.groups[recording] != target
            assert 0 <= offset < speech.lengths[recording]
            assert -6 <= level <= 0
    assert counts == set(range(3, 9))


def test_babble_is_made_of_its_voices(banks):
    mixer = Mixer(replace(PLAIN, babble=1.0), *banks, seed=1)
    spec = mixer.sampler(0)
    expected = np.zeros(RATE)
    for recording, offset, level in spec.babble:
        audio = banks[0].audio(recording)
        edge = np.minimum(1.0, np.arange(1, len(audio) + 1) / 81)
        looped = np.resize(audio * edge * edge[::-1], 2 * RATE + offset)[offset : offset + RATE]
        power = active_power(torch.from_numpy(looped)[None].float(), RATE)
        expected += looped * 10 ** (level / 20) / float(power.sqrt())
    expected /= np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(mixer.sources.noise([spec])[0], expected, atol=1e-4)


def test_another_group_is_sampled_by_weight(banks):
    speech = banks[0]
    sampler = WeightedSampler(speech, group_power=0.5, recording_power=1.0)
    seconds = np.sqrt(np.bincount(speech.groups, weights=speech.lengths))
    for own in range(len(speech)):
        group = speech.groups[own]
        drawn = np.array([sampler.sample_other_group(own, u) for u in (np.arange(2000) + 0.5) / 2000])
        others = np.where(np.arange(len(seconds)) == group, 0, seconds)
        np.testing.assert_allclose(
            np.bincount(speech.groups[drawn], minlength=len(seconds)) / 2000,
            others / others.sum(),
            atol=0.002,
        )
        for u in (0.0, 1 - 2**-53, 1.0):
            assert speech.groups[sampler.sample_other_group(own, u)] != group
    alone = replace(speech, groups=np.zeros_like(speech.groups), group_names=("unknown",))
    assert WeightedSampler(alone, 0.5, 1.0).sample_other_group(0, 0.3) in range(len(speech))


def test_colour_is_on_the_noise_alone(banks):
    config = replace(QUIET, snr_db=(0.0, 0.0))
    specs, noisy, clean, noisy_after, clean_after = pair(banks, config=config, colour=1.0)
    assert torch.equal(clean, clean_after)
    before, after = (noisy - clean), (noisy_after - clean_after)
    torch.testing.assert_close(before.square().mean(1), after.square().mean(1), rtol=1e-3, atol=0)
    tilt = []
    for noise in (before, after):
        bands = torch.fft.rfft(noise).abs().square()
        tilt.append(10 * torch.log10(bands[:, 20:80].mean(1) / bands[:, 7000:7900].mean(1)))
    asked = torch.tensor([p.colour[0] - p.colour[2] for p in specs])
    assert torch.corrcoef(torch.stack([tilt[1] - tilt[0], asked]))[0, 1] > 0.95


def test_level_change_is_one_gain_on_both_sides(banks):
    config = replace(QUIET, snr_db=(0.0, 0.0))
    specs, noisy, clean, noisy_after, clean_after = pair(banks, config=config, level_change=1.0)
    for row, p in enumerate(specs):
        decibels, begin, length = p.level_change
        assert -12 <= decibels <= 6
        assert 0.1 * RATE <= length <= 0.5 * RATE
        assert 0 <= begin <= RATE - length
        gain = effects.level_changes([p.level_change], RATE, CPU)[0]
        for before, after in ((noisy, noisy_after), (clean, clean_after)):
            torch.testing.assert_close(after[row], before[row] * gain)
        assert (gain[: begin + 1] == 1).all()
        torch.testing.assert_close(
            gain[begin + length :], torch.full((RATE - begin - length,), 10 ** (decibels / 20))
        )
        assert gain.diff().abs().max() <= 1.6 * abs(10 ** (decibels / 20) - 1) / length


def test_drop_in_makes_the_noise_begin_or_end(banks):
    config = replace(QUIET, snr_db=(0.0, 0.0))
    specs, _, clean, noisy_after, clean_after = pair(banks, config=config, drop_in=1.0)
    assert torch.equal(clean, clean_after)
    noise = noisy_after - clean_after
    begins = set()
    for row, p in enumerate(specs):
        middle, fade = p.drop_in
        begins.add(fade > 0)
        assert 0.1 * RATE <= middle <= 0.9 * RATE
        assert 160 <= abs(fade) <= 1600
        first, last = max(middle - abs(fade) // 2, 0), min(middle + abs(fade) // 2 + 1, RATE)
        silent, loud = (noise[row, :first], noise[row, last:])[:: 1 if fade > 0 else -1]
        assert (silent == 0).all()
        # The SNR is that over the part with noise.
        gain = effects.fades([p.drop_in], RATE, CPU)[0]
        power = noise[row].square().sum() / gain.square().sum()
        torch.testing.assert_close(
            active_power(clean[row : row + 1], RATE)[0] / power, torch.tensor(1.0), rtol=1e-3, atol=0
        )
        if len(loud) > 0.3 * RATE:
            assert loud.square().mean() / power > 0.5
    assert begins == {True, False}
