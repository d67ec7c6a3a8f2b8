"""Runs cases one after the other and tells how each ended; started anew by the campaign where one kills it.

python tests/hostile/worker.py TARGET[+TARGET...] SEED FIRST LAST FOLDER
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from mutate import mutated
from structures import structured
from targets import TARGETS

from sese.core.errors import InputError, plain

ADDRESSES = 8 << 30
"""Bytes of address space; a case that asks for more gets a MemoryError, which is a finding."""

GROWTH = 1 << 30
"""Bytes by which a single case may grow what is resident."""

STRUCTURED = 0.75
"""Share of the cases, of files that can be taken apart, in which the parts are changed and not the bytes."""


def main(name: str, seed: int, first: int, last: int, folder: Path) -> None:
    """Print a line when a case begins, and one when it has ended."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, resource.RLIM_INFINITY))
    told_to = os.fdopen(os.dup(1), "w")  # libraries write to stdout as they like
    os.dup2(2, 1)
    targets = name.split("+")  # in turn
    seeds_of = {each: TARGETS[each].seeds() for each in targets}
    bystander = folder / "bystander"
    bystander.write_text("untouched")
    for number in range(first, last):
        print("begin", number, file=told_to, flush=True)
        index, name = number // len(targets), targets[number % len(targets)]
        target, seeds, names = TARGETS[name], seeds_of[name], sorted(seeds_of[name])
        rng = np.random.default_rng([seed, index, int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)])
        # Each whole file comes as it is once, then files are changed.
        picked = names[index] if index < len(names) else names[rng.integers(len(names))]
        if index >= len(names) and target.base and rng.random() < 0.8:
            picked = target.base
        data = seeds[picked]
        if index >= len(names):
            changed = structured(Path(picked).suffix, data, rng) if rng.random() < STRUCTURED else None
            data = changed or mutated(data, list(seeds.values()), rng)
        case = folder / "case"
        shutil.rmtree(case, ignore_errors=True)
        (case / "out").mkdir(parents=True)
        path = case / picked
        path.write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        told = "done"
        try:
            target.run(path, case / "out")
        except InputError as error:
            text = str(error)
            one_line = len(text) < 2000 and "\n" not in text and text == plain(text)
            told = "refused" if one_line else f"told {text[:2000]!r}"
        except BaseException:
            told = "raised " + traceback.format_exc().strip().replace("\n", "\\n")
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if grown > GROWTH:
            told = f"grew {grown} bytes"
        left = [file.name for file in (case / "out").rglob("*") if ".part" in file.name]
        if left:
            told = f"left {left}"
        if (
            sorted(entry.name for entry in folder.iterdir()) != ["bystander", "case"]
            or path.read_bytes() != data
        ):
            told = "touched what is not its own"
        print("end", number, told, file=told_to, flush=True)
        if told not in ("done", "refused"):
            return  # what made it stays in its folder


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
