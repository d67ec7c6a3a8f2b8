"""Labels by DNSMOS, and the loss that they guide a policy by."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from sese.data.mixing import Mixture
from sese.errors import InputError
from sese.nn.policies.router import gumbel
from sese.nn.systems.ftf_net import FTFNetConfig
from sese.training.metric_guided import GuidanceConfig, activation, guidance, label, targets

EXAMPLES = Path(__file__).parents[2] / "examples"


def speech(seconds: float) -> torch.Tensor:
    audio, rate = soundfile.read(EXAMPLES / "playground.wav", dtype="float32", always_2d=True)
    return torch.from_numpy(audio[: int(seconds * rate), 0])


def test_labels_fall_with_noise():
    pytest.importorskip("speechmos")
    clean = speech(3.0).expand(3, 1, -1)
    noise = torch.randn(clean.shape[-1], generator=torch.Generator().manual_seed(0))
    noisy = clean + torch.tensor([0.0, 0.01, 0.1])[:, None, None] * noise
    made = label(Mixture(noisy, clean, torch.zeros(3)), 16000)
    assert made.noisy.shape == made.clean.shape == (3,)
    assert made.noisy[0] == made.clean[0] == made.clean[2]
    assert made.noisy[0] > made.noisy[1] > made.noisy[2]
    assert made.noisy.min() >= 1


def test_labels_need_the_rate_of_the_metric():
    silence = torch.zeros(1, 1, 100)
    with pytest.raises(InputError, match="not 48000 Hz"):
        label(Mixture(silence, silence, torch.zeros(1)), 48000)


def test_targets_rise_as_quality_falls_and_stay_in_range():
    config = GuidanceConfig(worst=2.0, best=3.0, lowest=0.1, highest=0.9)
    made = targets(torch.tensor([1.0, 2.0, 2.25, 2.5, 3.0, 4.5]), config)
    torch.testing.assert_close(made, torch.tensor([0.9, 0.9, 0.7, 0.5, 0.1, 0.1]))


@pytest.mark.parametrize("mean", [0.05, 0.46, 0.8, 0.95])
def test_targets_have_the_mean_that_is_asked_for(mean: float):
    ovrl = torch.tensor([1.2, 2.0, 2.4, 3.0, 3.6])
    free, made = targets(ovrl, GuidanceConfig()), targets(ovrl, GuidanceConfig(), mean)
    assert made.mean().item() == pytest.approx(mean, abs=1e-6)
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(made.argsort(), free.argsort())


def test_guidance_by_hand():
    activated = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert guidance(activated, torch.tensor([0.5, 1.0])).item() == 0
    assert guidance(activated, torch.tensor([0.1, 0.7])).item() == pytest.approx((0.16 + 0.09) / 2)


def test_activation_is_what_comes_on_top_of_the_static_part():
    model = FTFNetConfig(channels=(4, 8, 8), n_fft=128, hop_length=64, window=4).build()
    counts = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    torch.testing.assert_close(activation({"parts": counts}, model.sites), torch.tensor([[0.0, 1.0]]))
    assert activation({"parts": 2}, model.sites).item() == pytest.approx(1)


def test_guidance_moves_the_policy_to_each_clips_target():
    """Two kinds of noise, one labelled good and one bad: the policy learns to tell them apart."""
    torch.manual_seed(0)
    config = FTFNetConfig(channels=(4, 8, 8), n_fft=128, hop_length=64, window=4, router_channels=8)
    model = config.build()
    generator = torch.Generator().manual_seed(1)
    white = torch.randn(4, 1, 40 * 64, generator=generator)
    audio = 0.1 * torch.cat([white, white.cumsum(2) / 30])
    wanted = targets(torch.tensor([3.3] * 4 + [1.7] * 4), GuidanceConfig())
    optimizer = torch.optim.Adam(model.policy.parameters(), 0.03)
    losses = []
    for _ in range(25):
        scores = model.score(audio)
        choice, _ = gumbel(1.0, generator)(scores, torch.zeros(8, 4))
        activated = activation({"parts": choice.flip(-1).cumsum(-1).flip(-1)}, model.sites)
        loss = guidance(activated, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    used = activated.detach().mean(1)
    assert used[4:].mean() > used[:4].mean() + 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"worst": 3.5}, "from OVRL 3.5 to 3.3"),
        ({"best": 5.5}, "from OVRL 1.7 to 5.5"),
        ({"lowest": -0.1}, "from -0.1 to 0.9"),
        ({"highest": 0.05}, "from 0.1 to 0.05"),
    ],
    ids=str,
)
def test_refused_guidance(values: dict[str, float], message: str):
    with pytest.raises(InputError, match=message):
        GuidanceConfig(**values)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_refused_mean(mean: float):
    with pytest.raises(InputError, match="mean activation"):
        targets(torch.tensor([2.0]), GuidanceConfig(), mean)
