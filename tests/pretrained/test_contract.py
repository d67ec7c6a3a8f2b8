"""Tests of every bundled model on any signal: its lengths, levels, costs and loudness hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pretrained.golden import RATE, opened, sounds, ways
from sese.core.errors import InputError
from sese.runtime.artefact import PRETRAINED, bundled_models
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

MODELS = bundled_models()
LOUDER_DB = 1.5  # RMS over RMS, at most


def enhance(name: str, audio: np.ndarray, budget: float | str = 1.0) -> np.ndarray:
    """``[time]`` -> the same, by a stream at the model's rate."""
    stream = Stream(opened(name), EnhanceOptions(budget))
    return np.concatenate([stream.feed(audio), stream.flush()])


def sound(kind: str) -> np.ndarray:
    """A second at the model's rate, that peaks at 0.8."""
    at = np.arange(RATE)
    made = {
        "tone": np.sin(2 * np.pi * 440 * at / RATE),
        "clicks": (at % 4001 == 7).astype(float),
        "full scale": np.where(sounds()["made"] < 0, -1.0, 1.0),
        "steps": np.where(at // 1000 % 2, 1.0, -1.0),
        **sounds(),
    }[kind]
    return (0.8 * made / np.abs(made).max()).astype(np.float32)


KINDS = ("made", "speech", "tone", "clicks", "full scale", "steps")


@pytest.mark.parametrize("name", MODELS)
def test_lengths_are_kept_and_ends_are_whole(name: str) -> None:
    """A signal's end is what it is where silence follows."""
    hop = opened(name).card.hop_length
    audio = sounds()["speech"]
    for time in (0, 1, hop - 1, hop, hop + 1, 5 * hop + 17):
        enhanced = enhance(name, audio[:time])
        assert enhanced.shape == (time,)
        followed = enhance(name, np.pad(audio[:time], (0, 3 * hop)))
        np.testing.assert_allclose(enhanced, followed[:time], atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_level_is_another_costs_what_it_says_and_repeats(name: str) -> None:
    card = opened(name).card
    audio = sounds()["speech"]
    outputs = []
    for budget in ways(opened(name)):
        stream = Stream(opened(name), EnhanceOptions(budget))
        once = np.concatenate([stream.feed(audio), stream.flush()])
        used = stream.trace
        stream.reset()
        again = np.concatenate([stream.feed(audio), stream.flush()])
        np.testing.assert_array_equal(again, once)
        if budget != "auto":
            level = card.levels[len(outputs)]
            assert set(used) == {np.float32(level.utilization)}
            outputs.append(once)
        elif not card.gates:
            assert set(used) <= {np.float32(level.utilization) for level in card.levels}
    for one, next_one in pairwise(outputs):
        assert np.abs(one - next_one).max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_the_card_costs_what_the_network_runs(name: str) -> None:
    """Multiply-accumulates that PyTorch counts while the network of the same weights runs at each level."""
    import torch

    from contract import count_macs
    from sese.nn import checkpoint
    from sese.nn.policies.fixed import level_plans

    model, card = checkpoint.load(PRETRAINED / name), opened(name).card
    audio = torch.from_numpy(sounds()["speech"][: 4 * card.hop_length]).view(1, 1, -1)
    counted = [
        count_macs(model, audio, plan) / 4 * card.sample_rate / card.hop_length for plan in level_plans(model)
    ]
    assert counted == [level.macs_per_second for level in card.levels]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_nothing_comes_out_louder(name: str, kind: str) -> None:
    """At full scale, and 60 dB below: no sound is raised, and none breaks a model."""
    for gain in (1.0, 1e-3):
        audio = gain * sound(kind)
        for level in (0, -1):
            enhanced = enhance(name, audio, ways(opened(name))[: len(opened(name).card.levels)][level])
            assert np.isfinite(enhanced).all()
            assert np.std(enhanced) <= 10 ** (LOUDER_DB / 20) * np.std(audio)
            assert np.abs(enhanced).max() <= 2 * np.abs(audio).max()


@pytest.mark.parametrize("name", MODELS)
def test_nan_is_refused_and_leaves_no_trace(name: str) -> None:
    audio = sounds()["speech"][:6000]
    expected = enhance(name, audio)
    stream = Stream(opened(name), EnhanceOptions(1.0))
    parts = [stream.feed(audio[:3000])]
    for value in (np.nan, np.inf, -np.inf):
        broken = audio[3000:4000].copy()
        broken[10] = value
        with pytest.raises(InputError, match=r"sample 3010 .*channel 0"):
            stream.feed(broken)
    parts += [stream.feed(audio[3000:]), stream.flush()]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_silence_after_sound_falls_silent(name: str) -> None:
    """Nothing rings on, and nothing becomes so small that it is slow."""
    audio = np.concatenate([sound("speech"), np.zeros(RATE, np.float32)])
    assert np.abs(enhance(name, audio)[-RATE // 4 :]).max() < 1e-3
