"""NSGA-II over bit widths: networks that none beats both in error and in memory.

A genome is a row of bit widths, one for each gene of a chain. Every evaluation is kept in a file, as it is
made. A search that was stopped runs again from its start: its generator is seeded, so that it asks for what
it asked for, and what is known is not computed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sese.compression import packed
from sese.compression.calibration import Calibration
from sese.compression.operators import IntegerChain, quantise
from sese.compression.subject import Subject
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, check_counts, from_json

LEAST_BITS, MOST_BITS = 2, 8

HOMOGENEOUS = (8, 7, 6, 5, 4)
"""Bit widths of the networks that have one for all."""

KEPT = "evaluations.jsonl"


@dataclass(frozen=True)
class Settings:
    """Settings of a search.

    Attributes:
        population: number of genomes in each generation.
        generations: number of generations, the first included.
        seed: seed of the generator.
    """

    population: int = 40
    generations: int = 30
    seed: int = 1

    def __post_init__(self) -> None:
        if self.population < 16:
            raise InputError(f"--population is {self.population}; use 16 or more")
        if self.generations < 1:
            raise InputError(f"--generations is {self.generations}; use 1 or more")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; use a whole number from 0")


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a genome.

    Attributes:
        bits: the genome, a digit a gene.
        error: error that the subject measures.
        bytes: size of the packed file.
        signal_bytes: bytes of all operators' outputs in one frame.
    """

    bits: str
    error: float
    bytes: int
    signal_bytes: int

    @property
    def memory(self) -> int:
        """Return the bytes that a device keeps for one stream; the search makes them few."""
        return self.bytes + self.signal_bytes


class Evaluator:
    """Errors and sizes of genomes, each computed once and kept in a file.

    Args:
        subject: the network and its clips.
        folder: folder of the file; None keeps nothing.
        ranges: evaluator with ranges of other clips of the network; None finds them on these clips.

    Raises:
        InputError: the file belongs to another network, other clips or other genes, or is damaged.
    """

    def __init__(self, subject: Subject, folder: Path | None = None, ranges: Evaluator | None = None):
        self.subject = subject
        self.calibration: Calibration = (
            Calibration(subject.layers, subject.x) if ranges is None else ranges.calibration
        )
        self._head = {"subject": subject.fingerprint, "measure": subject.measure}
        if ranges is not None:
            self._head["ranges"] = ranges.subject.fingerprint
        self.genes = self.calibration.genes
        self.known: dict[str, Evaluation] = {}
        self._path = None if folder is None else folder / KEPT
        if self._path is not None:
            self._open(self._path)

    def _open(self, path: Path) -> None:
        head_line = json.dumps({**self._head, "genes": self.genes})
        if not path.exists():
            with replacing(path) as part:
                part.write_text(head_line + "\n")
            return
        lines = path.read_text(errors="replace").split("\n")
        if lines[0] != head_line:
            raise InputError(f"{path} belongs to another model or to other clips; name another folder")
        whole = lines[1:-1]  # what stands behind the last end of line was cut off by a stop
        try:
            read = [Evaluation(**from_json(line)) for line in whole]
            for each in read:
                if len(str(each.bits)) != len(self.genes) or not str(each.bits).isdigit():
                    raise ValueError
                check_counts(vars(each), bytes=1 << 62, signal_bytes=1 << 62)
                float(each.error)
            self.known = {str(each.bits): each for each in read}
        except MALFORMED:
            raise InputError(f"{path} is damaged; remove it, or name another folder") from None
        if lines[-1]:
            with replacing(path) as part:
                part.write_text("\n".join([head_line, *whole]) + "\n")

    def chain(self, bits: str) -> IntegerChain:
        """Return the network of a genome."""
        widths = dict(zip(self.genes, map(int, bits), strict=True))
        return quantise(self.subject.layers, self.calibration.quantisers(widths))

    def __call__(self, bits: str) -> Evaluation:
        """Return the evaluation of a genome, computed or known."""
        if bits not in self.known:
            chain = self.chain(bits)
            error = self.subject.error(chain(self.subject.x))
            made = Evaluation(bits, error, packed.size(chain), (chain.signal_bits + 7) // 8)
            self.known[bits] = made
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps(asdict(made)) + "\n")
        return self.known[bits]


Progress = Callable[[int, int, int, Sequence[Evaluation]], None]
"""Told after each new evaluation: generation, evaluations made, their number in the end, and all known."""


def search(
    evaluate: Evaluator,
    settings: Settings,
    progress: Progress | None = None,
    max_minutes: float | None = None,
) -> bool:
    """Run NSGA-II, or go on with it; what was found is in `evaluate.known`.

    Args:
        evaluate: evaluator with the evaluations that are known.
        settings: settings of the search.
        progress: function that is told of progress; see `Progress`.
        max_minutes: stop after this long.

    Returns:
        Whether every generation is done.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.problems.static import StaticProblem

    class Step(Mutation):
        """One gene in the mean changes: by one bit or two, or to any width."""

        def _do(
            self, problem: Any, X: np.ndarray, *args: Any, random_state: Any, **options: Any
        ) -> np.ndarray:
            steps = random_state.choice((-2, -1, -1, 1, 1, 2), X.shape)
            anew = random_state.integers(LEAST_BITS, MOST_BITS + 1, X.shape)
            changed = np.where(random_state.random(X.shape) < 0.25, anew, X + steps)
            hit = random_state.random(X.shape) < 1 / X.shape[1]
            return np.clip(np.where(hit, changed, X), LEAST_BITS, MOST_BITS)

    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    problem = Problem(n_var=len(evaluate.genes), n_obj=2, xl=LEAST_BITS, xu=MOST_BITS, vtype=int)
    algorithm = NSGA2(
        pop_size=settings.population,
        sampling=first_genomes(evaluate.genes, settings.population, settings.seed),
        crossover=TwoPointCrossover(prob=0.9),
        mutation=Step(),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=("n_gen", settings.generations), seed=settings.seed, verbose=False)
    asked = 0
    while algorithm.has_next():
        offspring = algorithm.ask()
        rows = []
        for genome in offspring.get("X"):
            if deadline is not None and time.monotonic() > deadline:
                return False
            bits = "".join(str(int(width)) for width in genome)
            fresh = bits not in evaluate.known
            made = evaluate(bits)
            asked += 1
            rows.append((made.error, made.memory))
            if progress is not None and fresh:
                whole = settings.population * settings.generations
                progress(algorithm.n_iter or 1, asked, whole, list(evaluate.known.values()))
        algorithm.evaluator.eval(StaticProblem(problem, F=np.array(rows, np.float64)), offspring)
        algorithm.tell(infills=offspring)
    return True


def first_genomes(genes: Sequence[str], count: int, seed: int) -> np.ndarray:
    """Return genomes of one width, of narrow weights with signals of 8, and random neighbours of these.

    Returns:
        int [genome, gene].
    """
    known = [np.full(len(genes), bits) for bits in HOMOGENEOUS]
    known += [np.array(list(map(int, narrow_weights(genes, bits)))) for bits in (7, 6, 5, 4, 3)]
    generator = np.random.default_rng(seed)
    while len(known) < count:
        start = known[generator.integers(len(HOMOGENEOUS) * 2)]
        steps = generator.integers(-1, 2, len(genes))
        known.append(np.clip(start + steps, LEAST_BITS, MOST_BITS))
    return np.array(known[:count])


def narrow_weights(genes: Sequence[str], bits: int) -> str:
    """Return the genome with narrow weights and signals of 8 bits."""
    return "".join(str(bits if name.rpartition(".")[2].startswith("W") else MOST_BITS) for name in genes)


def front(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return those that no other beats in error without more bytes on disk, smallest first."""
    best: list[Evaluation] = []
    for one in sorted(evaluations, key=lambda each: (each.bytes, each.error)):
        if not best or one.error < best[-1].error:
            best.append(one)
    return best


def picks(evaluations: Sequence[Evaluation], allowed: Mapping[str, float]) -> dict[str, Evaluation]:
    """Return by name the smallest file that loses no more than a share of the 8-bit network's gain.

    An error of 1 is that of doing nothing.
    """
    whole = next(each for each in evaluations if set(each.bits) == {"8"})
    gained = abs(1 - whole.error)
    return {
        name: min(
            (each for each in evaluations if each.error <= whole.error + share * gained),
            key=lambda each: (each.bytes, each.error),
        )
        for name, share in allowed.items()
    }
