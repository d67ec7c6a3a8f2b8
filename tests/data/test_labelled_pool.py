"""Labels of a mixer's first examples: made once, kept in a file, and handed out with the examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sese.core.cache import kept_files
from sese.core.errors import InputError
from sese.data.batches import TrainBatches
from sese.data.labelled_pool import LabelledPool, label_pool
from sese.data.mixing import MixConfig, Mixer
from sese.data.synthetic import synthetic_banks

CONFIG = MixConfig(seconds=0.1)


def mixer(seed: int = 1, config: MixConfig = CONFIG, banks: int = 1) -> Mixer:
    made = synthetic_banks(16000, banks, seconds=1.0)
    return Mixer(config, made.speech, made.noise, None, seed)


def power(noisy: Tensor) -> Tensor:
    return noisy.square().mean((1, 2))


def counting(stop_at: int = 10**9) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """A label, and how many clips it saw in each call; it fails where a power cut would."""
    seen: list[int] = []

    def label(noisy: Tensor) -> Tensor:
        if sum(seen) >= stop_at:
            raise KeyboardInterrupt
        seen.append(len(noisy))
        return power(noisy)

    return label, seen


def test_a_pool_is_labelled_once_and_grows(tmp_path: Path):
    label, seen = counting()
    told: list[str] = []
    labels = label_pool(mixer(), 70, "power", label, tmp_path, told.append)
    torch.testing.assert_close(labels, power(mixer()(range(70)).noisy))
    assert seen == [64, 6]
    assert told[-1] == "power: labelled 70 of 70 mixtures, 0.0 min left"
    assert len(kept_files(tmp_path)["labels of mixtures"]) == 1
    assert torch.equal(label_pool(mixer(), 40, "power", label, tmp_path), labels[:40])
    assert seen == [64, 6]
    assert torch.equal(label_pool(mixer(), 80, "power", label, tmp_path, told.append)[:70], labels)
    assert seen == [64, 6, 10]
    assert len(list((tmp_path / "labels").iterdir())) == 1


def test_what_was_labelled_before_a_stop_is_kept(tmp_path: Path):
    label, seen = counting(stop_at=64)
    with pytest.raises(KeyboardInterrupt):
        label_pool(mixer(), 100, "power", label, tmp_path)
    label, seen = counting()
    labels = label_pool(mixer(), 100, "power", label, tmp_path, lambda line: None)
    assert seen == [36]
    torch.testing.assert_close(labels, power(mixer()(range(100)).noisy))


@pytest.mark.parametrize(
    "other",
    [mixer(seed=2), mixer(config=MixConfig(seconds=0.1, snr_db=(0.0, 5.0))), mixer(banks=2)],
    ids=["seed", "mix", "corpus"],
)
def test_other_mixtures_have_labels_of_their_own(other: Mixer, tmp_path: Path):
    one = label_pool(mixer(), 4, "power", power, tmp_path, lambda line: None)
    assert not torch.equal(label_pool(other, 4, "power", power, tmp_path, lambda line: None), one)


def test_a_file_that_is_no_cache_is_named(tmp_path: Path):
    label_pool(mixer(), 2, "power", power, tmp_path, lambda line: None)
    path = next((tmp_path / "labels").iterdir())
    path.write_text("something else")
    with pytest.raises(InputError, match=path.name):
        label_pool(mixer(), 2, "power", power, tmp_path)


def test_examples_go_round_with_their_labels():
    labels = torch.arange(6.0)
    batches = TrainBatches(LabelledPool(mixer(), labels), 4)
    made = [next(batches) for _ in range(3)]
    given = torch.cat([batch.label for batch in made if batch.label is not None])
    assert given.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]
    expected = mixer()(range(6)).noisy
    for batch in made:
        assert batch.label is not None
        torch.testing.assert_close(batch.noisy, expected[batch.label.long()])
    assert mixer()([0]).label is None
