from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.tiny import RATE
from sese.core.errors import InputError
from sese.data.clip_assembly import assemble_by_copy, assemble_by_gather
from sese.data.mixing import MixConfig, Mixer, active_power
from sese.data.weighted_sampler import WeightedSampler

CONFIG = MixConfig(
    seconds=1.0, reverb=0.5, equalise=0.5, band_limit=0.5, clip=0.2, silence=0.1, clean_only=0.1
)
PLAIN = MixConfig(seconds=1.0).without_augmentation()


def test_shapes_and_range(banks):
    mixture = Mixer(CONFIG, *banks, seed=1)(range(64))
    assert mixture.noisy.shape == mixture.clean.shape == (64, 1, RATE)
    assert mixture.snr_db.shape == (64,)
    for side in mixture[:2]:
        assert side.dtype == torch.float32
        assert torch.isfinite(side).all()
        assert side.abs().max() <= 1.0


def test_example_depends_on_seed_and_index_alone(banks):
    mixer = Mixer(CONFIG, *banks, seed=3)
    whole = mixer(range(24))
    shuffled = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    for first in range(0, 24, 5):
        part = shuffled[first : first + 5]
        for a, b in zip(Mixer(CONFIG, *banks, seed=3)(part)[:3], whole[:3], strict=True):
            torch.testing.assert_close(a, b[part], atol=2e-6, rtol=1e-5)
    assert not torch.allclose(Mixer(CONFIG, *banks, seed=4)(range(24)).noisy, whole.noisy)
    assert not torch.allclose(mixer([0]).noisy, mixer([1]).noisy)


def test_turning_an_option_on_leaves_the_other_choices_alone(banks):
    without = Mixer(PLAIN, *banks, seed=1).sampler
    with_rooms = Mixer(replace(PLAIN, reverb=1.0), *banks, seed=1).sampler
    assert all(replace(with_rooms(i), rir=-1) == without(i) for i in range(20))


def test_snr_and_level_are_what_was_asked_for(banks):
    config = replace(PLAIN, level_dbfs=(-38.0, -30.0))  # quiet enough that no peak is scaled
    mixture = Mixer(config, *banks, seed=1)(range(32))
    clean, noisy = mixture.clean[:, 0], mixture.noisy[:, 0]
    power = active_power(clean, RATE)
    measured = 10 * torch.log10(power / (noisy - clean).square().mean(1))
    torch.testing.assert_close(measured, mixture.snr_db, atol=0.1, rtol=0)
    assert ((mixture.snr_db >= -5) & (mixture.snr_db <= 20)).all()
    level = 10 * torch.log10(power)
    assert ((level > -38.01) & (level < -29.99)).all()


def test_snr_holds_under_filters_and_can_be_set(banks):
    config = replace(PLAIN, equalise=1.0, band_limit=1.0, second_noise=1.0)
    mixture = Mixer(config, *banks, seed=1)(range(8), [7.0] * 8)
    noise = (mixture.noisy - mixture.clean)[:, 0]
    measured = 10 * torch.log10(active_power(mixture.clean[:, 0], RATE) / noise.square().mean(1))
    torch.testing.assert_close(measured, torch.full((8,), 7.0), atol=0.1, rtol=0)


def test_band_limit_is_on_both_sides(banks):
    mixture = Mixer(replace(PLAIN, band_limit=1.0), *banks, seed=1)(range(4))
    for side in mixture[:2]:
        spectrum = torch.fft.rfft(side[:, 0]).abs().square()
        assert (spectrum[:, 7700:].sum(1) < 1e-3 * spectrum.sum(1)).all()


def test_silence_and_clean_only(banks):
    silent = Mixer(replace(PLAIN, silence=1.0), *banks, seed=1)(range(4))
    assert (silent.clean == 0).all()
    assert (silent.noisy.abs().amax(-1) > 0).all()
    assert (silent.snr_db == -np.inf).all()
    clean = Mixer(replace(PLAIN, clean_only=1.0), *banks, seed=1)(range(4))
    torch.testing.assert_close(clean.snr_db, torch.full((4,), 60.0), atol=0.01, rtol=0)
    torch.testing.assert_close(clean.noisy, clean.clean, atol=5e-3, rtol=0)


def test_reverb_target_is_the_early_part(banks):
    quiet = replace(PLAIN, reverb=1.0, clean_only=1.0, level_dbfs=(-30.0, -30.0))
    late = {}
    for early_ms in (5.0, 50.0, 1000.0):
        mixture = Mixer(replace(quiet, early_ms=early_ms), *banks, seed=1)(range(4))
        late[early_ms] = (mixture.noisy - mixture.clean).square().mean()
    assert late[5.0] > 10 * late[50.0] > 100 * late[1000.0]


def test_clipping_is_on_the_noisy_side_only(banks):
    config = replace(PLAIN, level_dbfs=(-30.0, -30.0), snr_db=(0.0, 0.0))
    plain, clipped = (Mixer(replace(config, clip=c), *banks, seed=1)(range(4)) for c in (0.0, 1.0))
    torch.testing.assert_close(plain.clean, clipped.clean)
    ratio = clipped.noisy.abs().amax(-1) / plain.noisy.abs().amax(-1)
    assert ((ratio > 0.39) & (ratio < 0.91)).all()


def test_loud_pairs_are_scaled_together(banks):
    config = replace(PLAIN, level_dbfs=(0.0, 0.0), snr_db=(0.0, 0.0))
    mixture = Mixer(config, *banks, seed=1)(range(8))
    assert mixture.noisy.abs().max() <= 0.9901
    assert (active_power(mixture.clean[:, 0], RATE) < 1.0).all()


def test_short_utterances_fill_the_clip_with_one_speaker(banks):
    speech = banks[0]
    sample = Mixer(replace(PLAIN, seconds=4.0), *banks, seed=1).sampler
    for i in range(40):
        pieces = sample(i).speech
        assert len({speech.groups[recording] for recording, _ in pieces}) == 1
        ends = [begin + speech.lengths[recording] for recording, begin in pieces]
        for end, (_, begin) in zip(ends, pieces[1:], strict=False):
            assert 0.1 * RATE - 1 <= begin - end <= 0.6 * RATE
        assert ends[-1] > (4.0 - 0.6) * RATE


def test_copying_and_gathering_agree(banks):
    speech = banks[0]
    sample = Mixer(replace(PLAIN, seconds=1.0), *banks, seed=1).sampler
    rows = [sample(i).speech for i in range(40)]
    samples = torch.from_numpy(speech.samples)
    for fade in (0, 80, 5000):  # the last is longer than half an utterance
        a, b = (
            assemble_by_copy(speech, rows, RATE, fade),
            assemble_by_gather(speech, samples, rows, RATE, fade),
        )
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_groups_are_sampled_by_the_power_of_their_length(banks):
    speech = banks[0]
    sampler = WeightedSampler(speech, group_power=0.5, recording_power=1.0)
    drawn = np.array([sampler.sample(u) for u in (np.arange(4000) + 0.5) / 4000])
    share = np.bincount(speech.groups[drawn]) / 4000
    seconds = np.bincount(speech.groups, weights=speech.lengths)
    np.testing.assert_allclose(share, np.sqrt(seconds) / np.sqrt(seconds).sum(), atol=0.002)
    assert set(drawn) == set(range(len(speech)))
    for recording in range(len(speech)):
        for u in (0.0, 0.5, 0.999999):
            assert speech.groups[sampler.sample_same_group(recording, u)] == speech.groups[recording]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reverb", 1.5),
        ("snr_db", (5.0, -5.0)),
        ("seconds", 0.0),
        ("seconds", 1e9),
        ("seconds", float("nan")),
        ("sample_rate", 0),
        ("early_ms", -1.0),
        ("clip", float("nan")),
    ],
)
def test_bad_configuration(field, value):
    with pytest.raises(InputError, match=f"mix {field}: got"):
        MixConfig(**{field: value})


def test_bank_at_another_rate_is_refused(banks):
    with pytest.raises(InputError, match="speech bank: got 16000 Hz"):
        Mixer(MixConfig(sample_rate=8000), *banks)
    with pytest.raises(InputError, match="seed"):
        Mixer(PLAIN, *banks, seed=-1)
