"""Report on an adaptation as a dict, and why it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from sese.adaptation import guard
from sese.adaptation.config import AdaptConfig
from sese.adaptation.distillation import Adaptation
from sese.adaptation.results import AdaptationFacts, GeneralLevel
from sese.adaptation.teacher import Teacher
from sese.nn.cost import macs_per_sample, parameters
from sese.nn.enhancer import Enhancer
from sese.nn.plan import alternatives, utilization
from sese.nn.policies.fixed import level_plans

TRAINING_COST = 3
"""MACs of a training step over those of the forward pass: the backward pass has twice as many."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of an adaptation behind the guard.

    Attributes:
        share: share of the way from the original's weights to the adapted ones.
        distances: SI-SDR of each level to its target on held-out pieces, in dB.
        general: result of `guard.compare`.
        harmed: rows of `general` that lose too much.
    """

    share: float
    distances: list[float]
    general: list[GeneralLevel]
    harmed: list[GeneralLevel]


def level_names(model: Enhancer) -> list[str]:
    """Return the names of levels, lowest first: their utilization; experts by number, from 1."""
    plans = level_plans(model)
    if alternatives(model.sites):
        return [str(number) for number in range(1, len(plans) + 1)]
    return [f"{float(utilization(plan, model.sites).mean()):g}" for plan in plans]


def report_of(adaptation: Adaptation, teacher: Teacher, outcome: Outcome) -> AdaptationFacts:
    """Return facts and figures of an adaptation that has ended."""
    student, material, progress = adaptation.student, adaptation.material, adaptation.progress
    config, chosen = adaptation.config, adaptation.levels
    rate, plans = student.sample_rate, level_plans(student)
    first = progress.history[0][1]
    heard = progress.step * config.batch_size * config.segment_seconds
    cost = [macs_per_sample(student, plan) * rate for plan in plans]
    minutes = [sum(span.samples for span in spans) / rate / 60 for spans in (material.learn, material.held)]
    per_second = sum(cost[level] for level in chosen) / len(chosen)
    return {
        "teacher": {"name": teacher.name, "macs_per_second": teacher.macs_per_second},
        "parameters": parameters(student),
        "recordings": {
            "files": len(material.noisy),
            "learn_minutes": minutes[0],
            "held_out_minutes": minutes[1],
        },
        "levels": [
            {
                "name": name,
                "utilization": round(float(utilization(plan, student.sites).mean()), 6),
                "adapted": level in chosen,
                "macs_per_second": cost[level],
                "before_db": first[level],
                "after_db": outcome.distances[level],
            }
            for level, (name, plan) in enumerate(zip(level_names(student), plans, strict=True))
        ],
        "share": outcome.share,
        "general": {
            "clips": guard.CLIPS,
            "tolerance_db": config.tolerance_db,
            "harmed": [row["level"] for row in outcome.harmed],
            "levels": outcome.general,
        },
        "cost": {
            "minutes": progress.seconds / 60,
            "steps": progress.step,
            "best_step": progress.best_step,
            "audio_minutes": heard / 60,
            "macs": TRAINING_COST * heard * per_second + sum(minutes) * 60 * teacher.macs_per_second,
        },
        "ended": progress.end,
    }


def refusal(report: AdaptationFacts, config: AdaptConfig) -> str:
    """Return why the adapted model is not to be written; empty where it may be."""
    learnt = [row for row in report["levels"] if row["adapted"]]
    gained = sum(row["after_db"] - row["before_db"] for row in learnt) / len(learnt)
    if not report["cost"]["best_step"] or not gained > 0:
        return (
            "no step came nearer to the teacher on the held-out recordings; "
            "give more recordings, or a lower learning_rate"
        )
    general = report["general"]
    lost = "; ".join(
        f"level {level['name']} from {row['before_db']:.2f} to {row['after_db']:.2f} dB "
        f"({row['change_db']['mean']:+.2f} dB, 95% {row['change_db']['low']:+.2f} to "
        f"{row['change_db']['high']:+.2f})"
        for level, row in zip(report["levels"], general["levels"], strict=True)
        if row["level"] in general["harmed"]
    )
    if not lost:
        return ""
    nearer = f", and even {guard.SHARES[-1]:.0%} of the way too much" if config.draw_back else ""
    return (
        f"it harms other voices and noises: SI-SDR on the general set falls by more than "
        f"{config.tolerance_db:g} dB, {lost}{nearer}; to accept this, add --resume and a higher --tolerance"
    )
