"""The model card: facts about a model, its training and its scores."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sese.core.errors import InputError, plain
from sese.core.tables import table
from sese.core.untrusted import MALFORMED, from_json
from sese.evaluation.headings import HEADINGS
from sese.runtime.artefact import open_session
from sese.runtime.card import Card, description_and_quality
from sese.training.run_folder import RESOLVED

ONNX, README = "model.onnx", "README.md"
"""Files of a model folder that describe the model."""

GATES = (
    "\n- gates pick the channels that run, under `--budget auto`; the level below is everything, which is as "
    "good as it was trained (`training.pruning.dense_share`)"
)

BEHIND_LEVELS = re.compile(
    r"^## Levels\n\n(?:\|.*\n)+(?P<behind>[\s\S]*?)(?:^## Weights in (?:fp16|int8)\n|\Z)", re.MULTILINE
)
"""The text below a card's table of levels. The figures of quantised weights, at the end, are left out."""

TRAINING = re.compile(r"^(?=## Training\n)", re.MULTILINE)
"""Where a card's section of its run begins."""

EXPERTS = "\n- the levels are experts of equal cost, of which one runs; `--budget fixed:2` is the second"
GATE = "; a gate picks one, under `--budget auto` or 1"


@dataclass(frozen=True)
class Kept:
    """Parts of a model card that a new export of the model folder keeps.

    Attributes:
        description: one sentence on the model.
        quality: mean scores by level, see `Card`.
        notes: Markdown on data, licences and use.
        training: Markdown section with the curve and the recipe.
    """

    description: str = ""
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: str = ""
    training: str = ""


def write_card(path: Path, card: Card, notes: str, training: str, difference: float) -> None:
    """Write a card in the layout of the Hugging Face Hub.

    Args:
        path: path of the card.
        card: facts that the ONNX file holds.
        notes: Markdown on data, licences and use.
        training: section of the recipe and the curve, see `training_section`; may be empty.
        difference: largest difference between the ONNX file and PyTorch.
    """
    rate, hop, latency = card.sample_rate, card.hop_length, card.latency_samples
    parts = [
        "---\nlicense: mit\nlibrary_name: sese\npipeline_tag: audio-to-audio\n"
        "tags: [speech-enhancement, noise-suppression, slimmable, streaming]\n---",
        f"# {card.name}",
        card.description,
        f"- {rate} Hz, mono; more channels are enhanced side by side\n"
        f"- one step is {hop} samples ({1000 * hop / rate:.0f} ms); latency {latency} samples "
        f"({1000 * latency / rate:.1f} ms), of which {card.lookahead_samples} look ahead\n"
        f"- {card.parameters:,} parameters; the ONNX file agrees with PyTorch to {difference:.1e}\n"
        f"- made by sese {card.version}" + _remarks(card),
        "## Levels",
        _levels(card),
        notes,
        training,
    ]
    path.write_text("\n\n".join(part for part in parts if part) + "\n")


def read_card(folder: Path, *, new_notes: bool = False) -> Kept:
    """Return the parts of a model folder's card that a new export keeps.

    The model file may have an older format. If it cannot be opened, description and quality are empty. If the
    README has no table of levels, a line on stderr says that its text is left out.

    Args:
        folder: model folder; it needs no README.
        new_notes: whether the caller has new notes; the line on stderr is not printed then.

    Raises:
        InputError: The README is no text in UTF-8.
    """
    description, quality = _facts(folder / ONNX)
    readme = folder / README
    if not readme.exists():
        return Kept(description, quality)
    text = _read_text(readme, "save it in UTF-8, or remove it")
    found = BEHIND_LEVELS.search(text + "\n")
    if found is None:
        if not new_notes:
            left_out = "has no table under '## Levels', so its text is left out; give it with --notes"
            print(f"{plain(readme)} {left_out}", file=sys.stderr)
        return Kept(description, quality)
    notes, *training = TRAINING.split(found["behind"])
    return Kept(description, quality, notes.strip(), "".join(training).strip())


def _facts(path: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """Return the description and the quality of the levels that a file of any format holds."""
    try:
        return description_and_quality(
            from_json(open_session(path).get_modelmeta().custom_metadata_map["sese"])
        )
    except (InputError, *MALFORMED):
        return "", {}


def read_notes(path: Path) -> str:
    """Read Markdown for a card.

    Raises:
        InputError: the file does not exist, or is no text.
    """
    return _read_text(path, "give Markdown in UTF-8 with --notes")


def _read_text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); {remedy}") from None


def training_section(run: Path) -> str:
    """Return the section of a card on the training: the curve and the recipe of a run folder."""
    parts = ["## Training", _curve(run), f"```yaml\n{_recipe(run)}\n```"]
    return "\n\n".join(part for part in parts if part)


def _remarks(card: Card) -> str:
    if card.gates:
        return GATES
    if card.alternatives:
        return EXPERTS + (GATE if card.router else "; no gate picks one")
    return ""


def _levels(card: Card) -> str:
    quality = card.quality
    shown = [name for name in HEADINGS if any(name in row for row in quality.values())]
    rows: list[list[str]] = []
    if "noisy" in quality:
        rows.append(["noisy", "", "", *(_number(quality["noisy"], name) for name in shown)])
    listed = {"noisy"}
    for number, level in enumerate(card.levels, start=1):
        name = f"{number}" if card.alternatives else f"{level.utilization:g}"
        key = f"fixed:{name}" if f"fixed:{name}" in quality else name
        listed.add(key)
        cost = [f"{level.macs_per_second / 1e6:.1f}", f"{level.parameters:,}"]
        rows.append([name, *cost, *(_number(quality.get(key, {}), metric) for metric in shown)])
    for key in quality:
        if key not in listed:
            rows.append([f"budget {key}", "", "", *(_number(quality[key], metric) for metric in shown)])
    return "\n".join(table(["level", "MMAC/s", "parameters", *(HEADINGS[name][0] for name in shown)], rows))


def _number(scores: dict[str, float], name: str) -> str:
    return f"{scores[name]:.{HEADINGS[name][1]}f}" if name in scores else ""


def _recipe(run: Path) -> str:
    """Return the run's configuration as YAML, with names instead of paths of the corpora."""
    values = yaml.safe_load((run / RESOLVED).read_text())
    for role in ("train", "validation", "speech", "noise", "rir"):
        values["data"][role] = [Path(folder).name for folder in values["data"][role]]
    values["data"].pop("cache_dir")
    initial = Path(values["training"].get("initial", ""))
    if initial.is_absolute():
        values["training"]["initial"] = Path(*initial.parts[-2:]).as_posix()
    return yaml.safe_dump(values, sort_keys=False).strip()


def _curve(run: Path) -> str:
    """Return the hours of audio in training, and the validation scores during it, as Markdown."""
    hours, rows = 0.0, []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        hours = values.get("audio_hours", hours)
        if "val/score" in values:
            levels = sorted(name for name in values if name.startswith("val/si_sdr/"))
            cells = [f"{values[name]:.1f}" for name in levels]
            rows.append([f"{values['step'] + 1}", f"{hours:.1f}", f"{values['val/score']:.4f}", *cells])
            header = ["step", "audio-hours", "loss", *(f"SI-SDR {name.rsplit('/', 1)[1]}" for name in levels)]
    if not rows:
        return ""
    return (
        f"{hours:.1f} hours of mixtures. On the run's validation clips (SI-SDR by level, 0 the lowest):\n\n"
        + "\n".join(table(header, rows))
    )
