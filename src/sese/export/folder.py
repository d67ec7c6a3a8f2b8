"""A model folder: the ONNX file, the weights, the configuration and the card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx

import sese
from sese.bits import bitwise
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, from_json
from sese.export.card import ONNX, README, Kept, read_card, read_notes, training_section, write_card
from sese.export.check import check_export
from sese.export.onnx import to_onnx
from sese.export.packed import save_packed
from sese.nn import checkpoint
from sese.nn.cost import macs_per_frame, parameters, parameters_used
from sese.nn.enhancer import Enhancer
from sese.nn.plan import alternatives, utilization
from sese.nn.policies.fixed import level_plans
from sese.runtime.card import Card, Level
from sese.runtime.weights_folder import weights_folder
from sese.training.run_folder import RESOLVED

FILES = (ONNX, checkpoint.CONFIG, checkpoint.WEIGHTS, README)
"""Files of every model folder."""


def export_folder(
    run: Path,
    output: Path,
    *,
    name: str | None = None,
    evaluation: Path | None = None,
    notes: Path | None = None,
    description: str | None = None,
    force: bool = False,
) -> None:
    """Export a run's best weights as a model folder; it appears whole or not at all.

    Args:
        run: run folder, or a folder with `config.json` and `model.safetensors`. Of a model folder,
            the card is kept, except for the parts that other arguments give.
        output: folder to create.
        name: name of the model; the output folder's name if None.
        evaluation: report folder of `sese evaluate`, for the quality of the levels.
        notes: Markdown for the card.
        description: one sentence on the model; the system's, or the model folder's own, if None.
        force: whether to replace an existing model folder.

    Raises:
        InputError: `run` holds no model, the output may not be replaced, or the export differs from PyTorch.
    """
    source = weights_folder(run)
    model = checkpoint.load(source)
    _, config = checkpoint.read_config(source)
    check_output(output, force, run, *filter(None, (evaluation, notes)))
    kept = read_card(source, new_notes=notes is not None) if (source / ONNX).is_file() else Kept()
    text = read_notes(notes) if notes else kept.notes
    training = training_section(run) if (run / RESOLVED).is_file() else kept.training
    quality = read_quality(evaluation) if evaluation else kept.quality
    card = describe(
        model, name or output.name, description or kept.description or config.description, quality
    )
    used = [level.utilization for level in card.levels]

    with replacing(output, folder=True) as folder:
        proto = to_onnx(model, card, used)
        onnx.save(proto, folder / ONNX)
        difference = check_export(folder / ONNX, model, used)
        for file in (checkpoint.CONFIG, checkpoint.WEIGHTS):
            shutil.copyfile(source / file, folder / file)
        save_packed(model, folder)
        sizes = [(folder / file).stat().st_size for file in (ONNX, checkpoint.WEIGHTS)]
        write_card(folder / README, card, text, training, difference)
    print(
        f"{output}: {len(used)} levels, {sizes[0] / 1e6:.2f} MB ({sizes[0] / sizes[1]:.2f} of the weights), "
        f"largest difference from PyTorch {difference:.1e}"
    )


def check_output(output: Path, force: bool, *sources: Path) -> None:
    """Check that an output folder is new, empty, or a model folder that may be replaced.

    Args:
        output: folder to create.
        force: whether an existing model folder may be replaced.
        sources: files and folders that the export reads.

    Raises:
        InputError: the output exists and may not be replaced.
    """
    if not output.exists():
        return
    for source in sources:
        if source.resolve() == output.resolve():
            raise InputError(f"{output} is read and cannot be the output; name another folder with -o")
        if source.resolve().is_relative_to(output.resolve()):
            raise InputError(f"{output} holds {source}, which is read; name another folder with -o")
    if not force:
        raise InputError(f"{output} exists already; add --force to replace it, or name another folder")
    if not output.is_dir():
        raise InputError(f"{output} is a file, not a model folder; name another folder with -o")
    held = {path.name for path in output.iterdir()}
    foreign = sorted(held - {*FILES, bitwise.FILE})
    if foreign or (held and ONNX not in held):
        why = f"it holds '{foreign[0]}'" if foreign else f"it has no {ONNX}"
        raise InputError(
            f"{output} is not replaced, since {why} and is no model folder; "
            "remove it yourself, or name another folder with -o"
        )


def describe(model: Enhancer, name: str, description: str, quality: dict[str, Any]) -> Card:
    """Return the facts that the ONNX file holds.

    Args:
        model: network.
        name: name of the model.
        description: one sentence on the model.
        quality: mean scores by level, see `read_quality`.
    """
    gated = model.gated
    frames_per_second = model.sample_rate / model.hop_length
    levels = [
        Level(
            utilization=round(float(utilization(plan, model.sites).mean()), 6),
            macs_per_second=float(macs_per_frame(model, plan).mean()) * frames_per_second,
            parameters=parameters(model) if gated else parameters_used(model, level + 1),
        )
        for level, plan in enumerate(level_plans(model))
    ]
    return Card(
        name=name,
        version=sese.__version__,
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        lookahead_samples=model.lookahead_samples,
        latency_samples=model.latency_samples,
        levels=tuple(levels),
        parameters=parameters(model),
        router=model.policy is not None,
        router_macs_per_second=0.0 if model.policy is None else model.policy.macs() * frames_per_second,
        licence={"code": "MIT", "weights": "MIT", "data": "see the model card"},
        quality=quality,
        description=description,
        gates=gated,
        static_macs_per_second=model.macs()[0] * frames_per_second,
        alternatives=alternatives(model.sites),
        rests=model.rests,
    )


def read_quality(report: Path) -> dict[str, dict[str, float]]:
    """Read mean scores by level from a report of `sese evaluate`.

    Args:
        report: report folder, or its `evaluation.json`.

    Returns:
        Level -> metric -> mean score; ``noisy`` has the scores of the noisy input.

    Raises:
        InputError: the file is no such report.
    """
    path = report / "evaluation.json" if report.is_dir() else report
    try:
        return {
            str(level["level"]).removeprefix("budget "): {
                metric: round(float(value["mean"]), 4)
                for metric, value in level["mean"].items()
                if value["mean"] is not None
            }
            for level in from_json(path.read_text())["levels"]
        }
    except (OSError, *MALFORMED):
        raise InputError(f"{path} is no report of `sese evaluate`; make one with its option -o") from None
