"""Steps through a model: however frames are divided into calls, the same samples and levels come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.tiny_model import GAINS, HOP, UTILIZATIONS
from sese.runtime.artefact import ROUTER, open_artefact
from sese.runtime.step import Step

FRAMES = 40
LEVELS = np.random.default_rng(1).integers(-1, len(GAINS), FRAMES)


def audio(channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (channels, FRAMES * HOP)).astype(np.float32)


def through(step: Step, signal: np.ndarray, calls: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Run calls of so many frames, and keep what each returns as it is."""
    enhanced, used, at = [], [], 0
    for frames in calls:
        made = step(signal[:, at * HOP : (at + frames) * HOP], LEVELS[at : at + frames])
        enhanced.append(made[0].copy())
        used.append(made[1].copy())
        at += frames
    assert at == FRAMES
    return np.concatenate(enhanced, axis=1), np.concatenate(used)


@pytest.mark.parametrize("channels", [1, 3])
def test_calls_change_nothing(remembering: Path, channels: int) -> None:
    step = Step(open_artefact(remembering), channels)
    signal = audio(channels)
    whole, used = through(step, signal, [FRAMES])
    assert whole.shape == signal.shape
    np.testing.assert_array_equal(used, np.array(UTILIZATIONS, np.float32)[LEVELS])
    for calls in ([1] * FRAMES, [1, 2, 1, 30, 1, 5], [39, 1], [2, 2, 36]):
        step.reset()
        enhanced, again = through(step, signal, calls)
        np.testing.assert_allclose(enhanced, whole, atol=1e-6)
        np.testing.assert_array_equal(again, used)


def test_reset_starts_afresh(remembering: Path) -> None:
    step = Step(open_artefact(remembering), 1)
    for calls in ([FRAMES], [1] * FRAMES, [3, 37]):  # an odd number of calls, an even one
        first, _ = through(step, audio(), calls)
        going_on, _ = through(step, audio(), calls)
        assert not np.allclose(going_on, first, atol=1e-4)
        step.reset()
        np.testing.assert_array_equal(through(step, audio(), calls)[0], first)
        step.reset()


def test_streams_are_apart(remembering: Path) -> None:
    artefact = open_artefact(remembering)
    one, other = Step(artefact, 1), Step(artefact, 1)
    alone, _ = through(one, audio(), [FRAMES])
    one.reset()
    turns = []
    for at in range(FRAMES):
        span, level = slice(at * HOP, (at + 1) * HOP), LEVELS[at : at + 1]
        turns.append(one(audio()[:, span], level)[0].copy())
        other(0.5 * audio()[:, span], level)
    np.testing.assert_allclose(np.concatenate(turns, axis=1), alone, atol=1e-6)


def test_one_level_for_all_frames(tiny: Path) -> None:
    step = Step(open_artefact(tiny), 1)
    for frames in (1, 5):
        for level in range(len(GAINS)):
            assert step(audio()[:, : frames * HOP], level)[1].tolist() == [UTILIZATIONS[level]] * frames


def test_ceiling_is_for_the_router_alone(remembering: Path) -> None:
    step = Step(open_artefact(remembering), 1)
    for ceiling, expected in ((None, 1.0), (0, 0.125), (2, 0.5)):
        for frames in (1, 4):
            assert step(audio()[:, : frames * HOP], ROUTER, 0.0, ceiling)[1].tolist() == [expected] * frames
            assert step(audio()[:, : frames * HOP], 3, 0.0, ceiling)[1].tolist() == [1.0] * frames


@pytest.mark.parametrize("channels", [1, 2])
def test_states_that_are_replaced_in_place_change_nothing(channels: int) -> None:
    """Blocks that a level leaves out hold their states, in calls of one frame and of many."""
    artefact = open_artefact("sese-2")
    assert any(name.startswith("backbone.") for name in artefact.card.in_place)
    levels = np.random.default_rng(0).integers(-1, len(artefact.card.levels), FRAMES)
    hop = artefact.card.hop_length
    sound = np.random.default_rng(1).normal(0, 0.05, (channels, FRAMES * hop)).astype(np.float32)
    step = Step(artefact, channels)
    whole, used = step(sound, levels)
    step.reset()
    for at, level in enumerate(levels):
        span = slice(at * hop, (at + 1) * hop)
        made, share = step(sound[:, span], int(level))
        np.testing.assert_allclose(made, whole[:, span], atol=1e-5)
        assert share[0] == used[at]
