"""The steps of training and their schedule, without a trainer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn import checkpoint
from sese.nn.policies.activity import SPEECH_FRAMES
from sese.nn.policies.fixed import level_plan
from sese.training.config import read
from sese.training.losses import si_sdr, total
from sese.training.methods import routing
from sese.training.task import EnhancementTask
from training.tiny_run import DEBUG, config

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")


def task(*overrides: str) -> EnhancementTask:
    torch.manual_seed(0)
    return EnhancementTask(config(*overrides))


def batch(rows: int = 4, time: int = 2048) -> Mixture:
    generator = torch.Generator().manual_seed(1)
    clean = 0.1 * torch.randn(rows, 1, time, generator=generator)
    return Mixture(clean + 0.05 * torch.randn(rows, 1, time, generator=generator), clean, torch.zeros(rows))


STRATEGIES = {
    "deal": ["training.method=random_level"],
    "deal by shares": [
        "training.method=random_level",
        "training.random_level.shares=[0.25, 0.25, 0.25, 0.25]",
    ],
    "all": ["training.method=all_levels"],
    "all, distilled": ["training.method=all_levels", "training.distill=0.5"],
    "sandwich": ["training.method=sandwich"],
    "sandwich, distilled": ["training.method=sandwich", "training.distill=1"],
    "full": ["training.method=full"],
    "routed": ["training.method=routing", "model.router_channels=4"],
    "routed and dealt": [
        "training.method=routing",
        "model.router_channels=4",
        "training.routing.fixed_share=0.5",
    ],
}


@pytest.mark.parametrize("overrides", STRATEGIES.values(), ids=STRATEGIES)
def test_every_strategy_trains_all_weights(overrides: list[str]):
    training = task(*overrides)
    training.training_step(batch(), 0).backward()
    for name, parameter in training.model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    for block in (*training.model.backbone.encoder, *training.model.backbone.decoder):
        assert block.conv_weight.grad[block.widths[-2] :].any(), "what only the widest level has"


def test_what_no_row_keeps_is_not_touched():
    training = task("training.method=random_level", "training.random_level.shares=[0.5, 0.5, 0, 0]")
    training.training_step(batch(), 0).backward()
    for block in (*training.model.backbone.encoder, *training.model.backbone.decoder):
        assert block.conv_weight.grad[: block.widths[1]].any()
        assert not block.conv_weight.grad[block.widths[1] :].any()


def test_dealt_rows_are_at_their_levels():
    training, mixture = task("training.method=random_level"), batch()
    loss = training.training_step(mixture, 0)  # four rows, four levels: one each
    rows = [Mixture(*(part[row : row + 1] for part in mixture[:3])) for row in range(4)]
    alone = [mean_loss(training, rows[level], [level]) for level in range(4)]
    torch.testing.assert_close(loss, torch.stack(alone).mean(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("levels", "chosen"), [("all_levels", [0, 1, 2, 3]), ("full", [3])])
def test_loss_is_the_mean_over_levels(levels: str, chosen: list[int]):
    training = task(f"training.method={levels}")
    torch.testing.assert_close(training.training_step(batch(), 0), mean_loss(training, batch(), chosen))


def test_sandwich_has_the_widest_the_narrowest_and_one_between():
    training = task("training.method=sandwich")
    loss = training.training_step(batch(), 0)
    candidates = [mean_loss(training, batch(), [0, between, 3]) for between in (1, 2)]
    assert any(torch.allclose(loss, candidate) for candidate in candidates)
    # The level between is drawn from the seed and the step alone.
    torch.testing.assert_close(training.training_step(batch(), 0), loss)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_distillation_mixes_the_widest_output_into_the_targets_of_the_others(share: float):
    training, mixture = task("training.method=all_levels", f"training.distill={share}"), batch()
    widest = training.model.enhance_clip(mixture.noisy).detach()
    taught = mixture._replace(clean=widest)
    expected = mean_loss(training, mixture, [3])
    for level in range(3):
        expected = expected + (1 - share) * mean_loss(training, mixture, [level])
        expected = expected + share * mean_loss(training, taught, [level])
    torch.testing.assert_close(training.training_step(mixture, 0), expected / 4)


def mean_loss(training: EnhancementTask, mixture: Mixture, levels: list[int]) -> torch.Tensor:
    losses = []
    for level in levels:
        estimate = training.model.enhance_clip(mixture.noisy, level_plan(training.model.sites, level))
        signals = (x.squeeze(1) for x in (estimate, mixture.clean, mixture.noisy))
        losses.append(torch.stack(list(total(*signals, training.config.training.losses).values())).sum())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite_are_left_out(bad: float):
    training = task()
    training.training_step(batch(), 0).backward()
    optimizer = training.configure_optimizers()["optimizer"]
    training.on_before_optimizer_step(optimizer)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    optimizer.step()
    moved = {name: value.clone() for name, value in training.model.state_dict().items()}
    assert all(not torch.equal(moved[name], before[name]) for name in before)
    next(training.model.parameters()).grad.view(-1)[0] = bad
    training.on_before_optimizer_step(optimizer)
    optimizer.step()
    kept = training.model.state_dict()
    assert all(torch.equal(kept[name], moved[name]) for name in kept)


def test_schedule_warms_up_then_falls_as_a_cosine():
    settings = ["training.warmup_steps=4", "training.steps=8", "training.final_learning_rate=0.1"]
    scheduler = task(*settings).configure_optimizers()["lr_scheduler"]["scheduler"]
    factors = [scheduler.lr_lambdas[0](step) for step in (0, 1, 3, 4, 6, 8, 100)]
    assert factors == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.55, 0.1, 0.1])


@pytest.mark.parametrize("steps", [20, 30])
def test_schedule_may_stay_at_its_peak_and_fall_at_the_end(steps: int):
    settings = ["training.warmup_steps=4", f"training.steps={steps}", "training.final_learning_rate=0.1"]
    scheduler = task(*settings, "training.decay_steps=10").configure_optimizers()["lr_scheduler"]["scheduler"]
    factor = scheduler.lr_lambdas[0]
    begin = steps - 10
    assert [factor(step) for step in (0, 3, 4, begin)] == pytest.approx([0.25, 1.0, 1.0, 1.0])
    falling = [factor(step) for step in (begin + 1, begin + 5, begin + 9, steps, steps + 100)]
    assert falling == pytest.approx([0.91, 0.55, 0.19, 0.1, 0.1])


def test_a_fall_longer_than_the_run_begins_below_the_peak():
    settings = ["training.warmup_steps=2", "training.steps=10", "training.final_learning_rate=0"]
    scheduler = task(*settings, "training.decay_steps=20").configure_optimizers()["lr_scheduler"]["scheduler"]
    factors = [scheduler.lr_lambdas[0](step) for step in (0, 1, 2, 5, 10)]
    assert factors == pytest.approx([0.5, 1.0, 0.4, 0.25, 0.0])


def test_a_step_may_take_one_stft_size_in_turn_and_validation_takes_all(monkeypatch: pytest.MonkeyPatch):
    settings = ["training.losses={compressed_complex: 1.0}", "training.stft_sizes=one"]
    training, mixture = task(*settings), batch()
    estimate, target, noisy = mixture.noisy, mixture.clean, mixture.noisy
    apart = []
    for step, size in enumerate((320, 512, 768, 320)):
        monkeypatch.setattr(EnhancementTask, "global_step", step)
        (loss,) = training.losses(estimate, target, noisy).values()
        signals = (x.squeeze(1) for x in (estimate, target, noisy))
        assert loss == total(*signals, {"compressed_complex": 1.0}, (size,))["compressed_complex"]
        apart.append(loss)
    assert len(set(map(float, apart))) == 3
    training.eval()
    (loss,) = training.losses(estimate, target, noisy).values()
    torch.testing.assert_close(loss, torch.stack(apart[:3]).mean())
    (loss,) = task(settings[0]).losses(estimate, target, noisy).values()
    torch.testing.assert_close(loss, torch.stack(apart[:3]).mean())


GATED = [
    "system=gated_mixer",
    "model={n_fft: 128, hop_length: 64, bands: [[8, 8]], channels: 8, blocks: [1, 2], band_units: [4, 8], "
    "time_units: [4, 8]}",
    "training.method=random_level",
]


def gated(*overrides: str) -> EnhancementTask:
    return task(*GATED, *overrides)


def test_rests_are_drawn_by_seed_and_step():
    losses = {}
    for share in (0, 1):
        training = gated(f"training.random_level.rest={share}")
        losses[share], again = (training.training_step(batch(), 0) for _ in range(2))
        assert losses[share] == again
    assert losses[0] != losses[1], "a rest is heard"
    losses[1].backward()
    for name, parameter in training.model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_all_rows_rest_together(monkeypatch: pytest.MonkeyPatch):
    training, seen = gated("training.random_level.rest=0.5"), []
    monkeypatch.setattr(training.model, "enhance_clip", lambda noisy, plan: seen.append(plan) or noisy)
    for step in range(40):
        monkeypatch.setattr(EnhancementTask, "global_step", step)
        training.training_step(batch(), 0)
    resting = [(plan["scale"].sum(2) == 0).expand(4, -1) for plan in seen]
    drawn = [rests for rests in resting if rests.any()]
    assert 10 < len(drawn) < 30, "in half of the steps"
    for rests in drawn:
        assert (rests == rests[:1]).all()
        assert rests[0].sum() <= rests.shape[1] / 2


def test_each_row_rests_where_nobody_speaks(monkeypatch: pytest.MonkeyPatch):
    training, seen = gated("training.random_level.rest=0", "training.random_level.pauses=1"), []
    monkeypatch.setattr(training.model, "enhance_clip", lambda noisy, plan: seen.append(plan) or noisy)
    hop, mixtures = training.model.hop_length, batch()
    mixtures.clean[0] = 0.1
    mixtures.clean[1:, :, 10 * hop :] = 0
    training.training_step(mixtures, 0)
    resting = seen[0]["scale"].sum(2) == 0
    assert not resting[0].any()
    assert not resting[1:, : 10 + SPEECH_FRAMES - 1].any()
    assert resting[1:, 10 + SPEECH_FRAMES - 1 :].all()


def test_a_batch_without_speech_does_not_rest():
    """With all frames at rest no weight would have a gradient."""
    training, mixtures = gated("training.random_level.rest=0", "training.random_level.pauses=1"), batch()
    mixtures.clean[:] = 0
    training.training_step(mixtures, 0).backward()
    assert all(weight.grad is not None for weight in training.model.parameters())


@pytest.mark.parametrize("name", ["rest", "pauses"])
def test_a_network_that_cannot_rest_is_refused_before_it_trains(name: str):
    with pytest.raises(
        InputError, match=rf"training\.random_level\.{name} is 0\.1 and demucs cannot rest; use gated_mixer"
    ):
        config("training.method=random_level", f"training.random_level.{name}=0.1")


def test_a_clip_too_short_for_a_rest_is_refused():
    settings = ["system=gated_mixer", "model={n_fft: 1024, hop_length: 512, bands: [[8, 64]], channels: 8}"]
    with pytest.raises(InputError, match=r"data\.mix\.seconds is 0\.1 .* 4 frames"):
        config(
            *settings,
            "training.method=random_level",
            "training.random_level.rest=0.1",
            "data.mix.seconds=0.1",
        )


def test_optimiser_holds_all_weights_once():
    training = task()
    groups = training.configure_optimizers()["optimizer"].param_groups
    held = [parameter for group in groups for parameter in group["params"]]
    assert len(held) == len({id(parameter) for parameter in held}) == len(list(training.parameters()))


def test_biases_do_not_decay():
    training = task("training.weight_decay=0.5")
    groups = training.configure_optimizers()["optimizer"].param_groups
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for name, parameter in training.named_parameters():
        assert decay[id(parameter)] == (0.0 if name.endswith("bias") else 0.5), name


def test_a_step_repeated_on_the_same_clips_learns_them_at_every_level():
    training = task("training.method=all_levels", "training.learning_rate=0.03", "training.losses={l1: 1}")
    t = torch.arange(4096) / 16000
    clean = 0.2 * torch.sin(2 * torch.pi * torch.tensor([[[300.0]], [[450.0]]]) * t)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    mixture = Mixture(noisy, clean, torch.zeros(2))
    optimizer = training.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(60):
        loss = training.training_step(mixture, 0)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(training.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    before = si_sdr(noisy.squeeze(1), clean.squeeze(1))
    for level in range(4):
        enhanced = training.model.enhance_clip(noisy, level_plan(training.model.sites, level))
        assert (si_sdr(enhanced.squeeze(1), clean.squeeze(1)) > before + 3).all(), "cleaner by 3 dB"


def test_router_pretraining_moves_the_router_alone():
    training = task("training.method=routing", "model.router_channels=4", "training.train_only=policy")
    training.training_step(batch(), 0).backward()
    for name, parameter in training.model.named_parameters():
        assert (parameter.grad is not None) == name.startswith("policy."), name
    optimised = {
        id(p) for g in training.configure_optimizers()["optimizer"].param_groups for p in g["params"]
    }
    assert optimised == {id(p) for p in training.model.policy.parameters()}


def test_dealt_rows_of_a_routed_batch_cost_nothing():
    """Only what the router chose may push it towards the target."""
    training = task(
        "training.method=routing",
        "model.router_channels=4",
        "training.routing.fixed_share=0.5",
        "training.random_level.shares=[0, 0, 0, 1]",
        "training.losses={l1: 1.0e-9}",
    )
    with torch.no_grad():  # the router all but always picks the lowest level
        training.model.policy.pointwise.bias[:] = torch.tensor([50.0, 0, 0, 0])
    generator = torch.Generator().manual_seed(0)
    losses = routing.losses(training, batch(), generator)
    assert losses["efficiency"].item() == pytest.approx((0.125 - 0.25) ** 2, rel=1e-4)
    assert losses["balance"].item() == pytest.approx(0.1 * 4, rel=1e-3)


@pytest.mark.parametrize("good", [0, 2])
def test_measured_errors_teach_the_router_which_level_pays(good: int, monkeypatch: pytest.MonkeyPatch):
    errors = torch.ones(4, 8, 4)
    errors[..., good] = 0.0
    monkeypatch.setattr("sese.training.methods.routing_from_errors.frame_errors", lambda *_: errors)
    training = task(
        "training.method=routing_from_errors",
        "training.train_only=policy",
        "model.router_channels=4",
        "training.routing.efficiency_weight=0",
        "training.routing.balance_weight=0",
    )
    optimizer = torch.optim.Adam(training.model.policy.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        training.training_step(batch(), 0).backward()
        optimizer.step()
    probability = training.model.score(batch().noisy).softmax(-1).mean((0, 1))
    assert probability[good] > 0.9
    assert all(parameter.grad is None for parameter in training.model.backbone.parameters())


def test_router_has_its_own_learning_rate():
    training = task(
        "training.method=routing", "model.router_channels=4", "training.routing.learning_rate=3.0"
    )
    groups = training.configure_optimizers()["optimizer"].param_groups
    router = {id(p) for p in training.model.policy.parameters()}
    peak = config().training.learning_rate
    for group in groups:
        of_router = {id(p) in router for p in group["params"]}
        assert len(of_router) == 1
        assert group["initial_lr"] == pytest.approx(peak * (3 if of_router.pop() else 1))


def test_initial_weights_may_lack_the_router(tmp_path):
    first = task()
    checkpoint.save(tmp_path, "demucs", first.config.model, first.model.state_dict())
    torch.manual_seed(5)
    second = EnhancementTask(config("model.router_channels=4", f"training.initial={tmp_path}"))
    theirs = first.model.state_dict()
    assert {n for n in second.model.state_dict() if n not in theirs} >= {"policy.conv.weight"}
    assert all(torch.equal(second.model.state_dict()[name], value) for name, value in theirs.items())


def test_the_statistics_of_frozen_norms_stay():
    settings = read(
        DEBUG.parent / "conv_fsenet" / "small.yaml",
        [
            "model.channels=8",
            "model.hidden=8",
            "training.method=routing_from_errors",
            "training.train_only=policy",
        ],
    )
    training = EnhancementTask(settings).train()
    norms = {name: value.clone() for name, value in training.model.named_buffers() if "running" in name}
    assert norms
    training.training_step(batch(time=4096), 0).backward()
    buffers = dict(training.model.named_buffers())
    assert all(torch.equal(buffers[name], value) for name, value in norms.items())
