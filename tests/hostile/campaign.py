"""Hostile input, case after case: nothing but an end or one line of refusal, no crash, no file elsewhere.

    python tests/hostile/campaign.py --cases 10000 --seed 1 -o findings

Each target (audio files, corpora, pipes, model files, weights, predictors, configurations) gets its share of
the cases. A finding is kept as the file that made it. Exit code 1 where there are any.
"""

from __future__ import annotations

import argparse
import json
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from targets import TARGETS

SECONDS = 60.0
"""That a case may take, on a machine with other work."""

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Finding:
    """A case that ended otherwise than it may."""

    target: str
    number: int
    what: str


def attack(name: str, seed: int, cases: int, keep: Path | None = None) -> tuple[Counter[str], list[Finding]]:
    """Run the cases of a target; how they ended, and what was found."""
    ends: Counter[str] = Counter()
    findings: list[Finding] = []
    first = 0
    while first < cases:
        with tempfile.TemporaryDirectory() as folder:
            number, told = _run([name, seed, first, cases, folder], ends)
            if told:
                findings.append(Finding(name, number, told))
                if keep is not None and Path(folder, "case").is_dir():
                    shutil.copytree(Path(folder, "case"), keep / f"{name}-{number}", dirs_exist_ok=True)
        first = number + 1
    return ends, findings


def _run(arguments: list[object], ends: Counter[str]) -> tuple[int, str]:
    """One worker, until it is through, found something, died or is stuck: the last case, what it found."""
    words = [sys.executable, str(WORKER), *map(str, arguments)]
    number = int(words[4]) - 1
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as worker,
    ):
        assert worker.stdout is not None
        reads = selectors.DefaultSelector()
        reads.register(worker.stdout, selectors.EVENT_READ)
        told = ""
        while not told:
            if not reads.select(SECONDS):
                worker.kill()
                return max(number, int(words[4])), f"took over {SECONDS:g} s"
            word, _, rest = worker.stdout.readline().strip().partition(" ")
            if not word:
                break
            number = int(rest.split(" ")[0])
            if word == "end":
                end = rest.partition(" ")[2]
                ends[end.split(" ")[0]] += 1
                told = "" if end in ("done", "refused") else end.replace("\\n", "\n")
        if worker.wait():
            errors.seek(0)
            return max(number, int(words[4])), f"exit code {worker.returncode}: {errors.read()[-500:]}"
    return number, told


def main() -> int:
    """Attack the targets, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10000, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    found: list[Finding] = []
    for name in names:
        cases = -(-options.cases // len(names) // TARGETS[name].dear)
        ends, findings = attack(name, options.seed, cases, options.output)
        found += findings
        print(f"{name}: {json.dumps(dict(ends))}, {len(findings)} findings", flush=True)
        for finding in findings[:20]:
            print(f"  {name} {finding.number}: {finding.what}", flush=True)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
