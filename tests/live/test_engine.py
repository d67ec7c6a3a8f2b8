"""Queues, bypass and the engine between two callbacks, driven by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.tiny_model import tone
from sese.core.errors import InputError
from sese.live.bypass import Bypass
from sese.live.devices import SoundCard
from sese.live.duplex import Duplex, Form
from sese.live.engine import Engine
from sese.live.model import report, usual_budget
from sese.live.ring import Ring
from sese.runtime.artefact import find_model, open_artefact
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

RATE, BLOCK = 16000, 160


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def column(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


def test_ring_keeps_order_and_its_bound() -> None:
    """Against a plain list, over many wraps."""
    ring, kept, chance = Ring(50, 2), [], np.random.default_rng(0)
    for step in range(500):
        block = chance.normal(size=(chance.integers(0, 40), 2)).astype(np.float32)
        room = 50 - len(kept)
        assert ring.write(block) == max(0, len(block) - room)
        kept.extend(block[:room])
        taken = ring.read(int(chance.integers(0, 40)))
        np.testing.assert_array_equal(taken, np.array(kept[: len(taken)], np.float32).reshape(-1, 2))
        del kept[: len(taken)]
        assert len(ring) == len(kept), step


def test_bypass_is_aligned_and_fades() -> None:
    """Switched on, it plays the input of the same moment; no sample jumps."""
    bypass, audio = Bypass(RATE, 1), tone(16000).astype(np.float32)
    enhanced, heard, late = 0.5 * audio, [], 300
    for start in range(0, 16000, BLOCK):
        bypass.on = 4000 <= start < 8000
        ready = enhanced[max(0, start - late) : max(0, start + BLOCK - late)]
        heard.append(bypass(audio[start : start + BLOCK], ready))
    out = np.concatenate(heard)
    assert len(out) == 16000 - late
    np.testing.assert_allclose(out[:3500], enhanced[:3500])
    np.testing.assert_allclose(out[4400:7500], audio[4400:7500])
    np.testing.assert_allclose(out[8400:], enhanced[8400 : len(out)])
    assert np.abs(np.diff(out[:, 0])).max() < 1.1 * np.abs(np.diff(audio[:, 0])).max()


@pytest.fixture
def engine(tiny: Path) -> Engine:
    stream = Stream(open_artefact(tiny), sample_rate=RATE, trace_seconds=1)
    return Engine(stream, buffer_frames=320, block_frames=BLOCK)


def test_long_blocks_are_taken_whole(tiny: Path) -> None:
    engine = Engine(Stream(open_artefact(tiny), sample_rate=RATE, trace_seconds=1), 320, block_frames=RATE)
    engine.take(np.zeros((RATE, 1), np.float32))
    engine.take(np.zeros((RATE, 1), np.float32))
    assert engine.counts.lost == 0


def test_plays_what_was_taken_after_the_told_delay(engine: Engine) -> None:
    audio, out = tone(RATE).astype(np.float32), np.ones((RATE, 2), np.float32)
    engine.start()
    for start in range(0, RATE, BLOCK):
        engine.take(audio[start : start + BLOCK])
        until(lambda place=start + BLOCK: engine.fed == place)
        engine.give(out[start : start + BLOCK])
    engine.stop()
    assert engine.counts.total == 0
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    begin = int(np.argmax(np.abs(out[:, 0]) > 0)) - 1  # the tone begins with a zero
    np.testing.assert_allclose(out[begin:, :1], audio[: RATE - begin], atol=1e-6)
    assert 0 <= begin <= 104 + engine.target_frames + BLOCK
    assert engine.meters.peak_in == pytest.approx(0.4, abs=0.01)
    assert engine.meters.level == 1
    assert engine.meters.real_time_factor > 0


def test_starves_then_comes_back(engine: Engine) -> None:
    out = np.ones((BLOCK, 2), np.float32)
    engine.start()
    engine.give(out)
    assert engine.counts.starved == 0, "nothing was to be played yet"
    assert not out.any()
    for _ in range(6):
        engine.take(np.full((BLOCK, 1), 0.3, np.float32))
    until(lambda: engine.fed == 6 * BLOCK)
    for _ in range(8):
        engine.give(out)
    assert engine.counts.starved == 1, "once, although nothing came for several blocks"
    assert not out.any()
    for _ in range(6):
        engine.take(np.full((BLOCK, 1), 0.3, np.float32))
    until(lambda: engine.fed == 12 * BLOCK)
    engine.give(out)
    assert out.any()
    engine.stop()


def test_nothing_grows_when_one_side_stops(engine: Engine) -> None:
    """Output that takes nothing: the oldest is skipped. A model that is not there: input is lost."""
    block = np.full((BLOCK, 1), 0.3, np.float32)
    for _ in range(100):  # the model has not started
        engine.take(block, overflow=True)
    assert engine.counts.lost == 50, "half a second waits"
    assert engine.counts.input_overflows == 100
    engine.start()
    until(lambda: engine.fed == RATE // 2)
    for _ in range(50):
        engine.take(block)
    until(lambda: engine.fed == RATE)
    engine.stop()
    assert engine.counts.skipped > 0
    assert len(engine._to_play) <= engine._most


def test_error_of_the_model_is_kept(engine: Engine) -> None:
    engine.start()
    engine.take(np.full((BLOCK, 1), np.nan, np.float32))
    until(lambda: engine.error is not None)
    engine.stop()
    assert "nan at sample 0" in str(engine.error)


def test_budget_left_open(tiny: Path, remembering: Path) -> None:
    """A router over levels takes more time than a level of the same quality."""
    assert usual_budget(open_artefact(tiny).card) == 1
    routed = open_artefact(remembering).card
    assert usual_budget(routed) == 1
    assert usual_budget(replace(routed, rests=True)) == "auto"
    assert usual_budget(replace(routed, alternatives=True)) == "auto"
    assert usual_budget(open_artefact(find_model("sese-2")).card) == "auto"


def test_report_of_late_frames(tiny: Path) -> None:
    stream = Stream(open_artefact(tiny), EnhanceOptions(max_rtf=1e-9), RATE)
    stream.feed(np.zeros(RATE, np.float32))
    note = report(stream, RATE).note()
    assert note is not None
    assert "even at the lowest level" in note
    assert report(stream, RATE).limited_to == 0.125


def test_devices_that_do_not_start(engine: Engine) -> None:
    """Nothing stays open, and the model's thread ends."""

    class PortAudioError(Exception):
        pass

    class Played(MagicMock):
        def start(self) -> None:
            raise PortAudioError("Device unavailable\n[-9985]")

    sd = MagicMock(PortAudioError=PortAudioError, InputStream=Played, OutputStream=Played)
    card = SoundCard(0, "card", "host", 1, 1, RATE, True, True)
    duplex = Duplex(sd, card, card, engine, Form(RATE, (1, 1), BLOCK, "low"))
    with pytest.raises(InputError, match=r"cannot be started \(Device unavailable"), duplex:
        pass
    assert all(opened.close.called for opened in duplex._streams)
    assert not engine._thread.is_alive()
