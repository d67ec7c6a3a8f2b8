"""Labels by DNSMOS, and the loss that they guide a policy by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.evaluation.dnsmos import dnsmos_scores
from sese.nn import checkpoint
from sese.nn.backbones.ftf_net import FTFNetConfig
from sese.nn.plan import utilization
from sese.nn.policies.choice import gumbel
from sese.training.config import RunConfig, read
from sese.training.methods import routing
from sese.training.methods.routing import (
    GuidanceConfig,
    activation,
    guidance,
    labeller,
    percentiles,
    targets,
)
from sese.training.run import train
from sese.training.task import EnhancementTask, noise_correlation

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def speech(seconds: float) -> torch.Tensor:
    audio, rate = soundfile.read(EXAMPLES / "playground.wav", dtype="float32", always_2d=True)
    return torch.from_numpy(audio[: int(seconds * rate), 0])


def test_labels_fall_with_noise_and_are_the_metrics():
    pytest.importorskip("speechmos")
    clean = speech(3.0).expand(3, 1, -1)
    noise = torch.randn(clean.shape[-1], generator=torch.Generator().manual_seed(0))
    noisy = clean + torch.tensor([0.0, 0.01, 0.1])[:, None, None] * noise
    made = labeller(16000)(noisy)
    assert made.shape == (3,)
    assert made[0] > made[1] > made[2] >= 1
    assert made[1].item() == pytest.approx(dnsmos_scores(noisy[1, 0].numpy())["ovrl"], abs=1e-5)


def test_labels_need_the_rate_of_the_metric():
    with pytest.raises(InputError, match="not 48000 Hz"):
        labeller(48000)


def test_percentiles_of_the_pool_stand_in_for_scores_that_are_not_given():
    ovrl = torch.linspace(1.0, 4.0, 101)
    made = percentiles(GuidanceConfig(mixtures=101), ovrl)
    assert (made.worst, made.best) == pytest.approx((1.15, 3.85))
    given = GuidanceConfig(mixtures=101, worst=1.5, best=3.0)
    assert percentiles(given, ovrl) == given
    with pytest.raises(InputError, match="all have DNSMOS OVRL 2"):
        percentiles(GuidanceConfig(mixtures=3), torch.full((3,), 2.0))


def test_targets_rise_as_quality_falls_and_stay_in_range():
    config = GuidanceConfig(worst=2.0, best=3.0, lowest=0.1, highest=0.9)
    made = targets(torch.tensor([1.0, 2.0, 2.25, 2.5, 3.0, 4.5]), config)
    torch.testing.assert_close(made, torch.tensor([0.9, 0.9, 0.7, 0.5, 0.1, 0.1]))


@pytest.mark.parametrize("mean", [0.05, 0.46, 0.8, 0.95])
def test_targets_have_the_mean_that_is_asked_for(mean: float):
    ovrl = torch.tensor([1.2, 2.0, 2.4, 3.0, 3.6])
    config = GuidanceConfig(worst=1.7, best=3.3)
    free, made = targets(ovrl, config), targets(ovrl, config, mean)
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
    used = utilization({"parts": counts}, model.sites)
    torch.testing.assert_close(activation(used, model.sites), torch.tensor([[0.0, 1.0]]))
    assert activation(utilization({"parts": 2}, model.sites), model.sites).item() == pytest.approx(1)


def test_guidance_moves_the_policy_to_each_clips_target():
    """Two kinds of noise, one labelled good and one bad: the policy learns to tell them apart."""
    torch.manual_seed(0)
    config = FTFNetConfig(channels=(4, 8, 8), n_fft=128, hop_length=64, window=4, router_channels=8)
    model = config.build()
    generator = torch.Generator().manual_seed(1)
    white = torch.randn(4, 1, 40 * 64, generator=generator)
    audio = 0.1 * torch.cat([white, white.cumsum(2) / 30])
    wanted = targets(torch.tensor([3.3] * 4 + [1.7] * 4), GuidanceConfig(worst=1.7, best=3.3))
    optimizer = torch.optim.Adam(model.policy.parameters(), 0.03)
    losses = []
    for _ in range(25):
        scores = model.score(audio)
        choice, _ = gumbel(1.0, generator)(scores, torch.zeros(8, 4))
        used = utilization({"parts": choice.flip(-1).cumsum(-1).flip(-1)}, model.sites)
        activated = activation(used, model.sites)
        loss = guidance(activated, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    used = activated.detach().mean(1)
    assert used[4:].mean() > used[:4].mean() + 0.2


def test_equal_targets_are_the_control():
    config = GuidanceConfig(mixtures=4, lowest=0.5, highest=0.5)
    assert not config.labels
    assert GuidanceConfig(mixtures=4).labels
    torch.testing.assert_close(targets(torch.ones(4), config, 0.46), torch.full((4,), 0.46))


def test_noise_correlation_by_hand():
    rising = torch.tensor([0.5, 0.6, 0.9, 1.0])
    noise_db = torch.tensor([-20.0, -10.0, 5.0, torch.inf])
    expected = np.corrcoef([0.5, 0.6, 0.9], [-20, -10, 5])[0, 1]
    assert noise_correlation(rising, noise_db).item() == pytest.approx(expected)
    assert noise_correlation(-rising, noise_db).item() == pytest.approx(-expected)
    assert noise_correlation(torch.full((4,), 0.7), noise_db).item() == 0
    assert noise_correlation(rising[:1], noise_db[:1]).item() == 0


def test_the_two_configurations_differ_in_the_metric_alone():
    path = ROOT / "src/sese/configs/ftf_net/small_guided.yaml"
    guided = read(path)
    control = read(path, ["training.guidance.lowest=0.5", "training.guidance.highest=0.5"])
    assert guided.training.guidance.labels
    assert not control.training.guidance.labels
    same = replace(control.training.guidance, lowest=0.1, highest=0.9)
    assert replace(control.training, guidance=same) == guided.training
    assert (guided.model, guided.data) == (control.model, control.data)


def test_guidance_without_a_router_in_training_is_refused():
    with pytest.raises(
        InputError, match=r"guidance is in use, and training\.method is 'random_level'; use routing"
    ):
        read(ROOT / "src/sese/configs/ftf_net/small.yaml", ["training.guidance.mixtures=10"])


def tiny(*overrides: str) -> RunConfig:
    """The guided configuration with a tiny network, on signals made here."""
    return read(
        ROOT / "src/sese/configs/ftf_net/small_guided.yaml",
        [
            "model={n_fft: 128, hop_length: 64, channels: [4, 8, 8], window: 4, router_channels: 4}",
            "data={synthetic: true, mix: {seconds: 0.25}, validation_clips: 3, validation_seconds: 0.25}",
            "training.initial=''",
            "training.batch_size=4",
            "training.steps=2",
            "training.validate_steps=2",
            "training.guidance.mixtures=6",
            *overrides,
        ],
    )


# Lightning's own use of what PyTorch has deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_guided_run_from_labels_to_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routing, "labeller", lambda rate: lambda noisy: 1 + 3 * noisy.abs().amax((1, 2)))
    assert train(tiny(f"data.cache_dir={tmp_path}"), tmp_path / "run")
    noted = json.loads((tmp_path / "run" / "guidance.json").read_text())
    assert 1 < noted["worst"] < noted["best"] < 4
    assert noted["mean"] == pytest.approx(0.46, abs=0.02)
    assert 0 <= noted["least"] < noted["mean"] < noted["most"] <= 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    validated = next(line for line in lines if "val/score" in line)
    assert -1 <= validated["val/noise_correlation"] <= 1
    assert "val/noise_db" not in validated
    assert 0.5 <= validated["val/utilization"] <= 1


@pytest.mark.parametrize("only", ["policy", "all"])
def test_labels_reach_the_loss_and_the_policy(only: str, tmp_path: Path):
    """The policy trains over frozen weights, or together with them."""
    config = tiny()
    made = EnhancementTask(config)
    checkpoint.save(tmp_path, "ftf_net", config.model, made.model.state_dict())
    task = EnhancementTask(tiny(f"training.initial={tmp_path}", f"training.train_only={only}"))
    logged = {}
    task.log_dict = lambda values: logged.update(values)  # type: ignore[method-assign, assignment]
    task.log = lambda *values: None  # type: ignore[method-assign, assignment]
    noisy = 0.1 * torch.randn(4, 1, 4000, generator=torch.Generator().manual_seed(0))
    batch = Mixture(noisy, 0.5 * noisy, torch.zeros(4))
    costs = []
    for wanted in (0.0, 1.0):
        task.training_step(batch._replace(label=torch.full((4,), wanted)), 0).backward()
        costs.append(float(logged["train/efficiency"]))
    # The same draws: (a - 0)^2 and (a - 1)^2 of the same activations, three of four rows.
    assert 0 < sum(costs) < 1 + 1e-6
    assert costs[0] != costs[1]
    for name, parameter in task.model.named_parameters():
        assert (parameter.grad is not None) == (only == "all" or name.startswith("policy.")), name
    gradient = task.model.policy.pointwise.weight.grad
    assert gradient is not None
    assert gradient.any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"worst": 3.5, "best": 3.3}, "from OVRL 3.5 to 3.3"),
        ({"worst": 1.7, "best": 5.5}, "from OVRL 1.7 to 5.5"),
        ({"best": 3.3}, "from OVRL 0.0 to 3.3"),
        ({"mixtures": -1}, "mixtures is -1"),
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
        targets(torch.tensor([2.0]), GuidanceConfig(worst=1.0, best=3.0), mean)
