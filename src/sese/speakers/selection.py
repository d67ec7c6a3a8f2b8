"""Compare who picks an input's expert: the gate, an autoencoder's error, an oracle, or chance.

Everything is told by the input alone. Improvements are of SI-SDR in dB over the noisy input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.core.tables import table, with_interval
from sese.evaluation.metrics import si_sdr
from sese.evaluation.pairs import SAMPLE_RATE, Pair, find_pairs, read_pair
from sese.evaluation.summary import bootstrap_mean
from sese.nn import checkpoint
from sese.nn.cost import macs_per_sample, parameters, parameters_used
from sese.nn.enhancer import Enhancer
from sese.nn.policies.fixed import level_plans
from sese.runtime.weights_folder import weights_folder
from sese.speakers.autoencoder import SpeechAutoencoder, errors

GATE, GATE_ONCE, AUTOENCODER = "gate", "gate, once", "autoencoder"
ORACLE, CHANCE, ONE = "oracle", "chance", "one for all"


@dataclass(frozen=True)
class Contest:
    """Models to compare.

    Attributes:
        model: experts, with or without a gate.
        beside: other models by name, each run whole, as a generalist is.
        autoencoder: autoencoder of clean speech; None leaves it out.
        seconds: length of an input's beginning, in seconds, by which those who pick once decide.
    """

    model: Enhancer
    beside: Mapping[str, Enhancer]
    autoencoder: SpeechAutoencoder | None = None
    seconds: float = 2.0


def load_model(folder: Path) -> Enhancer:
    """Load the network of a model folder, or of a run's best.

    Raises:
        InputError: none there, or one of another rate.
    """
    model = checkpoint.load(weights_folder(folder))
    if model.sample_rate != SAMPLE_RATE:
        raise InputError(f"{folder} runs at {model.sample_rate} Hz; pairs are scored at {SAMPLE_RATE}")
    return model


def compare(contest: Contest, folders: Sequence[Path], limit: int | None = None) -> dict[str, Any]:
    """Enhance pairs with every expert and with what lies beside, and score who picks.

    Args:
        contest: the models to compare.
        folders: folders with clean/ and noisy/. Several, such as one a user, are the unit of the intervals;
            of a single one the files are.
        limit: take this many files of each.

    Returns:
        `rows`, one a file, `summary` by name, `costs` by name, `seconds`, `experts`, `unit`.

    Raises:
        InputError: a model without experts, or a folder that cannot be used.
    """
    if len(level_plans(contest.model)) < 2 or contest.model.sites[0].kind != "one_hot":
        raise InputError("the model has no experts to pick from; give one of local_experts with 2 or more")
    if not contest.seconds > 0:
        raise InputError(f"--seconds is {contest.seconds}; give a number above 0")
    rows = [
        {"folder": str(folder), "file": pair.name, **scores(contest, pair)}
        for folder in folders
        for pair in find_pairs(folder, limit)
    ]
    experts = np.array([row["experts"] for row in rows])
    best = int(_over_folders(rows, experts).mean(0).argmax())
    for row in rows:
        row["picked"][ONE] = best
        row["scores"][ONE] = row["experts"][best]
    return {
        "rows": rows,
        "experts": experts.shape[1],
        "seconds": contest.seconds,
        "unit": "folders" if len(folders) > 1 else "files",
        "summary": summarize(rows, list(contest.beside)),
        "costs": costs(contest),
    }


@torch.no_grad()
def scores(contest: Contest, pair: Pair) -> dict[str, Any]:
    """Score one file: `experts`, `scores` by name, and `picked`, the expert by who chose it."""
    model = contest.model
    clean, noisy = read_pair(pair)
    audio = torch.from_numpy(np.ascontiguousarray(noisy, np.float32))[None, None]
    before = si_sdr(clean, noisy)

    def improvement(output: Tensor) -> float:
        return si_sdr(clean, output[0, 0].float().numpy()) - before

    outputs = [model.enhance_clip(audio, plan) for plan in level_plans(model)]
    own = [improvement(output) for output in outputs]
    picked = {ORACLE: int(np.argmax(own))}
    named: dict[str, float] = {CHANCE: float(np.mean(own))}
    if model.policy is not None:
        named[GATE] = improvement(model.enhance_clip(audio))
        heard = model.score(audio[..., : round(contest.seconds * SAMPLE_RATE)])
        picked[GATE_ONCE] = int(heard[0, -1].argmax())
    if contest.autoencoder is not None:
        came_back = errors(contest.autoencoder, [output[:, 0] for output in outputs], contest.seconds)
        picked[AUTOENCODER] = int(came_back[0].argmin())
    named |= {name: own[expert] for name, expert in picked.items()}
    named |= {name: improvement(other.enhance_clip(audio)) for name, other in contest.beside.items()}
    return {"noisy_si_sdr": before, "experts": own, "scores": named, "picked": picked}


def summarize(rows: Sequence[Mapping[str, Any]], beside: Sequence[str]) -> dict[str, Any]:
    """Return mean improvements with intervals, differences, and how often the oracle agrees.

    Returns:
        By name `improvement` (of `bootstrap_mean`), `gain` over the first of `beside`, `over_chance`, and
        `as_oracle`, the share of the files, None where nobody picked once.
    """
    result = {}
    for name in rows[0]["scores"]:
        own = np.array([row["scores"][name] for row in rows])
        agreed = [row["picked"][name] == row["picked"][ORACLE] for row in rows if name in row["picked"]]
        against = {"gain": beside[0] if beside else None, "over_chance": CHANCE}
        result[name] = {
            "improvement": bootstrap_mean(_over_folders(rows, own)),
            "as_oracle": float(np.mean(agreed)) if agreed else None,
        } | {
            key: bootstrap_mean(_over_folders(rows, own - np.array([row["scores"][other] for row in rows])))
            if other
            else None
            for key, other in against.items()
        }
    return result


def costs(contest: Contest) -> dict[str, dict[str, float]]:
    """Return MMAC/s, weights that an input touches, and weights that are stored, by name.

    The gate counts with its weights. An autoencoder runs with every expert in the first seconds, and what
    that costs is in `first_mmacs_per_second`.
    """

    def mmacs(model: Enhancer, plan: Any) -> float:
        return macs_per_sample(model, plan) * model.sample_rate / 1e6

    model = contest.model
    plans = level_plans(model)
    gate = (0.0, 0)
    if model.policy is not None:
        gate = model.policy.macs() * model.sample_rate / model.hop_length / 1e6, parameters(model.policy)
    one = mmacs(model, plans[0])
    active = parameters_used(model, 1) - gate[1]
    stored = parameters(model)
    found = {ONE: {"mmacs_per_second": one, "active": active, "stored": active}}
    if model.policy is not None:
        found[GATE] = {"mmacs_per_second": one + gate[0], "active": active + gate[1], "stored": stored}
    if contest.autoencoder is not None:
        net = contest.autoencoder
        judge = net.macs() * net.config.sample_rate / net.config.hop_length / 1e6
        found[AUTOENCODER] = {
            "mmacs_per_second": one,
            "first_mmacs_per_second": len(plans) * (one + judge),
            "active": active,
            "stored": stored - gate[1] + parameters(net),
        }
    for name, other in contest.beside.items():
        number = parameters(other)
        plan = level_plans(other)[-1]
        found[name] = {"mmacs_per_second": mmacs(other, plan), "active": number, "stored": number}
    return found


def to_markdown(result: Mapping[str, Any]) -> str:
    """Return two tables: improvements, and costs."""
    header = ["picked by", "SI-SDR improvement, dB", "over the first beside", "over chance", "as the oracle"]
    lines = [
        [
            name,
            with_interval(values["improvement"], 2),
            with_interval(values["gain"], 2, sign=True) if values["gain"] and values["gain"]["mean"] else "",
            with_interval(values["over_chance"], 2, sign=True) if name != CHANCE else "",
            "" if values["as_oracle"] is None else f"{100 * values['as_oracle']:.0f}%",
        ]
        for name, values in result["summary"].items()
    ]
    cost_lines = [
        [
            name,
            f"{values['mmacs_per_second']:.1f}",
            f"{values['first_mmacs_per_second']:.1f}" if "first_mmacs_per_second" in values else "",
            f"{values['active']:,.0f}",
            f"{values['stored']:,.0f}",
        ]
        for name, values in result["costs"].items()
    ]
    count = len(result["rows"])
    text = [
        f"{result['experts']} experts, {count} files; intervals: 95% bootstrap over {result['unit']}; "
        f"who picks once hears the first {result['seconds']:g} s.",
        "",
        *table(header, lines),
        "",
        *table(
            ["", "MMAC/s", f"in the first {result['seconds']:g} s", "active weights", "stored"], cost_lines
        ),
    ]
    return "\n".join(text) + "\n"


def _over_folders(rows: Sequence[Mapping[str, Any]], values: np.ndarray) -> np.ndarray:
    """Return means of [file, ...] over the files of each folder; all files where there is one folder."""
    names = [row["folder"] for row in rows]
    unique = sorted(set(names))
    if len(unique) == 1:
        return values
    return np.stack([values[[name == folder for name in names]].mean(0) for folder in unique])
