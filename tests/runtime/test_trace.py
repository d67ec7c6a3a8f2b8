"""Tests of the trace: the share of compute of each frame, kept for a while and written to a table."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from runtime.tiny_model import HOP, UTILIZATIONS, metadata, write_model
from sese.cli.models import show
from sese.core.errors import InputError
from sese.runtime.artefact import open_artefact
from sese.runtime.card import Card
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream
from sese.runtime.trace import Trace, require_trace_path, write_trace

EXAMPLES = Path(__file__).parents[2] / "examples"
HOP_2 = 256  # of sese-2


@pytest.fixture(scope="module")
def tiny_that_rests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = metadata(router=True, rests=True)
    return write_model(tmp_path_factory.mktemp("rests") / "model.onnx", facts=facts)


@pytest.fixture(scope="module")
def card(tiny: Path) -> Card:
    return open_artefact(tiny).card


def test_the_latest_frames_are_kept() -> None:
    trace = Trace(10)
    used = np.arange(95, dtype=np.float32)
    for start in range(0, 95, 3):
        trace.add(used[start : start + 3])
        np.testing.assert_array_equal(trace.read(), used[: start + 3][-10:])
    trace.add(used)
    np.testing.assert_array_equal(trace.read(), used[-10:])
    assert trace.mean == used.mean()  # of the frames that were dropped too


def test_all_frames_are_kept() -> None:
    trace = Trace(None)
    assert trace.read().shape == (0,)
    for _ in range(100):
        trace.add(np.ones(1000, np.float32))
    assert trace.read().shape == (100_000,)


def test_of_a_stream(tiny: Path) -> None:
    stream = Stream(open_artefact(tiny), EnhanceOptions(0.125))
    assert stream.trace.shape == (0,)
    stream.feed(np.zeros(10 * HOP))
    stream.budget = "fixed:0.5"
    stream.feed(np.zeros(5 * HOP + 1))
    np.testing.assert_array_equal(stream.trace, np.repeat(np.float32([0.125, 0.5]), [10, 5]))
    assert stream.utilization == pytest.approx(stream.trace.mean())
    stream.flush()
    assert len(stream.trace) == 16
    stream.reset()
    assert stream.trace.shape == (0,)


def test_of_a_stream_is_bounded(tiny: Path) -> None:
    stream = Stream(open_artefact(tiny), EnhanceOptions(0.125), trace_seconds=1)
    stream.feed(np.zeros(3 * 16000))
    assert len(stream.trace) == 16000 // HOP
    stream = Stream(open_artefact(tiny), EnhanceOptions(0.125), trace_seconds=None)
    stream.feed(np.zeros(3 * 16000))
    assert len(stream.trace) == 3 * 16000 // HOP


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "long", []])
def test_bad_length(tiny: Path, seconds: Any) -> None:
    with pytest.raises(InputError, match="trace_seconds is"):
        Stream(open_artefact(tiny), trace_seconds=seconds)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".CSV"])
def test_written(card: Card, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"trace{suffix}"
    write_trace(path, np.array([*UTILIZATIONS, 0.125], np.float32), card)
    if suffix == ".json":
        rows = json.loads(path.read_text())
    else:
        with path.open() as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    seconds = HOP / card.sample_rate
    assert rows == [
        {"time_s": i * seconds, "utilization": used, "level": level}
        for i, (used, level) in enumerate(zip((*UTILIZATIONS, 0.125), (0, 1, 2, 3, 0), strict=True))
    ]
    assert os.listdir(path.parent) == [path.name]


def test_the_probability_of_speech(tmp_path: Path) -> None:
    """Where the router decides, in each frame; the file has a column of it."""
    speech, rate = soundfile.read(EXAMPLES / "playground.wav", dtype="float32")
    speech = np.concatenate([np.zeros(rate, np.float32), speech[: 4 * rate]])
    enhancer = Enhancer("sese-2", "auto")
    stream = enhancer.stream(rate)
    assert stream.speech_probability.shape == (0,)
    stream.feed(speech)
    heard = stream.speech_probability
    assert heard.shape == stream.trace.shape
    assert (heard[5:50] < 0.2).all()
    assert (heard[70:] > 0.5).mean() > 0.2
    parts = enhancer.stream(rate)
    for chunk in np.array_split(speech, 77):
        parts.feed(chunk)
    np.testing.assert_allclose(parts.speech_probability, heard, atol=1e-5)
    # Channels that are not linked: the likeliest.
    both = enhancer.stream(rate, 2, linked=False)
    both.feed(np.stack([np.zeros_like(speech), speech]))
    np.testing.assert_allclose(both.speech_probability, heard, atol=1e-5)
    stream.budget = "fixed:0.06"
    stream.feed(speech[:rate])
    assert np.isnan(stream.speech_probability[-rate // HOP_2 + 1 :]).all()
    write_trace(tmp_path / "trace.csv", stream.trace, enhancer.card, stream.speech_probability)
    with (tmp_path / "trace.csv").open() as file:
        column = [row["speech_probability"] for row in csv.DictReader(file)]
    assert column[-1] == ""
    assert float(column[0]) == pytest.approx(heard[0], abs=1e-4)


def test_models_that_do_not_detect_speech(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(open_artefact(tiny), EnhanceOptions(0.125))
    stream.feed(np.zeros(10 * HOP))
    assert stream.speech_probability is None
    show(str(tiny))
    assert "speech  " not in capsys.readouterr().out
    show("sese-2")
    assert "speech      its probability" in capsys.readouterr().out


def test_files_from_before_the_probability_say_so(
    tiny_that_rests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Stream(open_artefact(tiny_that_rests), EnhanceOptions(0.5)).speech_probability is None
    show(str(tiny_that_rests))
    assert "export the model again" in capsys.readouterr().out


def test_frames_between_the_levels(card: Card, tmp_path: Path) -> None:
    """As gates make them, and channels that are not linked: their share, and no level."""
    write_trace(tmp_path / "trace.csv", np.float32([0.2481, 0.5000001, 0.75]), card)
    rows = [line.split(",")[1:] for line in (tmp_path / "trace.csv").read_text().splitlines()[1:]]
    assert rows == [["0.2481", ""], ["0.5", "2"], ["0.75", ""]]


@pytest.mark.parametrize("name", ["trace.txt", "trace", "trace.wav"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.csv or \.json"):
        require_trace_path(tmp_path / name, force=True)


def test_existing_trace(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        require_trace_path(tmp_path / "trace.csv", force=False)
    require_trace_path(tmp_path / "trace.csv", force=True)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        require_trace_path(tmp_path / "folder.csv", force=True)


def test_unwritable(card: Card, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"trace\.csv cannot be written"):
        write_trace(tmp_path / "file" / "trace.csv", np.ones(1, np.float32), card)
