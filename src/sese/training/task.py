"""The one Lightning module: a scalable model, its losses over levels, and its validation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.data.mixing import Mixture
from sese.errors import InputError
from sese.nn import checkpoint
from sese.nn.layers.bitwise import Binarisation
from sese.nn.plan import Plan, full, utilization
from sese.nn.policies.channel_gates import ChannelGates
from sese.nn.policies.fixed import level_plans, levels_plan
from sese.nn.policies.router import gumbel
from sese.nn.policies.sample import deal, hand_over, sandwich
from sese.training import codes, milestones
from sese.training.config import RunConfig
from sese.training.losses import si_sdr, total
from sese.training.masks import mask_error
from sese.training.metric_guided import activation, guidance, noise_correlation
from sese.training.pruning import pruning
from sese.training.routing import balance, efficiency, frame_errors

CODE_MIXTURES = 64
"""That the quantiser of a bitwise network is fitted to."""


class EnhancementTask(lightning.LightningModule):
    """Train a model over its levels.

    Args:
        config: the run.
    """

    def __init__(self, config: RunConfig):
        super().__init__()
        self.config = config
        self.model = config.model.build()
        only = config.training.train_only
        if config.training.initial:
            new = ("policy.", *(f"{beginning}." for beginning in only))
            fresh = checkpoint.load_into(self.model, Path(config.training.initial), new)
            if hasattr(self.model.backbone, "grow"):
                self.model.backbone.grow({name.removeprefix("backbone.") for name in fresh})
        if only != ("all",):
            _freeze_all_but(self.model, only)
        self.train()
        self.validated: dict[str, list[Tensor]] = {}

    def train(self, mode: bool = True) -> EnhancementTask:
        """As of any module; the statistics of frozen norms stay what they are."""
        super().train(mode)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm1d) and not any(p.requires_grad for p in module.parameters()):
                module.eval()
        return self

    @property
    def levels(self) -> int:
        """Number of levels; level 0 is the cheapest."""
        return len(level_plans(self.model))

    def on_train_start(self) -> None:
        """Fit the quantiser of codes to the first mixtures, in a run that starts from nothing."""
        settings = self.config.training
        if settings.levels == "masks" and not settings.initial and self.global_step == 0:
            mixer = self.trainer.datamodule.mixer(self.device)  # type: ignore[attr-defined]
            codes.fit(self.model, mixer(range(CODE_MIXTURES)).noisy)

    def training_step(self, batch: Mixture, batch_idx: int) -> Tensor:
        """One step's loss; what each level trained on is decided by (seed, step), so that runs can resume."""
        noisy, clean = batch.noisy, batch.clean
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.global_step)
        settings = self.config.training
        if settings.levels == "measured":
            losses = self._measured(noisy, clean)
        elif settings.levels == "routed":
            losses = self._routed(batch, generator)
        elif settings.levels == "gated":
            losses = self._gated(noisy, clean)
        elif settings.levels == "milestones":
            losses = self._milestones(noisy, clean, generator)
        elif settings.levels == "masks":
            share = settings.masks.share_at(self.global_step / settings.steps)
            self.log("train/share", share)
            losses = {"mask": mask_error(self.model, noisy, clean, Binarisation(share, generator))}
        elif settings.levels == "deal":
            levels = self._deal(noisy.shape[0], generator).unsqueeze(1)
            if torch.rand((), generator=generator) < settings.hand_over:
                levels = hand_over(levels, self.model.frames(noisy.shape[2]), generator)
            plan = levels_plan(self.model.sites, levels)
            losses = self._losses(self._enhance(noisy, plan), clean, noisy)
        else:
            choices: Iterable[int] = {
                "all": range(self.levels - 1, -1, -1),
                "sandwich": sandwich(self.levels, generator),
                "full": [self.levels - 1],
            }[settings.levels]
            losses = self._over_levels(list(choices), noisy, clean)
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        self.log("train/loss", loss.detach())
        return loss

    def _deal(self, rows: int, generator: torch.Generator) -> Tensor:
        shares = self.config.training.level_shares or (1 / self.levels,) * self.levels
        return deal(rows, shares, generator).to(self.device)

    def _routed(self, batch: Mixture, generator: torch.Generator) -> dict[str, Tensor]:
        """The router draws the levels of most rows; the rest run at dealt ones. Only the former cost."""
        noisy, settings = batch.noisy, self.config.training
        routing = settings.routing
        fixed = round(routing.fixed_share * noisy.shape[0])
        dealt = F.one_hot(self._deal(fixed, generator), self.levels).unsqueeze(1) if fixed else None
        draw = gumbel(routing.temperature_at(self.global_step / settings.steps), generator)

        def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
            choice, memory = draw(scores, memory)
            if dealt is not None:
                choice = torch.cat([dealt.expand(-1, choice.shape[1], -1).to(choice), choice[fixed:]])
            return choice, memory

        enhanced = self.model.run_clip(noisy, None, choose)
        assert enhanced.scores is not None
        used = utilization(enhanced.plan, self.model.sites)[fixed:]
        self.log("train/utilization", used.detach().mean())
        if batch.label is None:
            cost = efficiency(used, routing)
        else:
            cost = guidance(activation(used, self.model.sites), batch.label[fixed:])
        return self._losses(enhanced.audio, batch.clean, noisy) | {
            "efficiency": routing.efficiency_weight * cost,
            "balance": routing.balance_weight * balance(enhanced.scores[fixed:], routing),
        }

    def _gated(self, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """The gates pick the channels of most rows; the rest run whole. Only the former cost."""
        settings = self.config.training
        target = settings.pruning.target_at(self.global_step / settings.steps)
        dense = round(settings.pruning.dense_share * noisy.shape[0])
        enhanced = self.model.run_clip(noisy[dense:])
        estimates = [enhanced.audio]
        if dense:
            estimates = [self._enhance(noisy[:dense], full(self.model.sites)), *estimates]
        used = utilization(enhanced.plan, self.model.sites)
        self.log("train/utilization", used.detach().mean())
        return self._losses(torch.cat(estimates), clean, noisy) | {
            "pruning": settings.pruning.weight * pruning(enhanced.plan, target)
        }

    def _measured(self, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Expected error and expected utilization, if each frame's level were drawn from the router's scores.

        Every level's error is known in every frame, so nothing need be drawn. It takes errors of frames to
        be independent of the levels of their neighbours, which they are not quite.
        """
        routing = self.config.training.routing
        with torch.no_grad():
            estimates = torch.stack(self.model.enhance_levels(noisy, range(self.levels))).squeeze(2).float()
            errors = frame_errors(estimates, clean.squeeze(1), noisy.squeeze(1), self.model.hop_length)
        scores = self.model.score(noisy)[:, : errors.shape[1]]
        probability = torch.softmax(scores, dim=-1)
        factors = scores.new_tensor(self.model.sites[0].shares).cumsum(0)
        used = (probability * factors).sum(-1)
        self.log("train/utilization", used.detach().mean())
        return {
            "error": (probability * errors).sum(-1).mean(),
            "efficiency": routing.efficiency_weight * efficiency(used, routing),
            "balance": routing.balance_weight * balance(scores, routing),
        }

    def _milestones(self, noisy: Tensor, clean: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean loss over steps, of what each makes against what it aims at."""
        settings = self.config.training
        true = self.global_step < settings.milestones.true_share * settings.steps
        parts = milestones.draw(len(noisy), self.levels, settings.milestones.row_share, generator)
        parts = [rows.to(self.device) for rows in parts]
        joined = settings.milestones.joined
        return self._losses(*milestones.pairs(self.model, noisy, clean, true, parts, joined))

    def _over_levels(self, levels: list[int], noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Mean loss over levels, the widest first; the others may learn from its output as well."""
        sums: dict[str, Tensor] = {}
        teacher: Tensor | None = None
        for estimate in self.model.enhance_levels(noisy, levels):
            targets = [(clean, 1.0)]
            if teacher is not None and self.config.training.distill:
                share = self.config.training.distill
                targets = [(clean, 1 - share), (teacher, share)]
            for target, weight in targets:
                for name, value in self._losses(estimate, target, noisy).items():
                    sums[name] = sums.get(name, 0.0) + weight * value / len(levels)
            if teacher is None:
                teacher = estimate.detach()
        return sums

    def _enhance(self, noisy: Tensor, plan: Plan) -> Tensor:
        return self.model.enhance_clip(noisy, plan)

    def _losses(self, estimate: Tensor, target: Tensor, noisy: Tensor) -> dict[str, Tensor]:
        with torch.autocast(noisy.device.type, enabled=False):
            signals = [x.squeeze(1).float() for x in (estimate, target, noisy)]
            return total(signals[0], signals[1], signals[2], self.config.training.losses)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave a step out whose gradients are not finite, rather than lose the weights to it."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.log("train/gradient_norm", norm)
        if not torch.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)  # zeros would still be a step, by momentum

    def validation_step(self, batch: Mixture, batch_idx: int) -> None:
        """Loss and SI-SDR of every level on the fixed set; PESQ on its first clips where asked for."""
        noisy, clean, snr_db = batch[:3]
        self._note("si_sdr/noisy", si_sdr(noisy.squeeze(1), clean.squeeze(1)))
        wanted = self.config.data.pesq_clips - batch_idx * noisy.shape[0]
        if wanted > 0:
            self._note("pesq/noisy", self._pesq(clean[:wanted], noisy[:wanted]))
        estimates = self.model.enhance_levels(noisy, range(self.levels))
        named = {str(level): estimate for level, estimate in enumerate(estimates)}
        if self.model.policy is not None:
            decided = self.model.run_clip(noisy)
            gated = isinstance(self.model.policy, ChannelGates)
            named["gated" if gated else "routed"] = decided.audio
            self._note("utilization", utilization(decided.plan, self.model.sites).mean(1))
            self._note("noise_db", -snr_db)
            if gated:
                target = self.config.training.pruning.target
                self._note("pruning", pruning(decided.plan, target).view(1))
        for name, estimate in named.items():
            estimate = estimate.float()
            losses = self._losses(estimate, clean, noisy)
            self._note(f"loss/{name}", torch.stack(list(losses.values())).sum().view(1))
            self._note(f"si_sdr/{name}", si_sdr(estimate.squeeze(1), clean.squeeze(1)))
            if wanted > 0:
                self._note(f"pesq/{name}", self._pesq(clean[:wanted], estimate[:wanted]))

    def on_validation_epoch_end(self) -> None:
        """Log means; `val/score`, lower is better, chooses the best checkpoint."""
        noise_db = self.validated.pop("noise_db", None)
        means = {f"val/{name}": torch.cat(values).nanmean() for name, values in self.validated.items()}
        if noise_db is not None:
            used = torch.cat(self.validated["utilization"])
            means["val/noise_correlation"] = noise_correlation(used, torch.cat(noise_db))
        self.validated = {}
        settings = self.config.training
        losses = [means[f"val/loss/{level}"] for level in range(self.levels)]
        score = (
            losses[-1] if settings.levels in ("full", "milestones", "masks") else torch.stack(losses).mean()
        )
        if self.model.policy is not None and settings.levels in ("routed", "measured"):
            routing = settings.routing
            share = routing.fixed_share
            cost = routing.efficiency_weight * efficiency(means["val/utilization"], routing)
            score = share * score + (1 - share) * (means["val/loss/routed"] + cost)
        if settings.levels == "gated":
            share = settings.pruning.dense_share
            cost = settings.pruning.weight * means["val/pruning"]
            score = share * score + (1 - share) * (means["val/loss/gated"] + cost)
        self.log_dict(means | {"val/score": score}, sync_dist=True)

    def _note(self, name: str, values: Tensor) -> None:
        self.validated.setdefault(name, []).append(values.detach().float().to(self.device))

    def _pesq(self, clean: Tensor, estimate: Tensor) -> Tensor:
        from sese.evaluation.metrics import pesq_wb

        pairs = zip(clean.squeeze(1).cpu().numpy(), estimate.squeeze(1).cpu().numpy(), strict=True)
        rate = self.model.sample_rate
        return torch.tensor([pesq_wb(reference, tested, rate) for reference, tested in pairs])

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up and a cosine."""
        settings = self.config.training
        # Biases are not decayed: they carry levels, not complexity.
        groups = []
        policy = settings.pruning if settings.levels == "gated" else settings.routing
        for part, rate in (("", 1.0), ("policy.", policy.learning_rate)):
            named = [
                (name, parameter)
                for name, parameter in self.model.named_parameters()
                if parameter.requires_grad and name.startswith("policy.") == bool(part)
            ]
            for bias, decay in ((False, settings.weight_decay), (True, 0.0)):
                parameters = [parameter for name, parameter in named if name.endswith("bias") == bias]
                values = {"weight_decay": decay, "lr": rate * settings.learning_rate}
                groups += [{"params": parameters, **values}] if parameters else []
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)

        def factor(step: int) -> float:
            if step < settings.warmup_steps:
                return (step + 1) / settings.warmup_steps
            done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
            cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
            return settings.final_learning_rate + (1 - settings.final_learning_rate) * cosine

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _freeze_all_but(model: nn.Module, beginnings: Iterable[str]) -> None:
    """Freeze all weights whose names begin otherwise; beginnings end where a part's name does."""
    model.requires_grad_(False)
    for beginning in beginnings:
        named = [p for name, p in model.named_parameters() if f"{name}.".startswith(f"{beginning}.")]
        if not named:
            parts = sorted({name.split(".")[0] for name, _ in model.named_parameters()})
            raise InputError(
                f"training.train_only names '{beginning}', and no weight's name begins so; "
                f"start with one of {parts}, or use all"
            )
        for parameter in named:
            parameter.requires_grad_(True)
