"""Compare experts with generalists of all sizes: quality, compute, stored weights, and decisions of the gate.

    python benchmarks/experts.py TEST_SET EVALUATION... [--table sex.csv] [-o FOLDER]

TEST_SET is a folder written by `sese data mix`. Each EVALUATION is a report of `sese evaluate` (option -o) of
a model on it, with SI-SDR. A model of experts has a row for its gate frame by frame, for the choice of its
gate after a whole clip, for the right expert, and for the expert with the best score. The right expert is
that of the class of the clip in the table, if the table has as many classes as the model has experts, else
that of the nearest published SNR. Differences are paired by clip, with bootstrap intervals. Times are those
of one frame per call in one thread, with the models in turn.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from sese.audio.files import FORMAT_OF
from sese.core.tables import shown, table, with_interval
from sese.evaluation.pareto import read_evaluation
from sese.evaluation.summary import bootstrap_mean
from sese.evaluation.timing import noisy_speech, time_frames
from sese.nn import checkpoint
from sese.runtime.artefact import open_artefact
from sese.runtime.card import Card
from sese.runtime.enhancer import Enhancer
from sese.training.methods.experts import nearest, read_classes

SNR_DB = (-5.0, 0.0, 5.0, 10.0)
METRICS = {"si_sdr": ("SI-SDRi, dB", 2), "pesq_wb": ("PESQ", 3), "estoi": ("ESTOI", 3)}
ROUNDS = 2000


@dataclass(frozen=True)
class Row:
    """Scores [clip] by metric of one way to run a model, and their cost."""

    model: str
    way: str
    macs: float
    active: int
    stored: int
    scores: dict[str, np.ndarray]
    milliseconds: float | None = None


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("test_set", type=Path)
    parser.add_argument("evaluations", nargs="+")
    parser.add_argument("--table", type=Path, help="CSV with the columns speaker and class")
    parser.add_argument("-o", "--out-dir", type=Path, help="folder for experts.md and experts.json")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="frames timed of each model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with (options.test_set / "manifest.csv").open(newline="") as lines:
        manifest = {Path(row["file"]).stem: row for row in csv.DictReader(lines)}
    results = [read_evaluation(evaluation) for evaluation in options.evaluations]
    times = _times([result["model"] for result in results], options.rounds)
    rows: list[Row] = []
    gates: list[list[str]] = []
    for result in results:
        made, gate = _rows(result, manifest, options.test_set, options.table, times)
        rows += made
        gates += gate
    noisy = _scores(results[0], "noisy")
    lines = [*_table(rows, noisy), "", *_differences(rows)]
    if gates:
        lines += [
            "",
            *table(["model", "right class", "as the best score", "frames that change expert"], gates),
        ]
    print("\n".join(lines))
    if options.out_dir is not None:
        options.out_dir.mkdir(parents=True, exist_ok=True)
        (options.out_dir / "experts.md").write_text("\n".join(lines) + "\n")
        facts = [
            {"model": row.model, "way": row.way, "macs_per_second": row.macs, "active": row.active}
            | {"stored": row.stored, "frame_ms": row.milliseconds}
            | {name: bootstrap_mean(values) for name, values in row.scores.items()}
            for row in rows
        ]
        (options.out_dir / "experts.json").write_text(json.dumps(facts, indent=1))


def _rows(
    result: dict[str, Any],
    manifest: dict[str, dict[str, str]],
    test_set: Path,
    classes: Path | None,
    times: dict[tuple[str, str], float],
) -> tuple[list[Row], list[list[str]]]:
    """Return the rows of a model, and a line about its gate."""
    folder, name = Path(result["model"]), Path(result["model"]).name
    card = open_artefact(folder).card
    expert = card.levels[-1]
    macs = expert.macs_per_second
    if not card.alternatives:
        scores = _scores(result, result["levels"][-1]["level"])
        row = Row(
            name, "alone", macs, expert.parameters, card.parameters, scores, times[str(folder), "budget 1"]
        )
        return [row], []
    files = [row["file"] for row in result["files"] if row["level"] == "noisy"]
    each = [_scores(result, f"budget fixed:{number}") for number in range(1, len(card.levels) + 1)]
    best = np.stack([scores["si_sdr"] for scores in each]).argmax(0)
    right = _classes(files, manifest, classes, len(each))
    with_gate = macs + card.router_macs_per_second
    network = checkpoint.load(folder)
    gate = 0 if network.policy is None else sum(p.numel() for p in network.policy.parameters())

    def picked(way: str, chosen: np.ndarray, cost: float, active: int) -> Row:
        scores = {
            metric: np.stack([s[metric] for s in each])[chosen, np.arange(len(chosen))] for metric in each[0]
        }
        return Row(name, way, cost, active, card.parameters, scores)

    alone = expert.parameters - gate
    oracles = [
        picked("oracle: right class", right, macs, alone),
        picked("oracle: best score", best, macs, alone),
    ]
    if network.policy is None:
        return oracles, []
    whole, changing = _gate(network, files, test_set)
    free = Row(
        name,
        "gate, frame by frame",
        with_gate,
        expert.parameters,
        card.parameters,
        _scores(result, "budget auto"),
        times[str(folder), "budget auto"],
    )
    chosen = picked("gate, whole clip", whole, with_gate, expert.parameters)
    about = [name, f"{(whole == right).mean():.2f}", f"{(whole == best).mean():.2f}", f"{changing:.3f}"]
    return [free, chosen, *oracles], [about]


def _gate(network: Any, files: list[str], test_set: Path) -> tuple[np.ndarray, float]:
    """Return the choice of the gate after each whole clip, and the share of frames at which it changes."""
    chosen, changes = [], []
    for file in files:
        path = next(p for p in (test_set / "noisy").glob(f"{Path(file).stem}.*") if p.suffix in FORMAT_OF)
        audio, rate = soundfile.read(path, dtype="float32")
        assert rate == network.sample_rate
        with torch.no_grad():
            picks = network.score(torch.from_numpy(audio)[None, None]).argmax(-1)[0]
        chosen.append(int(picks[-1]))
        changes.append(float((picks[1:] != picks[:-1]).float().mean()))
    return np.array(chosen), float(np.mean(changes))


def _classes(
    files: list[str], manifest: dict[str, dict[str, str]], classes: Path | None, experts: int
) -> np.ndarray:
    """Return the class of each clip."""
    about = [manifest[Path(file).stem] for file in files]
    known = {} if classes is None else read_classes(classes)
    kinds = sorted(set(known.values()))
    if len(kinds) == experts:
        return np.array([kinds.index(known[row["speaker"]]) for row in about])
    assert experts == len(SNR_DB), f"no table of {experts} classes"
    return nearest(torch.tensor([float(row["snr_db"]) for row in about]), SNR_DB).numpy()


def _scores(result: dict[str, Any], level: str) -> dict[str, np.ndarray]:
    """Return the scores [clip] of a level by metric."""
    rows = [row for row in result["files"] if row["level"] == level]
    return {metric: np.array([row[metric] for row in rows]) for metric in METRICS if metric in rows[0]}


def _times(models: list[str], rounds: int) -> dict[tuple[str, str], float]:
    """Return median milliseconds per frame by model and budget: the gate, or the highest level."""
    keys, streams = [], []
    card: Card | None = None
    for model in models:
        enhancer = Enhancer(model)
        card = enhancer.card
        budget = "auto" if card.alternatives and card.router else 1.0
        keys.append((str(Path(model)), f"budget {budget:g}" if budget == 1.0 else "budget auto"))
        streams.append(enhancer.stream(budget=budget))
    assert card is not None
    seconds = time_frames(streams, noisy_speech(card.sample_rate), card.hop_length, rounds)
    return dict(zip(keys, (1000 * np.median(seconds, axis=1)).tolist(), strict=True))


def _table(rows: list[Row], noisy: dict[str, np.ndarray]) -> list[str]:
    """Return the table of all rows."""
    metrics = [metric for metric in METRICS if all(metric in row.scores for row in rows)]
    cells = []
    for row in rows:
        cost = [f"{row.macs / 1e6:.2f}", f"{row.active:,}", f"{row.stored:,}"]
        cost.append("" if row.milliseconds is None else f"{row.milliseconds:.3f}")
        quality = []
        for metric in metrics:
            values, digits = row.scores[metric], METRICS[metric][1]
            if metric == "si_sdr":
                quality.append(with_interval(bootstrap_mean(values - noisy[metric]), digits))
            else:
                quality.append(shown(bootstrap_mean(values)["mean"], digits))
        cells.append([row.model, row.way, *cost, *quality])
    headings = ["model", "what runs", "MMAC/s", "active weights", "stored weights", "ms a frame"]
    return table([*headings, *(METRICS[metric][0] for metric in metrics)], cells)


def _differences(rows: list[Row]) -> list[str]:
    """Return a table of the SI-SDR of experts against each single network, paired by clip."""
    alone = [row for row in rows if row.way == "alone"]
    cells = []
    for row in rows:
        if row.way == "alone":
            continue
        gains = [bootstrap_mean(row.scores["si_sdr"] - other.scores["si_sdr"]) for other in alone]
        cells.append([row.model, row.way, *(with_interval(gain, 2, sign=True) for gain in gains)])
    return table(["SI-SDR, dB, against", "", *(row.model for row in alone)], cells)


if __name__ == "__main__":
    main()
