"""The dial as a picture: quality over compute of the bundled models, from the facts in their files."""

from __future__ import annotations

import io
from typing import Any

from mkdocs.structure.files import File, Files

PICTURE = "figures/dial.svg"
MODELS = ("sese-1", "demucs-slim-small")


def on_files(files: Files, config: Any) -> Files:
    """Add the picture."""
    files.append(File.generated(config, PICTURE, content=picture()))
    return files


def picture() -> bytes:
    """PESQ and SI-SDR of each level over its MACs, as SVG."""
    from matplotlib.figure import Figure

    from sese.runtime.artefact import open_artefact

    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for model in MODELS:
        card = open_artefact(model).card
        names = [f"{level.utilization:g}" for level in card.levels]
        quality = [card.quality.get(f"fixed:{name}") or card.quality[name] for name in names]
        costs = [level.macs_per_second / 1e6 for level in card.levels]
        for axis, metric in zip(axes, ("pesq_wb", "si_sdr"), strict=True):
            (line,) = axis.plot(costs, [scores[metric] for scores in quality], "o-", label=model)
            if model == MODELS[0]:
                axis.axhline(card.quality["noisy"][metric], color="gray", ls=":", label="noisy input")
            if "auto" in card.quality and model == MODELS[0]:
                held = [
                    (used, card.quality[used]) for used in card.quality if used.replace(".", "", 1).isdigit()
                ]
                mean = [(float(used) * costs[-1], scores[metric]) for used, scores in held if used != "1"]
                axis.plot(*zip(*mean, strict=True), "*", color=line.get_color(), label="held by the router")
    for axis, label in zip(axes, ("PESQ-WB", "SI-SDR (dB)"), strict=True):
        axis.set(xscale="log", xlabel="million MACs a second", ylabel=label)
        axis.set_xticks([50, 100, 200, 400], ["50", "100", "200", "400"])
        axis.minorticks_off()
    axes[0].legend(fontsize="small")
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()
