"""Labels are PESQ by the library, made once, in any number of runs and processes; splits share nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pesq
import pytest

from data.tiny import make_corpus
from quality.tiny_run import config
from sese.core.cache import kept_files
from sese.core.errors import InputError
from sese.data.synthetic import synthetic_banks
from sese.quality import clips as clips_module
from sese.quality.clips import grown, labelled, of_pairs
from sese.quality.config import ClipsConfig
from sese.quality.sources import ENHANCED, LIMITED, MIXTURE, Mixtures, split_banks


def source(**chances: float) -> Mixtures:
    settings = config(Path("unused"), "network.seconds=2.0")
    data = replace(settings.data, models=("sese-2",), **chances)
    return Mixtures(data, settings.mix, synthetic_banks(16000, 1), seed=3)


@pytest.mark.parametrize(
    ("chances", "made"),
    [
        ({"enhanced": 0.0, "limited": 0.0}, MIXTURE),
        ({"enhanced": 1.0, "limited": 0.0}, ENHANCED),
        ({"enhanced": 0.0, "limited": 1.0}, LIMITED),
    ],
    ids=["noisy", "enhanced", "limited"],
)
def test_labels_are_those_of_the_library(tmp_path: Path, chances: dict[str, float], made: int):
    of = source(**chances)
    clips = grown(of, 3, str(tmp_path), 1, None, print)
    assert len(kept_files(tmp_path)["labelled clips"]) == 2
    assert clips is not None
    assert (clips.labels["made"] == made).all()
    mixture = of.mixer()(range(3))
    for i in range(3):
        audio, clean = clips.audio[i] / 32768.0, mixture.clean[i, 0].double().numpy()
        assert clips.labels["pesq"][i] == pytest.approx(pesq.pesq(16000, clean, audio, "wb"), abs=1e-6)
        same = np.abs(audio - mixture.noisy[i, 0].numpy()).max() < 1e-4
        assert same == (made == MIXTURE)
        assert clips.labels["snr_db"][i] == pytest.approx(float(mixture.snr_db[i]), abs=1e-4)
        assert clips.speakers[clips.labels["speaker"][i]].startswith("voice")


def test_growing_is_making_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clips_module, "_AT_ONCE", 2)
    of = source(enhanced=0.5, limited=0.2)
    whole = grown(of, 6, str(tmp_path / "whole"), 1, None, print)
    assert grown(of, 6, str(tmp_path / "grown"), 1, deadline=0.0, report=print) is None  # stops at once
    (sound,) = (tmp_path / "grown" / "quality").glob("*.i16")
    assert sound.stat().st_size == 2 * 2 * of.samples
    with sound.open("ab") as file:
        file.write(b"torn")  # as if stopped while writing
    grown(of, 3, str(tmp_path / "grown"), 1, None, print)
    again = grown(of, 6, str(tmp_path / "grown"), 2, None, print)
    assert whole is not None
    assert again is not None
    np.testing.assert_array_equal(again.audio, whole.audio)
    np.testing.assert_array_equal(again.labels, whole.labels)
    monkeypatch.setattr(Mixtures, "open", lambda self: pytest.fail("labelled again"))
    assert len(grown(of, 6, str(tmp_path / "grown"), 1, None, print) or ()) == 6


def test_other_chances_are_other_clips():
    assert source(enhanced=0.5).key() != source(enhanced=0.4).key()


def test_held_out_speakers_and_noises_are_apart(tmp_path: Path):
    make_corpus(tmp_path / "a", first=0)
    for first in (100, 200, 300):
        make_corpus(tmp_path / "a", first=first)
    for number in range(6):  # categories of one recording each, beside the two above
        target = tmp_path / "a" / "noise" / f"kind{number}" / "n.wav"
        target.parent.mkdir()
        target.write_bytes((tmp_path / "a/noise/hum/long.wav").read_bytes())
    data = ClipsConfig(train=(str(tmp_path / "a"),), cache_dir=str(tmp_path / "cache"), held_out=0.3)
    train, held = split_banks(data, 16000)
    names = [set(np.array(side.speech.group_names)[side.speech.groups]) for side in (train, held)]
    assert names[0]
    assert names[1]
    assert not names[0] & names[1]
    assert not set(train.noise.paths) & set(held.noise.paths)
    assert len(train.noise) + len(held.noise) == 8
    again = split_banks(data, 16000)[1]
    assert again.speech.paths == held.speech.paths


def test_pairs_are_scored_as_they_are_and_at_every_level(tmp_path: Path):
    import soundfile

    from quality.pairs import write_pairs

    folder = write_pairs(tmp_path / "set")
    clips = of_pairs(folder, 32000, ("sese-2",), cache_dir=str(tmp_path / "cache"), report=print)
    assert len(clips) == 2 * 4  # the noisy side and three levels
    assert clips.speakers == ("ann", "bob")
    assert clips.labels["made"].tolist() == [MIXTURE, *[ENHANCED] * 3] * 2
    for number, name in enumerate(("0.wav", "1.wav")):
        clean, noisy = (soundfile.read(folder / side / name)[0] for side in ("clean", "noisy"))
        row = clips.labels[4 * number]
        assert row["pesq"] == pytest.approx(pesq.pesq(16000, clean, noisy, "wb"), abs=1e-3)
        assert row["speaker"] == number


def test_what_cannot_be_scored_is_named_and_the_cache_is_not(tmp_path: Path):
    with pytest.raises(InputError, match=r"^metric pesq: "):
        labelled(config(tmp_path, "network.sample_rate=8000", "data.enhanced=0", "data.limited=0"))


def test_labels_need_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pesq" else find(name))
    with pytest.raises(InputError, match='"pesq" is not installed'):
        labelled(config(tmp_path))
