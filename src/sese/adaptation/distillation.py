"""Adaptation by distillation (Kim and Kim, WASPAA 2021): a student learns a teacher's outputs.

There is no clean speech in it. Levels that are not adapted share weights with those that are; they learn to
stay as they were on the same recordings. Experts share none: those that are not adapted stay of themselves.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sese.adaptation.config import AdaptConfig
from sese.adaptation.recordings import Span
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.nn.enhancer import Enhancer
from sese.nn.plan import alternatives
from sese.nn.policies.fixed import level_plans
from sese.nn.policies.sample import random_levels
from sese.training.loop import Training, run_steps, set_learning_rate
from sese.training.losses import require_length, si_sdr, total
from sese.training.schedule import half_cosine

PAUSE_DB = -20.0
"""Segments whose target is so much weaker than the mean have no speech to learn from."""

GRID_S = 0.125
LAST = "last.ckpt"


@dataclass(frozen=True)
class Material:
    """Recordings with their targets, all float32 [time] at the student's rate.

    Attributes:
        noisy: audio of each recording.
        targets: target of each recording, for each level of the student.
        learn, held: pieces to learn from, and pieces held out.
    """

    noisy: Sequence[Tensor]
    targets: Sequence[Sequence[Tensor]]
    learn: Sequence[Span]
    held: Sequence[Span]


@dataclass
class Progress:
    """Progress of an adaptation.

    Attributes:
        step: number of steps done.
        seconds: time that they took.
        best_step: number of steps behind the best weights.
        history: (step, SI-SDR in dB to the target for each level) on held-out pieces, from step 0 on.
        end: why it ended; empty while it goes on.
    """

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    history: list[tuple[int, list[float]]] = field(default_factory=list)
    end: str = ""


def segments(
    targets: Sequence[Tensor], spans: Sequence[Span], length: int, stride: int, mean_power: float
) -> list[tuple[int, int]]:
    """Return beginnings (recording, sample) of segments in spans whose target is more than a pause.

    Args:
        targets: [time] of each recording.
        spans: spans to cut from.
        length: length of a segment in samples.
        stride: between beginnings, in samples.
        mean_power: mean power of all targets.
    """
    found = []
    for span in spans:
        energy = targets[span.recording][span.begin : span.end].double().square().cumsum(0)
        energy = torch.cat([energy.new_zeros(1), energy])
        begins = torch.arange(0, max(0, span.samples - length + 1), stride)
        power = (energy[begins + length] - energy[begins]) / length
        loud = power > mean_power * 10 ** (PAUSE_DB / 10)
        found += [(span.recording, span.begin + int(begin)) for begin in begins[loud]]
    return found


class Adaptation(Training):
    """Training of a student.

    Args:
        student: its weights are changed; the best ones so far are in `best`.
        levels: levels that learn from the teacher; the others are protected.
        material: recordings and targets.
        config: settings.
        folder: folder of the checkpoint.
        identity: digest of the adaptation; a checkpoint of another one is not resumed.

    Raises:
        InputError: no piece holds a segment with speech.
    """

    def __init__(
        self,
        student: Enhancer,
        levels: Sequence[int],
        material: Material,
        config: AdaptConfig,
        folder: Path,
        identity: str,
    ):
        self.student, self.levels, self.material, self.config = student, tuple(levels), material, config
        self.folder, self.identity = folder, identity
        self.plans = level_plans(student)
        others = () if alternatives(student.sites) else range(len(self.plans))
        self.protected = [level for level in others if level not in self.levels]
        self.progress = Progress()
        self.best = copy.deepcopy(student.state_dict())
        self.length = round(config.segment_seconds * student.sample_rate)
        require_length("segment_seconds", config.segment_seconds, student.sample_rate)
        lead = material.targets[self.levels[0]]
        power = float(torch.cat([each.double().square() for each in lead]).mean())
        stride = max(1, round(GRID_S * student.sample_rate))
        self.learn = segments(lead, material.learn, self.length, stride, power)
        self.held = segments(lead, material.held, self.length, self.length, power)
        if not self.learn or not self.held:
            raise InputError(
                f"no piece of the recordings has {config.segment_seconds:g} s with speech in it to "
                f"{'learn from' if not self.learn else 'hold out'}; give longer recordings"
            )
        student.requires_grad_(True)
        if student.policy is not None:
            student.policy.requires_grad_(False)  # what it hears does not change
        self.weights = [weight for weight in student.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.Adam(self.weights, lr=config.learning_rate)

    def run(self, tell: Callable[[Progress], None], max_minutes: float | None = None) -> Progress:
        """Learn until the held-out pieces no longer gain, the steps are done, or time is up.

        A checkpoint is written at every measurement.

        Args:
            tell: function that is called with every measurement.
            max_minutes: time limit in minutes, that before a stop included; None for no limit.
        """
        progress, config = self.progress, self.config
        self.tell, self.limit = tell, math.inf if max_minutes is None else 60 * max_minutes
        self.began = time.monotonic() - progress.seconds
        if not progress.history:
            self.checkpoint(progress.step, late=False)
        left = None if max_minutes is None else max_minutes - progress.seconds / 60
        run_steps(self, progress.step, config.steps, config.validate_steps, left)
        progress.end = self._end() or "time was up"
        return progress

    def step(self, number: int) -> None:
        """Learn from one batch."""
        self._learn(number)
        self.progress.step = number + 1
        self.progress.seconds = time.monotonic() - self.began

    def checkpoint(self, done: int, late: bool) -> None:
        """Measure, keep the best weights, write the checkpoint and tell."""
        self._note()
        self.tell(self.progress)

    def finished(self) -> bool:
        """Return whether the held-out pieces no longer gain, or time is up."""
        return bool(self._end())

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises:
            InputError: there is none, it is damaged, or it belongs to another adaptation.
        """
        path = self.folder / LAST
        try:
            saved = torch.load(path, weights_only=True, map_location=self.weights[0].device)
            if saved["identity"] != self.identity:
                raise InputError(
                    f"{path} is of an adaptation with another model, teacher, settings or recordings; "
                    "start anew with --force"
                )
            self.student.load_state_dict(saved["weights"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.best, self.progress = saved["best"], Progress(**saved["progress"])
        except FileNotFoundError:
            raise InputError(f"{path} does not exist; leave --resume out to start") from None
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path} is damaged ({error!r:.100}); start anew with --force") from None

    def _end(self) -> str:
        """Return why the adaptation ends here; empty while it goes on."""
        progress = self.progress
        measured = [step for step, _ in progress.history if step > progress.best_step]
        if progress.step >= self.config.steps:
            return "all steps done"
        if len(measured) >= self.config.patience:
            return "no more gain on the held-out recordings"
        return "time was up" if progress.seconds >= self.limit else ""

    def _learn(self, step: int) -> None:
        """Update the weights; seed and step alone choose the segments, so that runs can be resumed."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        picks = torch.randint(len(self.learn), (config.batch_size,), generator=generator).tolist()
        chosen = [self.learn[pick] for pick in picks]
        protect = config.protect if self.protected else 0.0
        shares = [0.0] * len(self.plans)
        for levels, share in ((self.levels, 1 - protect), (self.protected, protect)):
            for level in levels:
                shares[level] = share / len(levels)
        dealt = random_levels(config.batch_size, shares, generator).tolist()
        self.student.train()
        for module in self.student.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # statistics of one user are no statistics
        set_learning_rate(self.optimizer, config.learning_rate * self._factor(step))
        self.optimizer.zero_grad(set_to_none=True)
        for level in sorted(set(dealt)):
            rows = [place for place, own in zip(chosen, dealt, strict=True) if own == level]
            noisy, target = (
                self._cut(self.material.noisy, rows),
                self._cut(self.material.targets[level], rows),
            )
            with torch.autocast(noisy.device.type, torch.bfloat16, enabled=self._mixed(noisy.device)):
                made = self.student.enhance_clip(noisy.unsqueeze(1), self.plans[level]).squeeze(1)
            losses = total(made.float(), target, noisy, config.losses)
            (torch.stack(list(losses.values())).sum() * len(rows) / len(dealt)).backward()
        norm = nn.utils.clip_grad_norm_(self.weights, config.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()

    def _factor(self, step: int) -> float:
        if step < self.config.warmup_steps:
            return (step + 1) / self.config.warmup_steps
        return 0.1 + 0.9 * half_cosine(step / self.config.steps)

    def _mixed(self, device: torch.device) -> bool:
        if self.config.precision != "auto":
            return self.config.precision == "bf16-mixed"
        if device.type == "cuda":
            return torch.cuda.is_bf16_supported()
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())

    def _cut(self, signals: Sequence[Tensor], places: Sequence[tuple[int, int]]) -> Tensor:
        return torch.stack([signals[number][begin : begin + self.length] for number, begin in places])

    @torch.no_grad()
    def measure(self) -> list[float]:
        """Return the SI-SDR in dB of each level to its target on the held-out pieces."""
        self.student.eval()
        means = []
        for level, plan in enumerate(self.plans):
            values = []
            for first in range(0, len(self.held), 16):
                rows = self.held[first : first + 16]
                made = self.student.enhance_clip(self._cut(self.material.noisy, rows).unsqueeze(1), plan)
                target = self._cut(self.material.targets[level], rows)
                values.append(si_sdr(made.squeeze(1), target).clamp(max=60.0))
            means.append(float(torch.cat(values).mean()))
        return means

    def score(self, means: Sequence[float]) -> float:
        """Return the mean of the levels that learn."""
        return sum(means[level] for level in self.levels) / len(self.levels)

    def _note(self) -> None:
        """Measure, keep the best weights, write the checkpoint."""
        progress, means = self.progress, self.measure()
        best = max((self.score(row) for _, row in progress.history), default=-math.inf)
        progress.history.append((progress.step, means))
        if self.score(means) > best or not progress.step:
            progress.best_step = progress.step
            self.best = copy.deepcopy(self.student.state_dict())
        self._save()

    def _save(self) -> None:
        saved: Mapping[str, Any] = {
            "identity": self.identity,
            "weights": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "progress": vars(self.progress),
        }
        with replacing(self.folder / LAST) as part:
            torch.save(saved, part)
