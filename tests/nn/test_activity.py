"""Tests of the network that detects speech and noise, and of the policy that lets a network rest."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sese.data.mixing import Mixture
from sese.nn.backbones.gated_mixer import GatedMixerConfig
from sese.nn.plan import REST
from sese.nn.policies.activity import (
    LISTEN_EVERY,
    LISTEN_FRAMES,
    MEMORY,
    MISS,
    NOISE_FRAMES,
    QUIET_GAIN,
    SPEECH_FRAMES,
    THRESHOLDS,
    detected,
    dial,
    speech_probability,
)
from sese.training.methods.activity import labels

USED = torch.tensor([0.1, 0.4, 1.0])


def scores(speech: list[int], noise: list[int]) -> Tensor:
    """Scores (1, frame, 2) well above or below the thresholds; speech of 1 is in doubt, of 2 sure."""
    heard = torch.tensor([speech, noise], dtype=torch.float32).t()
    return (torch.tensor(THRESHOLDS) + 2 * heard - 1).unsqueeze(0)


def test_scores_of_these_tests():
    assert detected(scores([0, 1, 2], [0, 1, 1]))[0].tolist() == [[0, 0, 0], [1, 0, 1], [1, 1, 1]]


def test_in_doubt_the_next_lower_level_runs():
    speech = [1] * 3 + [2] + [1] * 12 + [0] * 20
    levels, _ = decided(scores(speech, [1] * len(speech)))
    assert levels == [1] * 3 + [2] * SPEECH_FRAMES + [1] * 12 + [-1] * (21 - SPEECH_FRAMES)
    assert decided(scores([1] * 5, [1] * 5), target=0.4)[0] == [1] * 5  # a budget is used
    choice, _ = dial(0.0, USED, 1875, ceiling=0)(scores([1], [1]), torch.zeros(1, MEMORY))
    assert choice[0, 0].tolist() == [1, 0, 0, 0]


def decided(scores: Tensor, target: float = 0.0, window: int = 1875) -> tuple[list[int], list[float]]:
    """Levels, -1 at rest, and gains at rest."""
    choice, _ = dial(target, USED, window)(scores, torch.zeros(len(scores), MEMORY))
    levels = torch.where(choice[0, :, :3].sum(1) > 0, choice[0, :, :3].argmax(1), -1)
    return levels.tolist(), choice[0, :, 3].tolist()


def test_it_wakes_at_once_and_rests_when_speech_has_been_gone_for_a_while():
    speech = [0] * 5 + [2] + [0] * 20
    levels, gains = decided(scores(speech, [1] * 26))
    assert levels == [-1] * 5 + [2] * SPEECH_FRAMES + [-1] * (21 - SPEECH_FRAMES)
    assert gains[0] == pytest.approx(QUIET_GAIN)
    assert gains[5] == 0


def test_while_noise_goes_on_the_network_listens_now_and_then():
    frames = 3 * LISTEN_EVERY
    levels, gains = decided(scores([0] * frames, [1] * frames))
    period = [-1] * (LISTEN_EVERY - LISTEN_FRAMES) + [1] * LISTEN_FRAMES
    assert levels == [*(3 * period)[1:], -1]  # the first frame counts as one
    assert all((gain == 0) == (level == 1) for gain, level in zip(gains, levels, strict=True))
    assert set(decided(scores([0] * frames, [0] * frames))[0]) == {-1}


def test_where_nothing_disturbs_speech_passes_as_it_is():
    frames = NOISE_FRAMES + 10
    levels, gains = decided(scores([2] * frames, [1] + [0] * (frames - 1)))
    assert levels == [2] * NOISE_FRAMES + [-1] * 10
    assert gains[-1] == 1


def test_a_budget_first_rests_and_then_widens():
    always = scores([1] * 50, [1] * 50)
    assert set(decided(always, 0.4)[0]) == {1}
    assert set(decided(always, 0.39)[0]) == {0}
    # Half of the time at rest: after a while a level of twice the budget is within it.
    halves = scores(([1] * 30 + [0] * 70) * 8, [1] * 800)
    levels, _ = decided(halves, 0.25, window=100)
    assert set(levels[-200:]) == {-1, 1}
    used = [0.0 if level < 0 else float(USED[level]) for level in levels]
    assert sum(used) / len(used) <= 0.25


def test_a_ceiling_holds():
    choice, _ = dial(0.0, USED, 1875, ceiling=1)(scores([2, 2], [1, 1]), torch.zeros(1, MEMORY))
    assert choice[0, :, :3].argmax(1).tolist() == [1, 1]


def test_how_frames_are_divided_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(2, 300, 2, generator=generator) - 1.0
    choose = dial(0.3, USED, 50)
    whole, last = choose(given, torch.zeros(2, MEMORY))
    memory, parts = torch.zeros(2, MEMORY), []
    for part in given.split([1, 7, 92, 150, 50], dim=1):
        made, memory = choose(part, memory)
        parts.append(made)
    assert torch.equal(torch.cat(parts, dim=1), whole)
    torch.testing.assert_close(memory, last)


@pytest.fixture
def model():
    torch.manual_seed(3)
    config = GatedMixerConfig(
        n_fft=128,
        hop_length=64,
        bands=((8, 8),),
        channels=8,
        blocks=(1, 2, 2),
        band_units=(4, 4, 6),
        time_units=(4, 6, 8),
        activity_units=6,
    )
    network = config.build().eval()
    return network


@torch.no_grad()
def test_a_network_that_rests_streams_exactly(model):
    loudness = torch.rand(1, 1, 120, 1, generator=torch.Generator().manual_seed(1)).repeat(1, 1, 1, 64)
    audio = torch.randn(1, 1, 120 * 64, generator=torch.Generator().manual_seed(2)) * loudness.flatten(2) ** 4
    middle = model.score(audio)[0].quantile(0.9, dim=0) - torch.tensor(THRESHOLDS)
    model.policy.outward.bias -= middle  # heard in a tenth of the frames
    whole = model(audio)
    resting = whole.plan["scale"].sum(-1) == 0
    assert 0.1 < resting.float().mean() < 0.9
    assert torch.equal(whole.plan[REST] > 0, resting)
    state, parts = None, []
    for chunk in audio.split([64, 64 * 9, 64 * 50, 64 * 60], dim=2):
        done = model(chunk, state=state)
        state = done.state
        parts.append(done.audio)
    torch.testing.assert_close(torch.cat(parts, dim=2), whole.audio, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_gain_of_one_passes_the_input(model):
    audio = torch.randn(1, 1, 64 * 40) * 0.1
    frames = 40
    plan = {"scale": torch.zeros(1, frames, 3), REST: torch.ones(1, frames)}
    made = model(audio, plan).audio[..., 64:]
    settled = slice(64 * 10, None)  # the tracked offset has settled
    torch.testing.assert_close(made[..., settled], audio[..., :-64][..., settled], atol=0.02, rtol=0)


def test_a_score_that_training_raised_is_a_probability():
    """With a share p of frames with speech, the loss is least at the score log(MISS p / (1 - p))."""
    share = 0.3
    score = torch.zeros(1, 2, requires_grad=True)
    optimizer = torch.optim.SGD([score], lr=1.0)
    for _ in range(200):
        entropy = F.binary_cross_entropy_with_logits
        loss = MISS * share * entropy(score[:, 0], torch.ones(1))
        loss = loss + (1 - share) * entropy(score[:, 0], torch.zeros(1))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    assert speech_probability(score.detach()).item() == pytest.approx(share, abs=1e-3)


def test_labels_know_speech_and_noise():
    generator = torch.Generator().manual_seed(0)
    hop, frames = 256, 300
    clean = torch.zeros(1, 1, hop * frames)
    clean[..., hop * 100 : hop * 200] = torch.randn(1, 1, hop * 100, generator=generator) * 0.1
    noise = torch.zeros_like(clean)
    noise[..., : hop * 150] = torch.randn(1, 1, hop * 150, generator=generator) * 0.01
    wanted = labels(Mixture(clean + noise, clean, torch.zeros(1)), hop)[0]
    assert wanted[:, 0].tolist() == [0] * 100 + [1] * 100 + [0] * 100
    assert wanted[:130, 1].all()
    assert not wanted[170:, 1].any()
    # 40 dB below the speech nothing disturbs.
    faint = Mixture(clean + noise * 0.1, clean, torch.zeros(1))
    assert not labels(faint, hop)[0, :, 1].any()
