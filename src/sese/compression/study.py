"""`sese compress`: networks of chosen bit widths, what they lose, and a folder that holds it all.

OUT/evaluations.jsonl   every genome tried, so that a search that was stopped goes on
OUT/choice/             the search's front on more clips, by which networks are picked
OUT/scores.jsonl        scores on other clips, likewise kept
OUT/compress.json, compress.md, front.png
OUT/NAME/               a network: `weights.int` (what a device holds), and `config.json` with
                        `model.safetensors`, the same weights as floats, for `sese export`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sese.compression import packed
from sese.compression.layers import GRU, Dense, Layer
from sese.compression.layers import run as run_float
from sese.compression.operators import IntegerChain, quantise
from sese.compression.results import Network, Study, StudyFacts
from sese.compression.search import LEAST_BITS, MOST_BITS, Evaluation, Evaluator, front, narrow_weights, picks
from sese.compression.subject import Subject
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.tables import table
from sese.core.untrusted import MALFORMED, from_json
from sese.evaluation.summary import bootstrap_mean

ALLOWED = {"near": 0.01, "small": 0.05}
"""Pick -> share of what the 8-bit network gains that it may lose."""

NARROW = (4, 3, 2)
"""Widths of weights beside signals of 8 bits, ``w4s8`` and so on: what needs no search, to compare with."""

WEIGHTS, TUNING, SCORES = "weights.int", "tuning.json", "scores.jsonl"
AT_ONCE = 16
"""Clips simulated side by side."""

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Variant:
    """A network of a study.

    Attributes:
        name: ``float``, ``8-bit``, ``near``, ``near-tuned`` and so on.
        chain: chain in integers; None in float.
        bytes: size of its chain on disk; in float, of weights and biases of 32 bits.
        error: error on the clips of the search.
        evaluation: evaluation of its genome, where it has one.
    """

    name: str
    chain: IntegerChain | None
    bytes: int
    error: float
    evaluation: Evaluation | None = None


def float_bytes(layers: Sequence[Layer]) -> int:
    """Return the bytes of a chain's weights and biases in float32."""
    arrays = [values for layer in layers for values in (*layer.matrices.values(), *layer.biases.values())]
    return 4 * sum(values.size for values in arrays)


def run_in_parts(chain: IntegerChain | None, subject: Subject) -> np.ndarray:
    """Run a chain on a subject's frames, some clips at a time; None runs the layers in float."""
    step = chain if chain is not None else lambda x: run_float(subject.layers, x)
    return np.concatenate([step(subject.x[at : at + AT_ONCE]) for at in range(0, len(subject.x), AT_ONCE)])


def dequantised(chain: IntegerChain) -> list[Layer]:
    """Return a chain's weights and biases as floats."""
    made: list[Layer] = []
    before = chain.source
    for layer in chain.layers:
        weights, biases = [], []
        for name, matrix in layer.matrices.items():
            step = before.scale * matrix.quantiser.scale * 2**matrix.bias_shift
            weights.append(matrix.quantiser.decode(matrix.codes).astype(np.float32))
            biases.append((step * matrix.bias).astype(np.float32))
            if name == "W_in":  # the rest of a GRU's matrices see its state
                before = layer.signals["state"]
        if layer.kind == "gru":
            joined = [np.concatenate(weights[at : at + 3], axis=2) for at in (0, 3)]
            joined += [np.concatenate(biases[at : at + 3], axis=1) for at in (0, 3)]
            a, b, c, d = joined
            made.append(GRU(layer.name, a, b, c, d))
        else:
            made.append(Dense(layer.name, weights[0][0], biases[0][0], layer.kind))  # type: ignore[arg-type]
        before = list(layer.signals.values())[-1]
    return made


def chosen(choose: Evaluator, bits: Sequence[int], found: Sequence[Evaluation]) -> list[Variant]:
    """Return the networks that a study keeps: in float, of one width each, and the picks of a search.

    Args:
        choose: evaluator on more clips than the search's, on which the best of many looks too good.
        bits: widths of the networks of one width.
        found: the front of a search; empty without one.
    """
    subject = choose.subject
    in_float = subject.error(run_in_parts(None, subject))
    variants = [Variant("float", None, float_bytes(subject.layers), in_float)]
    named = {f"{width}-bit": choose(str(width) * len(choose.genes)) for width in bits}
    if found:
        named |= {f"w{width}s8": choose(narrow_weights(choose.genes, width)) for width in NARROW}
        measured = [choose(each.bits) for each in found]
        named |= picks([named["8-bit"], *measured], ALLOWED)
    for name, made in named.items():
        variants.append(Variant(name, choose.chain(made.bits), made.bytes, made.error, made))
    return variants


def tuned(choose: Evaluator, variant: Variant, steps: int, seed: int, folder: Path, tell: Tell) -> Variant:
    """Fine-tune a variant under its codes, or read what an earlier run tuned and left in `folder`."""
    from sese.compression.tuning import tune

    subject, name = choose.subject, f"{variant.name}-tuned"
    assert variant.evaluation is not None
    bits = variant.evaluation.bits
    facts = {"subject": subject.fingerprint, "bits": bits, "steps": steps, "seed": seed}
    own = folder / name
    if not _is(own / TUNING, facts):
        quantisers = choose.calibration.quantisers(dict(zip(choose.genes, map(int, bits), strict=True)))
        own.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        half_done = own / f".tuning-{key}.pt"
        layers = tune(
            subject.layers,
            quantisers,
            subject.x,
            steps,
            seed,
            progress=lambda step, loss: tell(f"{name}: step {step} of {steps}, loss {loss:.4f}"),
            keep=half_done,
        )
        packed.write(quantise(layers, quantisers), own / WEIGHTS)
        (own / TUNING).write_text(json.dumps(facts) + "\n")  # behind the weights, which it says are whole
        half_done.unlink(missing_ok=True)
    chain = packed.read(own / WEIGHTS)
    error = subject.error(run_in_parts(chain, subject))
    return Variant(name, chain, packed.size(chain), error, variant.evaluation)


def _is(path: Path, facts: Mapping[str, Any]) -> bool:
    try:
        return from_json(path.read_text()) == facts
    except (OSError, ValueError):
        return False


def write_networks(variants: Sequence[Variant], subject: Subject, folder: Path) -> None:
    """Write a folder for each network in integers."""
    for variant in variants:
        if variant.chain is not None:
            own = folder / variant.name
            own.mkdir(parents=True, exist_ok=True)
            written = packed.write(variant.chain, own / WEIGHTS)
            assert written == variant.bytes
            subject.write_model(own, dequantised(variant.chain))


def score(
    variants: Sequence[Variant], subject: Subject, tell: Tell, folder: Path, clips: int = 0
) -> dict[str, dict[str, list[float]]]:
    """Score clips that the search did not see: variant -> column -> values.

    Each is kept in the folder as it is made. The first clips of enhancers are written there as audio.
    """
    known = _kept_scores(folder / SCORES)
    made = {}
    for variant in variants:
        network = b"float" if variant.chain is None else packed.to_bytes(variant.chain)
        key = hashlib.sha256(network + subject.fingerprint.encode()).hexdigest()
        heard = folder / "audio" / variant.name
        if key not in known or (clips and not heard.exists()):
            tell(f"{variant.name}: scoring {len(subject.x)} clips")
            y = run_in_parts(variant.chain, subject)
            known[key] = {**subject.scores(y), "error": [subject.error(y)]}
            if clips:
                subject.write_audio(heard, y, clips)
            with (folder / SCORES).open("a") as file:  # apart from a line that was cut off
                file.write("\n" + json.dumps({"key": key, "scores": known[key]}) + "\n")
        made[variant.name] = known[key]
    return made


def _kept_scores(path: Path) -> dict[str, dict[str, list[float]]]:
    """Read the scores in the file; a line that was cut off by a stop is computed again."""
    known = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            row = from_json(line)
            known[str(row["key"])] = {
                str(name): [float(value) for value in values] for name, values in row["scores"].items()
            }
        except MALFORMED:
            continue
    return known


def report(
    evaluate: Evaluator,
    choose: Evaluator,
    variants: Sequence[Variant],
    scores: Mapping[str, Mapping[str, Sequence[float]]],
    facts: StudyFacts,
) -> Study:
    """Return everything that is known, as a plain dict.

    Differences are from the 8-bit network, clip by clip, with 95% bootstrap intervals.
    """
    rows: list[Network] = []
    whole = next((each for each in variants if each.name == "8-bit"), variants[-1])
    for variant in variants:
        row: Network = {
            "name": variant.name,
            "bytes": variant.bytes,
            "of_8_bit": variant.bytes / whole.bytes,
            "error": variant.error,
        }
        if variant.evaluation is not None:
            row["bits"] = dict(zip(evaluate.genes, map(int, variant.evaluation.bits), strict=True))
            row["signal_bytes"] = variant.evaluation.signal_bytes
        if variant.name in scores:
            own, reference = scores[variant.name], scores[whole.name]
            row["test_error"] = own["error"][0]
            columns = [column for column in own if column != "error"]
            row["test"] = {column: bootstrap_mean(own[column]) for column in columns}
            row["against_8_bit"] = {
                column: bootstrap_mean(np.subtract(own[column], reference[column])) for column in columns
            }
        rows.append(row)
    found = front(list(evaluate.known.values()))
    measured = front([choose.known[each.bits] for each in found if each.bits in choose.known])
    return {
        **facts,
        "measure": evaluate.subject.measure,
        "genes": list(evaluate.genes),
        "evaluations": len(evaluate.known),
        "networks": rows,
        "front": [asdict(each) for each in measured],
        "search_front": [asdict(each) for each in found],
    }


def to_markdown(result: Study) -> str:
    """Return a table of the networks."""
    columns = next((list(row["test"]) for row in result["networks"] if "test" in row), [])
    lines = [
        f"# {result['model']}, compressed",
        "",
        f"Error: {result['measure']}; on {result['choose_clips']} clips. On {result['clips']} of them"
        f" {result['evaluations']} networks were tried.",
        "",
    ]
    if columns:
        lines[2] += (
            f" Scores: {result['test_clips']} other clips; in brackets the difference from 8 bits and its"
            " 95% interval."
        )
    headings = ["network", "bytes", "of 8 bits", "error", *(["test error", *columns] if columns else [])]
    rows = []
    for row in result["networks"]:
        cells = [row["name"], f"{row['bytes']:,}", f"{row['of_8_bit']:.2f}", f"{row['error']:.4f}"]
        if "test" in row:
            cells.append(f"{row['test_error']:.4f}")
            for column in columns:
                change = row["against_8_bit"][column]
                cells.append(
                    f"{row['test'][column]['mean']:.3f} ({change['mean']:+.3f}, {change['low']:+.3f} to"
                    f" {change['high']:+.3f})"
                )
        rows.append(cells)
    return "\n".join([*lines, *table(headings, rows)]) + "\n"


def plot(result: Study) -> bytes:
    """Plot error over bytes on disk, as a PNG."""
    from matplotlib.figure import Figure

    from sese.evaluation.plots import to_png

    sheet = Figure(figsize=(6.5, 4.2), layout="constrained")
    draw(sheet.subplots(), result)
    return to_png(sheet, 130)


def draw(panel: Axes, result: Study) -> None:
    """Draw the front, one width for all, narrow weights, tuned networks and float, all on the same clips."""
    kilo = 1000
    rows = result["networks"]
    in_float = next(row for row in rows if row["name"] == "float")

    def line(points: Sequence[Mapping[str, Any]], style: str, **options: Any) -> None:
        sizes = [each["bytes"] / kilo for each in points]
        panel.plot(sizes, [each["error"] for each in points], style, **options)

    if result["front"]:
        line(result["front"], "o-", color="#1f5fa8", markersize=3, label="mixed")
    single = [row for row in rows if row["name"].endswith("-bit")]
    line(single, "s--", color="#c8391f", label="one width for all")
    narrow = [row for row in rows if row["name"].endswith("s8")]
    if narrow:
        line(narrow, "d-.", color="#e08e0b", label="narrow weights, signals of 8")
    tuned_ones = [row for row in rows if row["name"].endswith("-tuned")]
    if tuned_ones:
        line(tuned_ones, "*", color="#2b8a3e", markersize=9, label="tuned")
    for row in (*single, *narrow, *tuned_ones):
        panel.annotate(row["name"].removesuffix("-bit"), (row["bytes"] / kilo, row["error"]), fontsize=7)
    panel.axhline(in_float["error"], color="#999", linestyle=":", label="float32")
    panel.set(xlabel="kilobytes on disk", ylabel="error", title=result["model"])
    top = max(row["error"] for row in single)
    panel.set_ylim(top=top + 0.1 * (top - in_float["error"]) + 0.002)
    panel.legend(frameon=False, fontsize=8)


def write_report(folder: Path, result: Study) -> list[Path]:
    """Write `compress.json`, `compress.md` and `front.png`; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "compress.json": (json.dumps(result, indent=2) + "\n").encode(),
        "compress.md": to_markdown(result).encode(),
        "front.png": plot(result),
    }
    for name, content in contents.items():
        with replacing(folder / name) as part:
            part.write_bytes(content)
    return [folder / name for name in contents]


def widths(text: str) -> tuple[int, ...]:
    """Parse ``8`` or ``8,6,4`` into falling bit widths; 8, which others are compared with, is always there.

    Example:
        >>> widths("4,6")
        (8, 6, 4)

    Raises:
        InputError: no widths from 2 to 8.
    """
    try:
        read = tuple(sorted({MOST_BITS, *(int(part) for part in text.split(","))}, reverse=True))
    except ValueError:
        read = ()
    if not read or min(read) < LEAST_BITS or max(read) > MOST_BITS:
        raise InputError(f"--bits is '{text}'; give widths from {LEAST_BITS} to {MOST_BITS}, as 8 or 8,6,4")
    return read
