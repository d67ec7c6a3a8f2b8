"""The corpus of public recordings, built from a few synthetic sources."""

from __future__ import annotations

import csv
import importlib
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from sese.core.errors import InputError
from sese.data.corpora import scan

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
RATE = 48_000


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("public_corpus")


@pytest.fixture
def sources(corpus: ModuleType) -> ModuleType:
    return importlib.import_module("public_corpus_sources")


def speech(
    seconds: float = 3.0,
    snr_db: float = 45.0,
    level_dbfs: float = -24.0,
    band_hz: float = 20_000.0,
    peak: float = 1.0,
    seed: int = 1,
) -> np.ndarray:
    """Return noise whose level rises and falls smoothly four times a second, over a steady floor."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, count)))
    spectrum[:, np.fft.rfftfreq(count, 1 / RATE) > band_hz] = 0
    voice, floor = np.fft.irfft(spectrum, count)
    voice *= np.sin(np.pi * 4 * np.arange(count) / RATE) ** 4
    signal = voice / voice.std() + floor / floor.std() * 10 ** (-(snr_db + 3) / 20)
    signal *= 10 ** (level_dbfs / 20) / signal.std()
    return np.clip(signal, -peak, peak)


def write(path: Path, signal: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate, "PCM_16")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def built(corpus: ModuleType, sources: ModuleType, tmp_path: Path, *kinds: dict, **options: Any) -> Path:
    """Build from sources of the given kinds, whose files lie in `repositories/a+SOURCE/GROUP/`."""
    table = [
        sources.Source(
            place=f"github:a/{kind['name']}",
            licence="CC0",
            find=partial(sources.grouped_by, pattern="*/*", name="^([^/]+)/", group="{0}"),
            **kind,
        )
        for kind in kinds
    ]
    output = tmp_path / "out"
    corpus.build(tmp_path / "repositories", tmp_path / "packages", output, sources=table, **options)
    return output


def test_speech_is_filtered(corpus: ModuleType, sources: ModuleType, tmp_path: Path):
    folder = tmp_path / "repositories/a+voices/anna"
    write(folder / "good.wav", speech())
    write(folder / "noisy.wav", speech(snr_db=20))
    write(folder / "narrow.wav", speech(band_hz=4000))
    write(folder / "quiet.wav", speech(level_dbfs=-60))
    write(folder / "clipped.wav", speech(peak=0.1))
    (folder / "text.wav").write_text("no sound")
    out = built(corpus, sources, tmp_path, {"name": "voices"})
    assert [row["path"] for row in rows(out)] == ["clean/voices/anna/anna_good.flac"]
    report = (out / "REPORT.txt").read_text()
    for reason in ("snr", "bandwidth", "level", "clipped", "unreadable"):
        assert f"voices {reason} 1" in report
    found = scan(out)
    assert [recording.group for recording in found.speech] == ["anna"]
    assert found.speech[0].sample_rate == 16_000


def test_the_limit_of_a_source_is_used(corpus: ModuleType, sources: ModuleType, tmp_path: Path):
    write(tmp_path / "repositories/a+voices/anna/fair.wav", speech(snr_db=32))
    out = built(corpus, sources, tmp_path, {"name": "voices", "min_snr_db": 40.0})
    assert rows(out) == []


def test_silence_is_cut_and_long_recordings_are_divided(
    corpus: ModuleType, sources: ModuleType, tmp_path: Path
):
    silent = np.random.default_rng(2).standard_normal(2 * RATE) * 1e-5
    long = np.concatenate([silent, speech(40.0), silent])
    write(tmp_path / "repositories/a+voices/anna/long.wav", long)
    parts = [float(row["seconds"]) for row in rows(built(corpus, sources, tmp_path, {"name": "voices"}))]
    assert len(parts) >= 3
    assert max(parts) <= 20
    assert sum(parts) == pytest.approx(40.6, abs=0.2)


def test_beginning_and_end_can_be_skipped(corpus: ModuleType, sources: ModuleType, tmp_path: Path):
    write(tmp_path / "repositories/a+voices/anna/read.wav", speech(18.0))
    kind = {"name": "voices", "skip_seconds": (4.0, 2.0)}
    (row,) = rows(built(corpus, sources, tmp_path, kind))
    assert 7.0 <= float(row["seconds"]) <= 12.0


def test_speakers_and_words_are_capped(
    corpus: ModuleType, sources: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(corpus, "WORD_MINUTES", 2.0 / 60)
    for number in range(6):
        write(tmp_path / f"repositories/a+voices/anna/sentence{number}.wav", speech(seed=number))
        write(tmp_path / f"repositories/a+words/bert/word{number}.wav", speech(1.0, seed=number))
    kinds = {"name": "voices", "cap_minutes": 8.0 / 60}, {"name": "words"}
    groups = [row["group"] for row in rows(built(corpus, sources, tmp_path, *kinds))]
    assert groups.count("anna") == 3
    assert 2 <= groups.count("bert") <= 3


def test_only_what_reaches_beyond_12_khz_is_kept_at_48_khz(
    corpus: ModuleType, sources: ModuleType, tmp_path: Path
):
    for number in range(60):
        write(tmp_path / f"repositories/a+voices/wide{number}/a.wav", speech(1.6, seed=number))
    write(tmp_path / "repositories/a+voices/narrow/a.wav", speech(band_hz=8000))
    write(tmp_path / "repositories/a+rain/rain/a.wav", speech(snr_db=0))
    train, val = tmp_path / "full", tmp_path / "full_val"
    kinds = {"name": "voices"}, {"name": "rain", "kind": "noise"}
    out = built(corpus, sources, tmp_path, *kinds, full_band=(train, val))
    trained, validated = ({r.group for r in scan(folder).speech} for folder in (train, val))
    assert len(scan(out).speech) == 61
    assert trained | validated == {f"wide{number}" for number in range(60)}
    assert not trained & validated
    assert 1 <= len(validated) <= 10
    assert {r.sample_rate for r in scan(train).speech + scan(train).noise + scan(val).noise} == {RATE}
    assert len(scan(train).noise + scan(val).noise) == 1


def test_events_are_joined_and_keys_are_typed(
    corpus: ModuleType, sources: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(corpus, "TYPING", (2, 5.0))
    click = speech(0.1) * np.hanning(round(0.1 * RATE))
    for number in range(20):
        write(tmp_path / f"repositories/a+events/events/{number}.wav", click)
        for pressed in (0, 1):
            write(tmp_path / f"repositories/a+keys/typing/{number:02x}-{pressed}.wav", click)
    write(tmp_path / "repositories/a+events/events/silent.wav", np.zeros(RATE))
    kinds = {"name": "events", "kind": "events"}, {"name": "keys", "kind": "keys"}
    made = rows(built(corpus, sources, tmp_path, *kinds))
    typed = [float(row["seconds"]) for row in made if row["group"] == "typing"]
    joined = [float(row["seconds"]) for row in made if row["group"] == "events"]
    assert typed == pytest.approx([5.0, 5.0])
    assert len(joined) == 2  # 20 clicks of 0.1 s with gaps of 0.7 s, a new recording after 8 s
    assert 10.0 <= sum(joined) <= 22.0


def test_a_further_corpus_is_copied_without_noisy_speech(
    corpus: ModuleType, sources: ModuleType, tmp_path: Path
):
    old = tmp_path / "old/train"
    for name in ("clean/a/anna/good.wav", "clean/a/anna/bad.wav", "noise/rain/r.wav", "rir/room.wav"):
        write(old / name, speech(1.0))
    (tmp_path / "old/speech_manifest.csv").write_text(
        "path,snr_db\ntrain/clean/a/anna/good.wav,31.0\ntrain/clean/a/anna/bad.wav,29.0\n"
    )
    write(tmp_path / "repositories/a+voices/bert/a.wav", speech())
    out = built(corpus, sources, tmp_path, {"name": "voices"}, also=old)
    assert sorted(row["path"] for row in rows(out)) == [
        "clean/a/anna/good.wav",
        "clean/voices/bert/bert_a.flac",
        "noise/rain/r.wav",
        "rir/room.wav",
    ]


def test_missing_sources_are_named_with_their_commands(
    corpus: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["public_corpus.py", *(str(tmp_path / name) for name in "abc")])
    with pytest.raises(SystemExit) as stopped:
        corpus.main()
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert (
        'git clone --depth 1 https://github.com/remvze/moodist "$REPOSITORIES/remvze+moodist"' in printed.out
    )
    assert "apt-get download festvox-ru && dpkg-deb -x" in printed.out
    assert "are missing" in printed.err
    assert not (tmp_path / "c").exists()


def test_nothing_that_exists_is_overwritten(corpus: ModuleType, sources: ModuleType, tmp_path: Path):
    (tmp_path / "repositories/a+voices").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="is there already"):
        built(corpus, sources, tmp_path, {"name": "voices"})


def test_gcompris_leaves_out_languages_that_validate(sources: ModuleType, tmp_path: Path):
    licence = {
        "./de/words:": "a.ogg  Martin Herweg 2001 / GPL",
        "./hu/words:": "a.ogg  somlai / GPL V3+",
        "./br/words:": "a.ogg  GPL V3+",
        "./en/words:": "a.ogg  http://www.art4apps.org/ Creative Common License BY-SA",
        "./sr/intro:": "a.ogg  Михаило Симић (Mihailo Simic) 2007 / GPL",
    }
    for folder in licence:
        write(tmp_path / folder[2:-1] / "a.ogg.wav", np.zeros(10))
        (tmp_path / folder[2:-1] / "a.ogg.wav").rename(tmp_path / folder[2:-1] / "a.ogg")
    write(tmp_path / "de/words/unnamed.wav", np.zeros(10))
    text = "\n\n".join(f"{folder}\n{line}" for folder, line in licence.items())
    (tmp_path / "LICENSE").write_text(text, encoding="utf-8")
    found = [(path.relative_to(tmp_path).parts[0], group) for path, group in sources.gcompris(tmp_path)]
    assert found == [
        ("sr", "gc-MihailoSimic"),
        ("de", "gc-MartinHerweg"),
        ("br", "gc-br-anon"),
        ("en", "gc-art4apps"),
    ]


def test_precise_takes_only_what_is_dedicated_to_the_public_domain(sources: ModuleType, tmp_path: Path):
    for name in (
        "athena/en/a.wav",
        "athena/en/unnamed.wav",
        "heysavant/wake-word/en/b.wav",
        "computer/en/c.wav",
    ):
        write(tmp_path / name, np.zeros(10))
    (tmp_path / "licenses").mkdir()
    waiver = "I hereby agree to waive all claim of copyright\n"
    (tmp_path / "licenses/license-20190801-el-tocino.txt").write_text(f"{waiver}a.wav\nheysavant/b.wav\n")
    (tmp_path / "licenses/license-20200702-other.txt").write_text("CC BY-NC-SA\ncomputer/en/c.wav\n")
    assert [(path.name, group) for path, group in sources.precise(tmp_path)] == [("a.wav", "pcd-el-tocino")]


def test_files_without_a_speaker_are_ten_to_a_group(sources: ModuleType, tmp_path: Path):
    for number in range(25):
        (tmp_path / f"sample-{number:06d}.mp3").touch()
    groups = [group for _, group in sources.unnamed(tmp_path, "*.mp3", "cv")]
    assert {group: groups.count(group) for group in set(groups)} == {
        "cv-00000": 10,
        "cv-00001": 10,
        "cv-00002": 5,
    }


def test_moodist_has_typing_and_none_of_what_validates(sources: ModuleType, tmp_path: Path):
    names = ("things/dryer", "things/clock", "things/keyboard", "things/paper", "places/cafe", "noise/pink")
    for name in names:
        path = tmp_path / f"public/sounds/{name}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = sorted((path.stem, group) for path, group in sources.moodist(tmp_path))
    assert found == [("cafe", "places"), ("keyboard", "typing"), ("paper", "things")]


def test_every_source_names_licence_and_place(sources: ModuleType):
    for source in sources.SOURCES:
        assert source.licence
        assert "NC" not in source.licence
        assert source.place.split(":")[0] in ("github", "debian")
        assert source.kind in ("speech", "noise", "events", "keys")
