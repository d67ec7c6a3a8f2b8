"""Lightning module of every training: a scalable model, its losses, and its validation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn import checkpoint
from sese.nn.enhancer import Enhanced
from sese.nn.plan import utilization
from sese.nn.policies.fixed import level_plans
from sese.training.config import RunConfig
from sese.training.losses import SIZES, si_sdr, total
from sese.training.methods import METHODS
from sese.training.optimizer import Muon
from sese.training.schedule import warmed_cosine


class EnhancementTask(lightning.LightningModule):
    """Train a model over its levels.

    Args:
        config: Configuration of the run.
        initial: Whether to load the weights of `training.initial`; a resumed run has its own.

    Attributes:
        helper: Object that the method needs beside the model, see `Method.helper`.
    """

    def __init__(self, config: RunConfig, initial: bool = True):
        super().__init__()
        self.config = config
        self.model = config.model.build()
        only = config.training.train_only
        if config.training.initial and initial:
            new = (checkpoint.POLICY, *(f"{beginning}." for beginning in only))
            fresh = checkpoint.load_into(self.model, Path(config.training.initial), new)
            self.model.backbone.grow({name.removeprefix("backbone.") for name in fresh})
        if only != ("all",):
            _freeze_all_but(self.model, only)
        self.method = METHODS[config.training.method]
        # Not a module: it is no part of the weights that are averaged and saved.
        self.helper = self.method.helper(self)
        self.train()
        self.validated: dict[str, list[Tensor]] = {}

    def train(self, mode: bool = True) -> EnhancementTask:
        """Set the training mode; the statistics of frozen norms stay as they are."""
        super().train(mode)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm1d) and not any(p.requires_grad for p in module.parameters()):
                module.eval()
        return self

    @property
    def levels(self) -> int:
        """Number of levels; level 0 is the lowest."""
        return len(level_plans(self.model))

    def on_train_start(self) -> None:
        """Let the method start, in a run from fresh weights."""
        if not self.config.training.initial and self.global_step == 0:
            self.method.start(self)

    def training_step(self, batch: Mixture, batch_idx: int) -> Tensor:
        """Return the loss of a step; its randomness depends on seed and step alone, so runs can resume."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.global_step)
        losses = self.method.losses(self, batch, generator)
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        self.log("train/loss", loss.detach())
        return loss

    @property
    def done(self) -> float:
        """Share of the steps that are done, in [0, 1]."""
        return self.global_step / self.config.training.steps

    def losses(self, estimate: Tensor, target: Tensor, noisy: Tensor) -> dict[str, Tensor]:
        """Return the configured losses by name.

        Args:
            estimate, target, noisy: Output, target and input (batch, 1, time).
        """
        with torch.autocast(noisy.device.type, enabled=False):
            signals = [x.squeeze(1).float() for x in (estimate, target, noisy)]
            sizes: tuple[int, ...] = SIZES
            if self.training and self.config.training.stft_sizes == "one":
                sizes = (sizes[self.global_step % len(sizes)],)
            settings = self.config.training
            return total(signals[0], signals[1], signals[2], settings.losses, sizes, settings.loss_level)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skip a step whose gradients are not finite, which would destroy the weights."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.log("train/gradient_norm", norm)
        if not torch.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)  # zeros would still be a step, by momentum

    def validation_step(self, batch: Mixture, batch_idx: int) -> None:
        """Collect loss and SI-SDR of every level, and PESQ of the first clips where it is wanted."""
        noisy, clean, snr_db = batch[:3]
        self._note("si_sdr/noisy", si_sdr(noisy.squeeze(1), clean.squeeze(1)))
        wanted = self.config.data.pesq_clips - batch_idx * noisy.shape[0]
        if wanted > 0:
            self._note("pesq/noisy", self._pesq(clean[:wanted], noisy[:wanted]))
        estimates = self.model.enhance_levels(noisy, range(self.levels))
        named = {str(level): estimate for level, estimate in enumerate(estimates)}
        decided: Enhanced | None = None
        if self.model.policy is not None:
            decided = self.model.run_clip(noisy)
            gated = self.model.gated
            named["gated" if gated else "routed"] = decided.audio
            self._note("utilization", utilization(decided.plan, self.model.sites).mean(1))
            self._note("noise_db", -snr_db)
        for name, values in self.method.validate(self, batch, decided).items():
            self._note(name, values)
        for name, estimate in named.items():
            estimate = estimate.float()
            losses = self.losses(estimate, clean, noisy)
            self._note(f"loss/{name}", torch.stack(list(losses.values())).sum().view(1))
            self._note(f"si_sdr/{name}", si_sdr(estimate.squeeze(1), clean.squeeze(1)))
            if wanted > 0:
                self._note(f"pesq/{name}", self._pesq(clean[:wanted], estimate[:wanted]))

    def on_validation_epoch_end(self) -> None:
        """Log the means; the lowest `val/score` chooses the best weights."""
        if not self.validated:  # the validation was cut short
            return
        noise_db = self.validated.pop("noise_db", None)
        means = {f"val/{name}": torch.cat(values).nanmean() for name, values in self.validated.items()}
        if noise_db is not None:
            used = torch.cat(self.validated["utilization"])
            means["val/noise_correlation"] = noise_correlation(used, torch.cat(noise_db))
        self.validated = {}
        score = self.method.score(self, means)
        self.log_dict(means | {"val/score": score}, sync_dist=True)

    def _note(self, name: str, values: Tensor) -> None:
        self.validated.setdefault(name, []).append(values.detach().float().to(self.device))

    def _pesq(self, clean: Tensor, estimate: Tensor) -> Tensor:
        from sese.evaluation.metrics import pesq_wb

        pairs = zip(clean.squeeze(1).cpu().numpy(), estimate.squeeze(1).cpu().numpy(), strict=True)
        rate = self.model.sample_rate
        return torch.tensor([pesq_wb(reference, tested, rate) for reference, tested in pairs])

    def configure_optimizers(self) -> Any:
        """Return the optimiser with a linear warm-up, and a cosine or a linear decay."""
        settings = self.config.training
        muon = settings.optimizer == "muon"
        # Biases are not decayed: they carry levels, not complexity.
        groups = []
        for part, rate in (("", 1.0), ("policy.", self.method.policy_rate(settings))):
            named = [
                (name, parameter)
                for name, parameter in self.model.named_parameters()
                if parameter.requires_grad and name.startswith("policy.") == bool(part)
            ]
            for kind, decay in (
                ("matrix", settings.weight_decay),
                ("weight", settings.weight_decay),
                ("bias", 0.0),
            ):
                parameters = [parameter for name, parameter in named if _kind(name, parameter, muon) == kind]
                values = {"weight_decay": decay, "lr": rate * settings.learning_rate}
                values |= {"orthogonal": kind == "matrix"} if muon else {}
                groups += [{"params": parameters, **values}] if parameters else []
        rates: dict[str, Any] = {"lr": settings.learning_rate, "betas": settings.betas}
        optimizer = Muon(groups, **rates) if muon else torch.optim.AdamW(groups, **rates)

        def factor(step: int) -> float:
            final = settings.final_learning_rate
            if step < settings.warmup_steps or not settings.decay_steps:
                return warmed_cosine(step, settings.steps, settings.warmup_steps, final)
            left = min(1.0, max(0.0, (settings.steps - step) / settings.decay_steps))
            return final + (1 - final) * left

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _kind(name: str, parameter: nn.Parameter, muon: bool) -> str:
    """Return ``matrix`` for what Muon steps; AdamW makes no such difference."""
    if name.endswith("bias"):
        return "bias"
    return "matrix" if muon and parameter.ndim > 1 and name.endswith("weight") else "weight"


def noise_correlation(utilization: Tensor, noise_db: Tensor) -> Tensor:
    """Return the correlation of utilization and noise level over clips; 0 where one of them is constant.

    Args:
        utilization: Mean utilization of each clip (clip,).
        noise_db: Noise level of each clip (clip,) in dB; clips without a finite one are left out.
    """
    known = noise_db.isfinite()
    pair = torch.stack([utilization[known], noise_db[known]])
    if pair.shape[1] < 2:
        return utilization.new_zeros(())
    return torch.corrcoef(pair)[0, 1].nan_to_num(0.0)


def _freeze_all_but(model: nn.Module, beginnings: Iterable[str]) -> None:
    """Freeze all weights whose names have other beginnings; a beginning ends with a part's name."""
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
