"""Predictors against PESQ on clips of other speakers and noises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sese.core.errors import InputError
from sese.core.tables import NOTHING, table, with_interval
from sese.evaluation import plots
from sese.predictor import packed
from sese.quality import network as networks
from sese.quality.clips import of_pairs, spectrograms
from sese.quality.config import QualityConfig, read
from sese.quality.exporting import packed_of
from sese.quality.network import with_rounded_weights
from sese.quality.scores import INTERVAL, measure
from sese.quality.sources import ENHANCED
from sese.quality.training import predict
from sese.runtime.weights_folder import weights_folder
from sese.training.run_folder import RESOLVED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare(data: Path, runs: Sequence[Path], limit: int | None = None, jobs: int = 1) -> dict[str, Any]:
    """Predict every clip of a folder of pairs with every run.

    Args:
        data: folder of pairs; see `sese.quality.clips.of_pairs`.
        runs: run folders; differences are to the first, as it is.
        limit: pairs to take.
        jobs: processes that make clips.

    Returns:
        A plain dict: `rows` (a predictor each: `name`, `bits` of its weights, the measures over `all` clips,
        `noisy` and `enhanced` ones where there are any, each with intervals, and the `difference` to the
        first), `predicted` and `pesq` of each clip, and what was run.

    Raises:
        InputError: no such run, runs of other clips than the first, no pairs, or none that PESQ can score.
    """
    configs = [config_of(run) for run in runs]
    first = configs[0]
    for run, config in zip(runs, configs, strict=True):
        if config.network.samples != first.network.samples:
            raise InputError(f"{run} predicts clips of another length than {runs[0]}; compare them apart")
    samples, models = first.network.samples, first.data.models
    clips = of_pairs(data, samples, models, limit, first.data.cache_dir, jobs)
    scored = np.flatnonzero(np.isfinite(clips.labels["pesq"]))
    if not len(scored):
        raise InputError(f"{data}: none of {len(clips)} clips has a PESQ; give pairs with speech in them")
    labels = clips.labels[scored]
    rows: list[dict[str, Any]] = []
    kept: dict[str, list[float]] = {}
    baseline: NDArray | None = None
    for run, config in zip(runs, configs, strict=True):
        same = [other.name for other in configs].count(config.name) > 1
        name = str(run) if same else config.name
        mel = torch.from_numpy(spectrograms(clips, config.network)[scored])
        for bits, function in _predictors(run, config):
            made = function(mel)
            row = {
                "run": str(run),
                "name": name,
                "activation": config.network.activation,
                "bits": bits,
                "all": measure(made, labels["pesq"], labels["speaker"]),
            }
            for side, chosen in (
                ("noisy", labels["made"] != ENHANCED),
                ("enhanced", labels["made"] == ENHANCED),
            ):
                part = labels[chosen]
                if len(part):
                    row[side] = measure(made[chosen], part["pesq"], part["speaker"])
            if baseline is None:
                baseline = made
            else:
                row["difference"] = measure(made, labels["pesq"], labels["speaker"], baseline)
            rows.append(row)
            kept[f"{name}, {bits} bits"] = made.tolist()
    return {
        "data": str(data),
        "models": list(models),
        "clips": len(scored),
        "without_pesq": len(clips) - len(scored),
        "speakers": len(set(labels["speaker"].tolist())),
        "interval": INTERVAL,
        "rows": rows,
        "pesq": labels["pesq"].tolist(),
        "enhanced": (labels["made"] == ENHANCED).tolist(),
        "predicted": kept,
    }


def config_of(run: Path) -> QualityConfig:
    """Read the configuration of a run.

    Raises:
        InputError: it is none.
    """
    if not (run / RESOLVED).is_file():
        raise InputError(f"{run} is no run of `sese quality train`: it has no {RESOLVED}")
    return read(run / RESOLVED)


def _predictors(
    run: Path, config: QualityConfig
) -> list[tuple[int, Callable[[Tensor], NDArray[np.float64]]]]:
    """Return (bits of weights, function from spectrograms to scores [clip]) for a run's best network."""
    network = networks.load(weights_folder(run))
    float_ = _clipped(network)
    if config.network.activation == "relu":
        return [(32, float_), (8, _clipped(with_rounded_weights(network)))]
    small = packed_of(network)
    return [
        (32, float_),
        (8, lambda mel: np.array([packed.predict(small, clip.float().numpy()) for clip in mel])),
    ]


def _clipped(network: networks.QualityNetwork) -> Callable[[Tensor], NDArray[np.float64]]:
    return lambda mel: predict(network, mel).double().clamp(packed.LEAST, packed.MOST).numpy()


def to_markdown(result: dict[str, Any]) -> str:
    """Return a table with a row for each predictor, and one of differences to the first."""
    columns = ("MSE", "Pearson", "Spearman", "Pearson, noisy", "Pearson, enhanced")
    header = ["network", "weights", *columns]
    lines = table(
        header,
        [
            [
                row["name"],
                f"{row['bits']} bits",
                *(_cell(row["all"][name]) for name in ("mse", "pearson", "spearman")),
                *(_cell(row[side]["pearson"]) if side in row else NOTHING for side in ("noisy", "enhanced")),
            ]
            for row in result["rows"]
        ],
    )
    lines += ["", f"Differences to {result['rows'][0]['name']}, 32 bits:", ""]
    lines += table(
        ["network", "weights", *columns[:3]],
        [
            [row["name"], f"{row['bits']} bits", *(_cell(row["difference"][n]) for n in row["difference"])]
            for row in result["rows"][1:]
        ],
    )
    lines += [
        "",
        f"{result['clips']} clips of {result['speakers']} speakers: noisy"
        + (f", and at each level of {', '.join(result['models'])}" if result["models"] else "")
        + f"; {result['without_pesq']} have no PESQ. In brackets: {result['interval']}.",
    ]
    return "\n".join(lines) + "\n"


def _cell(value: Mapping[str, float]) -> str:
    return with_interval(value, 3, of="value")


def to_figure(result: dict[str, Any]) -> Figure:
    """Plot predicted over true PESQ, a panel for each predictor."""
    names = list(result["predicted"])
    sheet, panels = plots.make_panels(len(names), 2.7)
    true, enhanced = np.array(result["pesq"]), np.array(result["enhanced"])
    for panel, name in zip(panels, names, strict=True):
        made = np.array(result["predicted"][name])
        for label, chosen, color in (("noisy", ~enhanced, "#c8391f"), ("enhanced", enhanced, "#1f5fa8")):
            if not chosen.any():
                continue
            panel.plot(true[chosen], made[chosen], ".", markersize=2.5, alpha=0.4, color=color, label=label)
        panel.plot([1, 4.65], [1, 4.65], color="#999", linewidth=0.8)
        panel.set(title=name, xlabel="PESQ", ylabel="predicted", xlim=(0.95, 4.7), ylim=(0.95, 4.7))
    return plots.legend_below(sheet, panels)
