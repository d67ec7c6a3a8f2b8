"""Print the tables of docs/systems/speaker_informed_selection.md, from the output of `sese speakers select`.

    python benchmarks/speaker_selection.py --reference control evaluations/users-*/selection.json

Each file belongs to one mixture of experts on some folders. Models that were scored beside it count for all
files with the same pairs. Differences are paired by folder (one per user), or by file if there is one folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sese.core.tables import table, with_interval
from sese.evaluation.summary import bootstrap_mean

Scores = dict[tuple[str, str], float]
"""(folder, file) -> improvement of SI-SDR, dB."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("selections", type=Path, nargs="+")
    parser.add_argument("--reference", required=True, help="what differences are taken to")
    arguments = parser.parse_args()
    scored, costs, agreed = gather(arguments.selections)
    reference = scored[arguments.reference]
    rows = []
    for name, own in scored.items():
        mean, gain = (bootstrap_mean(by_folder(values)) for values in (own, difference(own, reference)))
        cost = f"{costs[name]:.1f}" if name in costs else ""
        share = f"{100 * agreed[name]:.0f}%" if name in agreed else ""
        rows.append([name, cost, with_interval(mean, 2), with_interval(gain, 2, sign=True), share])
    over = f"over {arguments.reference}"
    print("\n".join(table(["", "MMAC/s", "SI-SDR improvement, dB", over, "as the oracle"], rows)))


def gather(
    paths: Sequence[Path],
) -> tuple[dict[str, Scores], dict[str, float], dict[str, float]]:
    """Return scores, MMAC/s, and shares of the files with the choice of the oracle, by name.

    The name of a method of choice includes the folder of its file.
    """
    scored: dict[str, Scores] = {}
    costs: dict[str, float] = {}
    agreed: dict[str, float] = {}
    for path in paths:
        result = json.loads(path.read_text())
        for name, values in result["summary"].items():
            picks = values["as_oracle"] is not None or name in ("gate", "chance")
            called = f"{path.parent.name}: {name}" if picks else name
            scored[called] = {(row["folder"], row["file"]): row["scores"][name] for row in result["rows"]}
            if values["as_oracle"] is not None:
                agreed[called] = values["as_oracle"]
            cost = result["costs"].get("gate" if name == "gate, once" else name)
            if cost is not None:
                costs[called] = cost["mmacs_per_second"]
    return scored, costs, agreed


def difference(own: Scores, reference: Scores) -> Scores:
    """Return the differences of the pairs that are scored in both."""
    return {pair: own[pair] - reference[pair] for pair in own if pair in reference}


def by_folder(values: Scores) -> list[float]:
    """Return the means of the folders, or the values themselves if there is one folder."""
    folders = sorted({folder for folder, _ in values})
    if len(folders) == 1:
        return list(values.values())
    return [float(np.mean([v for (own, _), v in values.items() if own == folder])) for folder in folders]


if __name__ == "__main__":
    main()
