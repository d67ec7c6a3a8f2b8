"""The search: what it keeps, what it finds, and that a stop loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sese.compression.layers import GRU, Dense, Floats, Layer, run
from sese.compression.operators import quantise
from sese.compression.search import KEPT, Evaluation, Evaluator, Settings, first_genomes, front, picks, search
from sese.compression.tuning import tune
from sese.core.errors import InputError


class Imitation:
    """A small chain whose error is its distance from what it makes in float."""

    measure = "distance"

    def __init__(self, seed: int = 0):
        generator = np.random.default_rng(seed)

        def draw(*shape: int) -> Floats:
            return generator.uniform(-0.6, 0.6, shape).astype(np.float32)

        gru = GRU("gru", draw(1, 6, 24), draw(1, 8, 24), draw(1, 24), draw(1, 24))
        self.layers: tuple[Layer, ...] = (gru, Dense("out", draw(8, 2), draw(2)))
        self.x: Floats = generator.standard_normal((12, 20, 6)).astype(np.float32)
        self.target = run(self.layers, self.x)
        self.fingerprint = f"imitation {seed}"
        self.asked = 0

    def error(self, y: np.ndarray) -> float:
        self.asked += 1
        return float(np.square(y - self.target).mean() / self.target.var())

    def scores(self, y: np.ndarray) -> dict[str, list[float]]:
        return {"error": [self.error(y)]}

    def write_model(self, folder: Path, layers: Sequence[Layer]) -> None: ...

    def write_audio(self, folder: Path, y: np.ndarray, clips: int) -> None: ...


SETTINGS = Settings(population=16, generations=6)


def test_a_killed_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Killed in the middle of a line: in the end it knows what a search in one go knows, computed once."""
    whole = Evaluator(Imitation())
    assert search(whole, SETTINGS)

    class Killed(Exception):
        pass

    def kill(generation: int, made: int, most: int, known: Sequence[Evaluation]) -> None:
        if made >= 40:
            raise Killed

    with pytest.raises(Killed):
        search(Evaluator(Imitation(), tmp_path), SETTINGS, kill)
    path = tmp_path / KEPT
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines)[:-10])
    again = Imitation()
    resumed = Evaluator(again, tmp_path)
    known = len(resumed.known)
    assert known >= 30
    assert search(resumed, SETTINGS)
    assert resumed.known == whole.known
    assert again.asked == len(whole.known) - known
    assert Evaluator(Imitation(), tmp_path).known == whole.known


def test_a_search_stops_in_time() -> None:
    subject = Imitation()
    assert not search(Evaluator(subject), SETTINGS, max_minutes=0.0)
    assert subject.asked <= 1


def test_it_finds_better_networks_than_one_width_for_all() -> None:
    evaluate = Evaluator(Imitation())
    first = [evaluate("".join(map(str, row))) for row in first_genomes(evaluate.genes, 16, 1)]
    single = [each for each in first if len(set(each.bits)) == 1]
    assert [each.bits[0] for each in single] == list("87654")
    search(evaluate, Settings(population=24, generations=20))
    best = front(list(evaluate.known.values()))
    for one in single[2:]:
        assert any(each.bytes <= one.bytes and each.error < 0.9 * one.error for each in best), one


def test_front_and_picks() -> None:
    generator = np.random.default_rng(0)
    drawn = [
        Evaluation(f"{number}", float(error), int(size), 10)
        for number, (error, size) in enumerate(
            zip(generator.random(60), generator.integers(100, 200, 60), strict=True)
        )
    ]
    made = front(drawn)
    expected = [
        one
        for one in drawn
        if not any(
            other.error <= one.error and other.bytes <= one.bytes and other is not one for other in drawn
        )
    ]
    assert made == sorted(expected, key=lambda each: each.bytes)
    eight = Evaluation("888", 0.5, 1000, 0)
    others = [
        Evaluation("878", 0.504, 900, 0),
        Evaluation("777", 0.52, 700, 0),
        Evaluation("333", 0.6, 300, 0),
    ]
    named = picks([eight, *others], {"near": 0.01, "small": 0.05})
    assert (named["near"].bits, named["small"].bits) == ("878", "777")


def test_kept_evaluations_of_another_network_are_refused(tmp_path: Path) -> None:
    Evaluator(Imitation(0), tmp_path)("8" * len(Evaluator(Imitation(0)).genes))
    with pytest.raises(InputError, match="another model or to other clips"):
        Evaluator(Imitation(1), tmp_path)
    path = tmp_path / KEPT
    path.write_text(path.read_text() + "{nonsense\n")
    with pytest.raises(InputError, match="damaged"):
        Evaluator(Imitation(0), tmp_path)


@pytest.mark.parametrize("wrong", [{"population": 4}, {"generations": 0}, {"seed": -1}])
def test_settings_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(wrong))} is"):
        Settings(**wrong)


def test_a_killed_tuning_goes_on_where_it_was_kept(tmp_path: Path) -> None:
    subject = Imitation()
    evaluate = Evaluator(subject)
    quantisers = evaluate.calibration.quantisers(dict.fromkeys(evaluate.genes, 4))
    whole = tune(subject.layers, quantisers, subject.x, 8)

    def kill(step: int, loss: float) -> None:
        if step == 7:
            raise KeyboardInterrupt

    kept, steps = tmp_path / "kept.pt", []
    with pytest.raises(KeyboardInterrupt):
        tune(subject.layers, quantisers, subject.x, 8, progress=kill, keep=kept)
    again = tune(
        subject.layers, quantisers, subject.x, 8, progress=lambda step, _: steps.append(step), keep=kept
    )
    assert steps == [6, 7, 8]
    for one, other in zip(whole, again, strict=True):
        for name, matrix in one.matrices.items():
            assert np.array_equal(matrix, other.matrices[name])


def test_tuning_lowers_the_error_in_exact_arithmetic() -> None:
    subject = Imitation()
    evaluate = Evaluator(subject)
    quantisers = evaluate.calibration.quantisers(dict.fromkeys(evaluate.genes, 4))
    before = subject.error(quantise(subject.layers, quantisers)(subject.x))
    losses: list[float] = []
    own = [matrix.copy() for layer in subject.layers for matrix in layer.matrices.values()]
    layers = tune(subject.layers, quantisers, subject.x, 60, progress=lambda _, loss: losses.append(loss))
    after = subject.error(quantise(layers, quantisers)(subject.x))
    left = [matrix for layer in subject.layers for matrix in layer.matrices.values()]
    assert all(np.array_equal(one, other) for one, other in zip(own, left, strict=True))
    assert len(losses) == 60
    assert abs(losses[0] - before) < 0.5 * before  # what it trains on is what runs, but for ties
    assert after < 0.8 * before
