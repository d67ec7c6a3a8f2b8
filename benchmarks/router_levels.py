"""Ask whether routers spend more where the input is noisier, for the runs of sweeps/demucs_loss_levels.

    python benchmarks/router_levels.py runs/demucs_loss_levels noisy-set -o report

Columns: the mean utilization; its correlation over files with the SI-SDR of the input (negative where noisier
files get more); its change when a clip is said twice, the second time with 10 dB less noise (negative where
less noise gets less); PESQ and SI-SDR. The results are written to router_levels.md and router_levels.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from claims_drop import drop, drop_rows
from claims_scores import score_row
from claims_tables import ROUTER, correlation, table
from sese.evaluation.pairs import Pair, find_pairs
from sese.nn import checkpoint
from sese.training.sweep import DONE


def main() -> None:
    """Score the runs that are done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="Take this many files.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    pairs = find_pairs(options.data, options.limit)
    done = sorted(folder.parent for folder in options.runs.glob(f"*/*/{DONE}"))
    rows = [measured(folder, pairs) for folder in done]
    (options.out_dir / "router_levels.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out_dir / "router_levels.md").write_text(table(rows) + "\n")
    print(table(rows))


def measured(folder: Path, pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the row of a run."""
    row = score_row(checkpoint.load(folder / "last"), ROUTER, pairs, jobs=1)
    (halves,) = drop_rows(folder.parent.name, [drop(folder, pairs)])
    return {
        "run": f"{folder.parent.name}, {folder.name}",
        "utilization": f"{np.mean(row['utilization']):.3f}",
        **correlation({folder.name: row}),
        "10 dB less noise": halves["difference"],
        "PESQ": f"{np.nanmean(row['pesq_wb']):.3f}",
        "SI-SDR": f"{np.nanmean(row['si_sdr']):.2f}",
    }


if __name__ == "__main__":
    main()
