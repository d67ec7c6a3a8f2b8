"""The settings of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sese.core.checks import above_zero, at_least, inner_shares
from sese.core.errors import InputError
from sese.training.config_file import build, changed, read_values
from sese.training.losses import LOSSES


@dataclass(frozen=True)
class AdaptConfig:
    """Settings of an adaptation.

    Attributes:
        seed: seed of the choice of held-out recordings and of the order of segments.
        least_seconds: least length of all usable recordings together, in seconds.
        segment_seconds: length of a segment in seconds.
        held_out: share of the recordings that only tells when to stop.
        losses: name -> weight, of `sese.training.losses.LOSSES`, between student and teacher.
        batch_size: segments in a step.
        steps: largest number of steps.
        learning_rate: peak learning rate of Adam; a cosine falls to a tenth of it.
        warmup_steps: linear warm-up.
        clip_norm: gradients are scaled down to this norm.
        protect: share of the segments on which levels that are not adapted learn to stay as they are.
        validate_steps: the distance to the teacher on held-out recordings is measured so often.
        patience: number of measurements without a gain after which learning stops.
        tolerance_db: mean loss of SI-SDR on the bundled general set up to which an adaptation is accepted.
        draw_back: take only a part of the adaptation, between both weights, where all of it loses more.
        precision: ``bf16-mixed``, ``32-true``, or ``auto``: bfloat16 where the processor multiplies in it.
        threads: CPU threads of PyTorch; 0 leaves its choice.
    """

    seed: int = 0
    least_seconds: float = 20.0
    segment_seconds: float = 2.0
    held_out: float = 0.2
    losses: Mapping[str, float] = field(default_factory=lambda: {"si_sdr": 0.5, "sdr": 0.5})
    batch_size: int = 16
    steps: int = 400
    learning_rate: float = 1e-3
    warmup_steps: int = 10
    clip_norm: float = 5.0
    protect: float = 0.25
    validate_steps: int = 25
    patience: int = 4
    tolerance_db: float = 1.0
    draw_back: bool = True
    precision: Literal["auto", "bf16-mixed", "32-true"] = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        unknown = set(self.losses) - set(LOSSES)
        if unknown or not any(weight > 0 for weight in self.losses.values()):
            raise InputError(
                f"losses is {dict(self.losses)}; give one or more of {sorted(LOSSES)} a weight above 0"
            )
        at_least(self, 1, "", "batch_size", "steps", "validate_steps", "patience")
        at_least(self, 0, "", "seed", "tolerance_db", "threads", "warmup_steps")
        above_zero(self, "", "least_seconds", "segment_seconds", "learning_rate", "clip_norm")
        if not 0 <= self.protect < 1:
            raise InputError(f"protect is {self.protect}; use a share from 0 to below 1")
        inner_shares(self, "", "held_out")


def read(path: Path | None, overrides: Sequence[str] = (), **options: Any) -> AdaptConfig:
    """Read settings from a file; `key=value` overrides replace them, and options that are not None.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    values = changed({} if path is None else read_values(path), overrides)
    given = {name: value for name, value in options.items() if value is not None}
    return build(AdaptConfig, values | given, "")
