from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from data.tiny import sound, write
from sese.core.errors import InputError
from sese.data.batches import TrainBatches, stratified, validation_set
from sese.data.corpus_banks import load_banks
from sese.data.mixing import MixConfig, Mixer

CONFIG = MixConfig(seconds=0.5)


@pytest.fixture
def mixer(banks):
    return Mixer(CONFIG, *banks, seed=1)


def same(a, b) -> bool:
    return all(
        torch.equal(x.noisy, y.noisy) and torch.equal(x.clean, y.clean) for x, y in zip(a, b, strict=True)
    )


def test_resumed_equals_uninterrupted(mixer):
    whole = list(islice(TrainBatches(mixer, 3), 6))
    assert same(islice(TrainBatches(mixer, 3, start=6), 4), whole[2:])


def test_ranks_share_the_examples(mixer):
    one = list(islice(TrainBatches(mixer, 2), 4))
    zero, other = (list(islice(TrainBatches(mixer, 2, rank=r, world_size=2), 2)) for r in (0, 1))
    assert same([zero[0], other[0], zero[1], other[1]], one)


def test_bad_batches(mixer):
    with pytest.raises(InputError, match="batch_size 0"):
        TrainBatches(mixer, 0)
    with pytest.raises(InputError, match="rank 2 of 2"):
        TrainBatches(mixer, 1, rank=2, world_size=2)


def test_validation_set_is_fixed_and_spread(banks):
    first, again = (
        validation_set(CONFIG.without_augmentation(), *banks, clips=10, seed=5, batch_size=4)
        for _ in range(2)
    )
    assert [len(m.snr_db) for m in first] == [4, 4, 2]
    assert same(first, again)
    snr = torch.cat([m.snr_db for m in first]).sort().values
    torch.testing.assert_close(snr, torch.arange(10) * 2.5 - 3.75, atol=0.01, rtol=0)
    with pytest.raises(InputError, match="got 0"):
        stratified(0, 1, 0, 0)


def test_build_from_roots_and_folders(corpus: Path, tmp_path: Path):
    whole = load_banks([corpus], cache_dir=tmp_path / "cache")
    assert (len(whole.speech), len(whole.noise), len(whole.rir), whole.problems) == (6, 2, 2, ())
    write(tmp_path / "wind" / "w.wav", sound(0.5, 1))
    (tmp_path / "wind" / "bad.wav").touch()
    parts = load_banks(speech=[corpus / "clean"], noise=[tmp_path / "wind"], cache_dir=tmp_path / "cache")
    assert parts.rir is None
    assert parts.noise.group_names == ("wind",)
    assert [p.path.name for p in parts.problems] == ["bad.wav"]
    with pytest.raises(InputError, match="no noise in"):
        load_banks(speech=[corpus / "clean"], cache_dir=tmp_path / "cache")


def test_the_noise_of_pairs_is_what_they_differ_by(tmp_path: Path):
    clean, noise = sound(1.0, 1), sound(1.0, 2)
    write(tmp_path / "clean_trainset_28spk_wav" / "p226_001.wav", clean, subtype="FLOAT")
    write(tmp_path / "noisy_trainset_28spk_wav" / "p226_001.wav", clean + noise, subtype="FLOAT")
    banks = load_banks([tmp_path], cache_dir=tmp_path / "cache")
    assert banks.noise.audio(0) == pytest.approx(noise, abs=1e-4)
    assert banks.speech.audio(0) == pytest.approx(clean, abs=1e-4)
