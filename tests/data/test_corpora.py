from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from data.tiny import make_corpus, sound, write
from sese.core.errors import InputError
from sese.data.corpora import check_disjoint, scan


def test_corpus_root(corpus: Path):
    found = scan(corpus)
    assert {r.group for r in found.speech} == {"ann0", "bob0", "cy0"}
    assert {r.group for r in found.noise} == {"hum", "tick"}
    assert (len(found.speech), len(found.rir), found.pairs, found.problems) == (6, 2, (), ())
    assert {r.kind for r in found.rir} == {"rir"}


def test_voicebank_demand_layout_with_splits(tmp_path: Path):
    for half, names in (("trainset_28spk", ("p226_001", "p287_002")), ("testset", ("p232_001",))):
        for name in names:
            for side in ("clean", "noisy"):
                write(tmp_path / f"{side}_{half}_wav" / f"{name}.wav", sound(0.1, 1, 48000), 48000)
    found = scan(tmp_path)
    assert [r.group for r in found.speech] == ["p232", "p226", "p287"]
    assert all(clean.path.name == noisy.path.name for clean, noisy in found.pairs)
    assert len(scan(tmp_path, split="train").pairs) == 2
    assert [c.group for c, _ in scan(tmp_path, split="test").pairs] == ["p232"]


@pytest.mark.parametrize("separator", ["-", "_"])  # LibriSpeech, LibriTTS
def test_a_speakers_chapters_are_one_speaker(tmp_path: Path, separator: str):
    for speaker, chapter in (("84", "121123"), ("84", "121550"), ("174", "84280")):
        name = separator.join([speaker, chapter, "0001.wav"])
        write(tmp_path / "train-clean" / speaker / chapter / name, sound(0.1, 1))
    write(tmp_path / "clean" / "84" / "take1" / "84-take1-0001.wav", sound(0.1, 1))
    assert [r.group for r in scan(tmp_path / "train-clean").speech] == ["174", "84", "84"]
    assert [r.group for r in scan(tmp_path / "train-clean" / "84").speech] == ["84", "84"]
    assert [r.group for r in scan(tmp_path).speech] == ["take1"], "folders of another kind are as they were"


def test_paired_folder_names_what_has_no_partner(tmp_path: Path):
    for name in ("a", "b"):
        write(tmp_path / "clean" / f"{name}.wav", sound(0.1, 1))
    write(tmp_path / "noisy" / "a.wav", sound(0.1, 2))
    write(tmp_path / "noisy" / "c.wav", sound(0.1, 2))
    found = scan(tmp_path)
    assert [(c.path.name, n.path.parent.name) for c, n in found.pairs] == [("a.wav", "noisy")]
    assert {p.path.name for p in found.problems} == {"b.wav", "c.wav"}


def test_pair_of_unequal_length_is_a_problem(tmp_path: Path):
    write(tmp_path / "clean" / "a.wav", sound(0.1, 1))
    write(tmp_path / "noisy" / "a.wav", sound(0.2, 1))
    found = scan(tmp_path)
    assert found.pairs == ()
    assert "length" in found.problems[0].reason


def test_plain_folder_takes_the_role_of_the_caller(tmp_path: Path):
    write(tmp_path / "rain" / "x.wav", sound(0.1, 1))
    write(tmp_path / "y.wav", sound(0.1, 1))
    assert [(r.group, r.kind) for r in scan(tmp_path).speech] == [("rain", "speech"), ("unknown", "speech")]
    assert [(r.group, r.kind) for r in scan(tmp_path, "noise").noise] == [
        ("rain", "noise"),
        (tmp_path.name, "noise"),
    ]


def test_unusable_files_are_named(tmp_path: Path):
    write(tmp_path / "good.wav", sound(0.1, 1))
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.flac").write_text("not audio")
    write(tmp_path / "nothing.wav", np.zeros(0))
    write(tmp_path / "nan.wav", np.full(100, np.nan), subtype="FLOAT")
    (tmp_path / "._good.wav").write_text("hidden")
    (tmp_path / "readme.txt").write_text("not audio by name")
    found = scan(tmp_path)
    assert [r.path.name for r in found.speech] == ["good.wav"]
    assert {p.path.name for p in found.problems} == {"empty.wav", "text.flac", "nothing.wav", "nan.wav"}
    assert all(p.reason and "\n" not in p.reason for p in found.problems)


def test_bad_arguments(tmp_path: Path):
    with pytest.raises(InputError, match="not a folder"):
        scan(tmp_path / "missing")
    with pytest.raises(InputError, match="got 'music'"):
        scan(tmp_path, "music")  # type: ignore[arg-type]


def test_disjoint_guard(tmp_path: Path):
    train = scan(make_corpus(tmp_path / "t"))
    make_corpus(tmp_path / "v", first=7)  # other sounds under the same names
    check_disjoint(train, scan(tmp_path / "v"))
    copy = tmp_path / "v/noise/other/long.wav"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "t/noise/hum/long.wav", copy)
    with pytest.raises(InputError, match=r"validation noise: long\.wav is in the training noise too"):
        check_disjoint(train, scan(tmp_path / "v"))
    copy.unlink()
    (tmp_path / "v/clean/src/ann7").rename(tmp_path / "v/clean/src/ann0")
    with pytest.raises(InputError, match="validation speech: ann0 is in the training"):
        check_disjoint(train, scan(tmp_path / "v"))


def test_unknown_speakers_are_compared_by_recording(tmp_path: Path):
    write(tmp_path / "t" / "a.wav", sound(0.1, 1))
    write(tmp_path / "v" / "b.wav", sound(0.1, 2))
    check_disjoint(scan(tmp_path / "t"), scan(tmp_path / "v"))
    write(tmp_path / "v" / "a.wav", sound(0.1, 1))
    with pytest.raises(InputError, match=r"a\.wav"):
        check_disjoint(scan(tmp_path / "t"), scan(tmp_path / "v"))
