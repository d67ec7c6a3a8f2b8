"""Print the tables and draw the figure of docs/systems/mixed_precision_gru.md.

    python benchmarks/mixed_precision.py FOLDER... -o figure.png > tables.md

Each FOLDER is written by `sese compress --search`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sese.compression.layers import GRU_WEIGHTS
from sese.core.tables import table, with_interval

KINDS = {
    "weights of the input": GRU_WEIGHTS[:3],
    "weights of the state": GRU_WEIGHTS[3:],
    "products": ("ir", "iz", "in", "hr", "hz", "hn"),
    "reset and update gates": ("sum_r", "sum_z", "reset", "update", "one_minus"),
    "candidate": ("gated", "sum_n", "new", "fresh"),
    "state": ("kept", "state"),
    "dense weights": ("W",),
    "dense outputs": ("sum", "out"),
}
"""Kinds of genes -> what their names end with."""


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    given = parser.parse_args()
    studies = [(folder, json.loads((folder / "compress.json").read_text())) for folder in given.folders]
    print(sizes(studies))
    print(scores(studies))
    print(genomes(studies))
    given.output.write_bytes(figure(studies))


def smallest(rows: Sequence[Any], most: float) -> Any:
    """Return the smallest file whose error is at most `error`."""
    return min((row for row in rows if row["error"] <= most), key=lambda row: row["bytes"])


def sizes(studies: Sequence[tuple[Path, Any]]) -> str:
    """Return a table of the smallest networks of one width and of mixed widths with equal loss, by task."""
    names = ["task", "may lose", "one width, bytes", "narrow weights", "mixed"]
    names += ["than 8 bits", "than one width", "than narrow weights"]
    rows = []
    for folder, result in studies:
        single = [row for row in result["networks"] if row["name"].endswith("-bit")]
        narrow = [row for row in result["networks"] if row["name"].endswith("s8")]
        eight = single[0]
        for share in (0.01, 0.05, 0.2):
            most = eight["error"] + share * abs(1 - eight["error"])
            one, mixed = smallest(single, most), smallest([eight, *result["front"]], most)
            split = smallest([eight, *narrow], most)
            changes = [f"{mixed['bytes'] / other['bytes'] - 1:+.0%}" for other in (eight, one, split)]
            named = [f"{each['bytes']:,} ({each['name']})" for each in (one, split)]
            rows.append([folder.name, f"{share:.0%}", *named, f"{mixed['bytes']:,}", *changes])
    return "\n".join(table(names, rows)) + "\n"


SHOWN = ("8-bit", "6-bit", "4-bit", "w4s8", "w3s8", "w2s8", "near", "small", "near-tuned", "small-tuned")
"""Networks in the table of scores."""


def scores(studies: Sequence[tuple[Path, Any]]) -> str:
    """Return a table of scores on other clips: means of 8 bits, and differences from them with intervals."""
    columns = dict.fromkeys(
        column for _, result in studies for row in result["networks"] for column in row.get("test", {})
    )
    rows = []
    for folder, result in studies:
        for row in result["networks"]:
            if row["name"] not in SHOWN or "test" not in row:
                continue
            cells = [folder.name, f"`{row['name']}`", f"{row['bytes']:,}", f"{row['of_8_bit']:.2f}"]
            for column in columns:
                if column not in row["test"]:
                    cells.append("")
                elif row["name"] == "8-bit":
                    cells.append(f"{row['test'][column]['mean']:.3f}")
                else:
                    cells.append(with_interval(row["against_8_bit"][column], 3, sign=True))
            rows.append(cells)
    return "\n".join(table(["task", "network", "bytes", "of 8 bits", *columns], rows)) + "\n"


def genomes(studies: Sequence[tuple[Path, Any]]) -> str:
    """Return a table of the mean bits of each kind of gene in the picks."""
    rows = []
    for folder, result in studies:
        for row in result["networks"]:
            if row["name"] not in ("near", "small"):
                continue
            cells = [f"{folder.name}, `{row['name']}`"]
            for endings in KINDS.values():
                found = [bits for gene, bits in row["bits"].items() if gene.rpartition(".")[2] in endings]
                cells.append(f"{np.mean(found):.1f}" if found else "")
            rows.append(cells)
    return "\n".join(table(["bits, mean", *KINDS], rows)) + "\n"


def figure(studies: Sequence[tuple[Path, Any]]) -> bytes:
    """Draw a panel for each study and write it as PNG."""
    from matplotlib.figure import Figure

    from sese.compression.study import draw
    from sese.evaluation.plots import to_png

    rows = (len(studies) + 1) // 2
    sheet = Figure(figsize=(11, 4 * rows), layout="constrained")
    panels = np.ravel(sheet.subplots(rows, 2, squeeze=False))
    for panel, (folder, result) in zip(panels, studies, strict=False):
        draw(panel, {**result, "model": folder.name})
    for panel in panels[len(studies) :]:
        panel.set_visible(False)
    return to_png(sheet, 110)


if __name__ == "__main__":
    main()
