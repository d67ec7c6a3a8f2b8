"""A number as a budget: in a model that does not rest it is one level, bit for bit, wherever it is given."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import Run
from sese.evaluation.timing import noisy_speech
from sese.runtime.artefact import Artefact, bundled_models, open_artefact
from sese.runtime.batch import Batch
from sese.runtime.budget import Budget
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import Pilot
from sese.runtime.stream import Stream

CARDS = {name: open_artefact(name).card for name in bundled_models()}
LEVELLED = [name for name, card in CARDS.items() if not card.rests and not card.gates]
ROUTED = [name for name in LEVELLED if CARDS[name].router]
RATE = 16000
SPEECH = noisy_speech(RATE)[: 3 * RATE // 2]


def numbers(name: str) -> list[tuple[float, str]]:
    """Numbers with the level that each is: the level itself, one in the middle, one just below the next."""
    used = [level.utilization for level in CARDS[name].levels]
    cases = [(share, f"fixed:{share:g}") for share in used]
    for low, high in pairwise(used):
        cases += [((low + high) / 2, f"fixed:{low:g}"), (high - 1e-4, f"fixed:{low:g}")]
    return cases


def by_frames(artefact: Artefact, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
    """Return the output of a stream that is fed one frame a call, and the share of compute of each frame."""
    stream, hop = Stream(artefact, EnhanceOptions(budget)), artefact.card.hop_length
    parts = [stream.feed(SPEECH[at : at + hop]) for at in range(0, len(SPEECH), hop)]
    return np.concatenate([*parts, stream.flush()]), stream.trace


def test_most_models_are_tried() -> None:
    assert {"demucs-slim-small", "nsnet2-dynamic", "ftf-net-dsn"} <= set(ROUTED)
    assert set(CARDS) - set(LEVELLED) == {"sese-2", "conv-fsenet-dyncp"}


@pytest.mark.parametrize("name", LEVELLED)
def test_a_number_is_its_level_bit_for_bit(name: str) -> None:
    enhancer = Enhancer(name)
    files: dict[str, np.ndarray] = {}
    streams: dict[str, np.ndarray] = {}
    for number, level in numbers(name):
        if level not in files:
            files[level] = enhancer.enhance(SPEECH, RATE, budget=level)
            streams[level], _ = by_frames(enhancer.artefact, level)
        np.testing.assert_array_equal(enhancer.enhance(SPEECH, RATE, budget=number), files[level])
        streamed, used = by_frames(enhancer.artefact, number)
        np.testing.assert_array_equal(streamed, streams[level])
        assert set(used) == {np.float32(level.removeprefix("fixed:"))}
        np.testing.assert_allclose(streamed, files[level], atol=1e-4)  # a stream and a file agree
    assert len({array.tobytes() for array in files.values()}) == len(files), "levels differ"


@pytest.mark.parametrize("name", ROUTED)
def test_a_number_is_its_level_under_limits(name: str) -> None:
    artefact = open_artefact(name)
    number, level = numbers(name)[-1]
    frames = SPEECH[None, : len(SPEECH) // artefact.card.hop_length * artefact.card.hop_length]
    highest = artefact.card.levels[0].macs_per_second / 1e6
    for limits in ({"max_mmacs": highest}, {"max_rtf": 0.5}):
        made = []
        for budget in (number, level):
            now = iter(np.arange(1e4) * 0.009)  # frames take 9 ms, so that the deadline lowers the level
            pilot = Pilot(
                artefact, 1, EnhanceOptions(budget, **limits), clock=lambda now=now: float(next(now))
            )
            parts = [
                pilot(frame) for frame in np.split(frames, frames.shape[1] // artefact.card.hop_length, 1)
            ]
            made.append((np.concatenate(parts, axis=1), pilot.trace))
        for of_number, of_level in zip(*made, strict=True):
            np.testing.assert_array_equal(of_number, of_level)
        assert made[0][1][-1] == np.float32(artefact.card.levels[0].utilization), "the limit is felt"


def test_numbers_of_one_level_share_a_call() -> None:
    """In a batch a number is a level, so streams run together; a router would run each alone."""
    artefact = open_artefact("demucs-slim-small")
    batch = Batch(artefact)
    members = [batch.add(budget=number) for number in (0.5, 0.6, 0.99)]
    calls = []
    run = batch._call
    batch._call = lambda audio, key, group: calls.append(len(group)) or run(audio, key, group)  # type: ignore[method-assign]
    made = batch.feed(dict.fromkeys(members, SPEECH[: 4 * 256]))
    assert calls == [3] * 4
    expected = Stream(artefact, EnhanceOptions("fixed:0.5")).feed(SPEECH[: 4 * 256])
    for member in members:
        np.testing.assert_allclose(made[member], expected, atol=1e-6)


@pytest.mark.parametrize("name", ROUTED)
def test_the_command_line(sese: Run, name: str, tmp_path: Path) -> None:
    number, level = numbers(name)[-1]
    soundfile.write(tmp_path / "in.wav", SPEECH, RATE)
    for out, budget in (("number.wav", number), ("level.wav", level)):
        ran = sese("enhance", tmp_path / "in.wav", "-o", tmp_path / out, "--model", name, "--budget", budget)
        assert ran.code == 0, ran.err
    assert (tmp_path / "number.wav").read_bytes() == (tmp_path / "level.wav").read_bytes()


@pytest.mark.parametrize("name", LEVELLED)
def test_below_the_lowest_level_one_line_names_it(sese: Run, name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", SPEECH, RATE)
    lowest = CARDS[name].levels[0].utilization
    ran = sese("enhance", tmp_path / "in.wav", "--model", name, "--budget", lowest / 2)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert f"give a number from {lowest:g}, the lowest level, to 1" in ran.err
    assert not (tmp_path / "in_enhanced.wav").exists()
