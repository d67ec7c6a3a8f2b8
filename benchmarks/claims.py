"""Test the claims of Adaptive Slimming on the runs of sweeps/demucs_60h or demucs_claims, in two steps.

    python benchmarks/claims.py score runs/demucs_60h plain-set -o scores --rounds 7
    python benchmarks/claims.py report scores -o report

`score` writes a folder of small files for each finished run: the scores of each clip at each level or under
the router, the validations, the utilization where noise falls within a clip, and with --rounds the times of
the router and of the levels, in turn. A run that has scores is left out, unless its weights changed. So
`score` can be called whenever a run is done, and a run that is scored is not needed any more.

`report` makes tables, verdicts and figures from these files alone, and names the runs of the sweep that are
missing. Differences are paired by file. Their intervals are bootstrap intervals over the files, of each
file's mean over the seeds, and each seed has a line of its own. With three or more seeds, one more line has
Student's interval over the seeds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from claims_report import write_report
from claims_tables import METRICS
from claims_verdicts import SWEEP
from exit_codes import exit_code
from sese.core.errors import InputError


def main() -> int:
    """Run the command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("score", help="score finished runs")
    command.add_argument("runs", type=Path, help="folder of the sweep's runs")
    command.add_argument("data", type=Path, help="folder with clean/ and noisy/")
    command.add_argument("-o", "--out-dir", type=Path, required=True, help="folder for the scores")
    command.add_argument(
        "--metrics", default=",".join(METRICS), help="names with commas [default: %(default)s]"
    )
    command.add_argument("--jobs", type=int, default=1, help="processes that score [default: 1]")
    command.add_argument("--rounds", type=int, default=0, help="rounds of timing [default: 0, no times]")
    command = commands.add_parser("report", help="make tables, verdicts and figures from scores")
    command.add_argument("scores", type=Path, help="folder of the scores")
    command.add_argument("-o", "--out-dir", type=Path, required=True, help="folder for the report")
    command.add_argument(
        "--sweep", default=f"sweeps/{SWEEP}", help=f"file or name of the sweep [default: sweeps/{SWEEP}]"
    )
    options = parser.parse_args()
    if options.command == "score":
        return exit_code("claims", lambda: score(options))
    return exit_code("claims", lambda: write_report(options.scores, options.out_dir, options.sweep))


def score(options: argparse.Namespace) -> None:
    """Score the finished runs."""
    import torch

    from claims_scores import score_runs
    from sese.evaluation import report
    from sese.evaluation.metrics import check_metrics
    from sese.evaluation.pairs import find_pairs

    if options.rounds < 0:
        raise InputError(f"--rounds is {options.rounds}; use 0 or more")
    torch.set_num_threads(1)
    metrics = check_metrics(options.metrics.split(","))
    if "si_sdr" not in metrics:
        raise InputError("--metrics has no si_sdr, which every claim is about; add it")
    pairs = find_pairs(options.data)
    report.make_folder(options.out_dir)
    score_runs(options.runs, pairs, options.out_dir, metrics, options.jobs, options.rounds)


if __name__ == "__main__":
    sys.exit(main())
