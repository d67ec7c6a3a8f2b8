"""Verdicts on the claims of Adaptive Slimming, by the rules that were written before the runs.

The rules are those of docs/results/adaptive_slimming.md, "The claims at 60 audio-hours". A claim whose runs
are not all there waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from scipy import stats

from claims_evidence import CHANGED, Evidence, because, numbers, side, steady, step
from claims_tables import (
    ALONE,
    BACKBONE,
    CHANGES,
    DIGITS,
    INPUT,
    ROUTER,
    SHARES,
    USED,
    Row,
    columns,
    differences,
    gains_above,
    level_rows,
    levels_alone,
    over_files,
    routers,
)
from sese.core.tables import with_interval
from sese.evaluation.headings import HEADINGS

SWEEP = "demucs_60h"
"""Name of the sweep that the rules are about."""

MARGINS = {"pesq_wb": 0.02, "stoi": 0.0012, "si_sdr": 0.12, "dnsmos_p808": 0.01}
"""Column of scores -> difference that counts as none."""

BOTH = ("pesq_wb", "si_sdr")
"""Columns of scores that decide (b) and (e)."""

LOWEST, MIDDLE, ROUTED = "joint-0.1", "joint-0.25", "router-0.25"
TARGETS = (LOWEST, MIDDLE, "joint-0.5")
QUARTER = f"{ALONE}0.25"

REACHED, MISSED = 0.20, 0.25
"""Utilization at target 0.1 at which (b) can hold, and at which it does not."""

TARGET = 0.25
"""Target of the runs of (d)."""

BETAS = ("beta-0.0", MIDDLE, "beta-5.0")
GAMMAS = ("gamma-0.0", MIDDLE, "gamma-1.0")

NEARER, EVENER = 0.02, 0.05
"""Margins of (d): of the distance to the target, and of `evenness`."""

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"

Verdict = tuple[str, str]
"""Verdict, and the figures that it rests on."""


def decide(evidence: Evidence) -> list[dict[str, str]]:
    """Return a line for each claim: verdict, and what was found."""
    statics = [f"{ALONE}{used:g}" for used in evidence.levels]
    row = next(iter(next(iter(next(iter(evidence.runs.values())).values())).values()))
    seed = list(evidence.planned[BETAS[0]])[:1]
    lines = []

    def add(claim: str, names: Sequence[str], rule: Callable[[], Verdict], seeds: Sequence[str] = ()) -> None:
        missing = evidence.missing(names, seeds)
        verdict, found = (f"waiting for {', '.join(missing)}", "") if missing else rule()
        lines.append({"claim": claim, "verdict": verdict, "found": found})

    for against, names in (("the backbone's levels", [BACKBONE]), ("levels trained alone", statics)):
        for metric in (name for name in MARGINS if name in columns(row)):
            claim = f"a, {HEADINGS[metric][0]}, against {against}"
            add(claim, [*TARGETS, *names], partial(front, evidence, metric, names))
    for against, name in (("the backbone", BACKBONE), ("a network trained alone", QUARTER)):
        claim = f"b, against UF 0.25 of {against}"
        add(claim, [LOWEST, name], partial(quarter, evidence, name))
    add("c", TARGETS, partial(noisier, evidence))
    add("d, beta", BETAS, partial(pull, evidence, seed[0]), seed)
    add("d, gamma", GAMMAS, partial(spread_levels, evidence, seed[0]), seed)
    add("e", [MIDDLE, ROUTED, BACKBONE], partial(joint_or_router, evidence))
    return lines


def front(evidence: Evidence, metric: str, names: Sequence[str]) -> Verdict:
    """Decide (a): joint training is on or above the line through static levels at equal MACs.

    Args:
        evidence: Scores and validations of the runs.
        metric: Column of scores.
        names: Names of the runs with the static levels.
    """
    slimmable = list(names) == [BACKBONE]
    static = evidence.runs[BACKBONE] if slimmable else levels_alone(evidence.runs, names)
    levels = evidence.backbone if slimmable else evidence.alone
    margin, ahead, texts = [], [], []
    for name in TARGETS:
        gains = gains_above(routers(evidence.runs)[name], static, metric)
        validated = None
        if metric == "si_sdr":
            validated = evidence.last_two([name, *names], partial(evidence.gain, name, levels))
        sign, text = side(gains, -MARGINS[metric], DIGITS[metric], validated)
        margin.append(sign)
        ahead.append(side(gains, 0, DIGITS[metric], validated)[0])
        texts.append(f"{name} {text}")
    if min(margin) < 0:
        return FAILS, "; ".join(texts)
    if min(margin) > 0:
        return HOLDS + (", above the front" if min(ahead) > 0 else ""), "; ".join(texts)
    return OPEN, "; ".join(texts)


def quarter(evidence: Evidence, against: str) -> Verdict:
    """Decide (b): joint training at target 0.1 is as good as UF 0.25, with fewer MACs.

    Args:
        evidence: Scores and validations of the runs.
        against: Name of the run that has UF 0.25.
    """
    dynamic, static = routers(evidence.runs)[LOWEST], level_rows(evidence.runs[against], "1")

    def gain(seed: str, back: int) -> float:
        static = evidence.value(against, "si_sdr/1", seed, back)
        return evidence.value(LOWEST, "si_sdr/routed", seed, back) - static

    signs, texts = [], []
    for metric in BOTH:
        validated = evidence.last_two([LOWEST, against], gain) if metric == "si_sdr" else None
        gains = differences(dynamic, static, metric)
        sign, text = side(gains, -MARGINS[metric], DIGITS[metric], validated)
        signs.append(sign)
        texts.append(f"{HEADINGS[metric][0]} {text}")
    used = [float(np.mean(row[USED])) for row in dynamic.values()]
    later = evidence.last_two([LOWEST], partial(evidence.value, LOWEST, USED))
    texts.append(f"utilization {numbers(used, 3)}")
    if min(signs) < 0 or (min(used) >= MISSED and steady(later, MISSED)):
        return FAILS, "; ".join(texts)
    reached = max(used) <= REACHED and steady(later, REACHED)
    return (HOLDS if reached and min(signs) > 0 else OPEN), "; ".join(texts)


def noisier(evidence: Evidence) -> Verdict:
    """Decide (c): noisier inputs get more compute."""
    less, more, texts = [], [], []
    for name in TARGETS:
        rows = routers(evidence.runs)[name]
        found = [stats.pearsonr(row[INPUT], row[USED]) for row in rows.values()]
        later = evidence.last_two([name], partial(evidence.value, name, "noise_correlation"))
        signs = [
            float(np.sign(each.statistic)) if each.pvalue < 0.05 and steady(later, 0) else 0.0
            for each in found
        ]
        changes = {seed: np.subtract(*np.transpose(row[CHANGES])[::-1]) for seed, row in rows.items()}
        change, text = side(changes, 0, 4)
        less.append(max(signs) < 0 and change < 0)
        more.append(min(signs) > 0 or change > 0)
        correlations = numbers([each.statistic for each in found], 2, "+")
        reason = because("" if steady(later, 0) else CHANGED)
        texts.append(f"{name}: correlation {correlations}{reason}, change {text}")
    verdict = HOLDS if all(less) else FAILS if sum(more) >= 2 else OPEN
    return verdict, "; ".join(texts)


def pull(evidence: Evidence, seed: str) -> Verdict:
    """Decide (d) for beta: it pulls the mean utilization to the target."""

    def distance(row: Row, files: np.ndarray) -> float:
        return abs(float(np.mean(np.array(row[USED])[files])) - TARGET)

    rows = [evidence.runs[name][seed][ROUTER] for name in BETAS]
    curves = [evidence.curves[name][seed] for name in BETAS]
    falls, before = [], []
    for (one, other), (first, second) in zip(pairwise(rows), pairwise(curves), strict=True):
        falls.append(step(other, one, distance))
        both = min(len(first), len(second)) >= 2
        before.append(
            [abs(first[n][USED] - TARGET) - abs(second[n][USED] - TARGET) for n in ((-2, -1) if both else ())]
        )
    used = numbers([float(np.mean(row[USED])) for row in rows], 3)
    nearer = ", ".join(with_interval(each, 3, sign=True) for each in falls)
    text = f"utilization {used}; nearer to the target by {nearer}"
    start, end = falls
    if (start["high"] < 0 and steady(before[0], 0)) or (end["high"] < -NEARER and steady(before[1], -NEARER)):
        return FAILS, text
    pulled = start["low"] > NEARER and steady(before[0], NEARER)
    kept = end["low"] > -NEARER and steady(before[1], -NEARER)
    return (HOLDS if pulled and kept else OPEN), text


def spread_levels(evidence: Evidence, seed: str) -> Verdict:
    """Decide (d) for gamma: it spreads the frames over the levels."""

    def measure(row: Row, files: np.ndarray) -> float:
        return evenness(np.array(row[SHARES])[files].mean(axis=0))

    rows = [evidence.runs[name][seed][ROUTER] for name in GAMMAS]
    rises = [step(one, other, measure) for one, other in pairwise(rows)]
    found = numbers([measure(row, np.arange(len(row[USED]))) for row in rows], 2)
    text = f"evenness {found}; more by " + ", ".join(with_interval(each, 2, sign=True) for each in rises)
    if any(each["high"] < 0 for each in rises):
        return FAILS, text
    return (HOLDS if all(each["low"] > EVENER for each in rises) else OPEN), text


def evenness(shares: np.ndarray) -> float:
    """Return the entropy of the shares of levels (level,) over the highest possible: 0 one level, 1 even."""
    used = shares[shares > 0]
    return float(-np.sum(used * np.log(used)) / np.log(len(shares)))


def joint_or_router(evidence: Evidence) -> Verdict:
    """Decide (e): joint training gains more than a router on the frozen backbone."""
    backbone = evidence.runs[BACKBONE]

    def lead(seed: str, back: int) -> float:
        # The router was trained over the last weights of the backbone.
        router = evidence.gain(ROUTED, lambda seed, _: evidence.backbone(seed, -1), seed, back)
        return evidence.gain(MIDDLE, evidence.backbone, seed, back) - router

    signs, texts = [], []
    for metric in BOTH:
        ours, others = (
            gains_above(routers(evidence.runs)[name], backbone, metric) for name in (MIDDLE, ROUTED)
        )
        joint, router = over_files(ours), over_files(others)
        sign = int(joint["low"] > router["high"]) - int(joint["high"] < router["low"])
        reason = "" if sign else "the intervals overlap"
        leads = [float(np.nanmean(ours[seed]) - np.nanmean(others[seed])) for seed in ours]
        if sign and any(sign * each <= 0 for each in leads):
            sign, reason = 0, "the seeds disagree"
        later = evidence.last_two([MIDDLE, ROUTED, BACKBONE], lead)
        if sign and metric == "si_sdr" and not steady(later, 0):
            sign, reason = 0, CHANGED
        signs.append(sign)
        shown = [with_interval(each, DIGITS[metric], sign=True) for each in (joint, router)]
        heading = HEADINGS[metric][0]
        seeds = numbers(leads, DIGITS[metric], "+")
        texts.append(f"{heading}: joint {shown[0]}, router {shown[1]}, lead [{seeds}]{because(reason)}")
    verdict = FAILS if min(signs) < 0 else HOLDS if min(signs) > 0 else OPEN
    return verdict, "; ".join(texts)
