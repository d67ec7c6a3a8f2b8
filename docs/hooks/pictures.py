"""Pictures that are made when the site is built, from the models and recordings, for light and dark pages.

A page shows `figures/NAME.svg` for a NAME of `PICTURES`; on the site that becomes two pictures, of which the
page's colours show one. `python docs/hooks/pictures.py FOLDER` writes them all, to look at.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

INK, GREY, TEAL, ORANGE, BLUE = "#303030", "#8a8a8a", "#00796b", "#e6781e", "#4a86d8"
THEMES = {"": {}, "_dark": {INK: "#d8d8e0", TEAL: "#4db6ac"}}
"""Behind the picture's name -> its colours, where they are others. Backgrounds are transparent."""

SHOWN = re.compile(r"!\[([^\]]+)\]\(((?:\.\./)*figures)/(\w+)\.svg\)")
METHODS = {
    "one size": ("full", "a network without levels, or the highest alone"),
    "levels of one\nset of weights": (
        "random_level, all_levels, sandwich",
        "each row one; every one; highest, lowest, one more",
    ),
    "who picks\na level": (
        "routing_from_errors, routing",
        "a router, from each frame's errors, or from the loss",
    ),
    "rest": ("activity", "whether there is speech, and noise, from the mixtures"),
    "channels": ("pruning", "a gate in each block opens and closes them"),
    "experts": (
        "specialists, gating, mixture",
        "each its class; a gate tells classes; all together",
    ),
    "steps": ("milestones", "each takes some of the noise (cold diffusion)"),
    "bits": ("masks, boosting", "weights of one bit; hashes, bit after bit"),
    "one user, no\nclean speech": (
        "contrastive, purification",
        "noisy recordings as targets; besides, sese adapt",
    ),
}
"""Goal of a training -> the values of `training.method` for it, each with a description."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures."""
    from mkdocs.structure.files import File

    for name, content in pictures().items():
        files.append(File.generated(config, f"figures/{name}.svg", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show each picture of this file in the colours of the page."""
    return SHOWN.sub(_both, markdown)


def _both(found: re.Match[str]) -> str:
    alternative, folder, name = found.groups()
    if name not in PICTURES:
        return found[0]
    shown = {
        "light": f"{folder}/{name}.svg#only-light",
        "dark": f"{folder}/{name}_dark.svg#only-dark",
    }
    return "".join(f'![{alternative}]({place}){{ width="100%" }}' for place in shown.values())


def pictures() -> dict[str, bytes]:
    """Each picture in each theme, as SVG."""
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    made = {}
    for name, draw in PICTURES.items():
        style = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": name}
        with rc_context({key: INK for key in inks} | style):
            written = io.BytesIO()
            draw().savefig(written, format="svg", transparent=True, metadata={"Date": None})
        for theme, others in THEMES.items():
            made[name + theme] = written.getvalue()
            for colour, other in others.items():
                made[name + theme] = made[name + theme].replace(colour.encode(), other.encode())
    return made


def dial(models: tuple[str, ...]) -> Figure:
    """PESQ and SI-SDR of each level over its MACs, from the facts in the models' files."""
    import numpy as np

    from sese.runtime.artefact import open_artefact

    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for model, color in zip(models, (TEAL, ORANGE), strict=False):
        card = open_artefact(model).card
        costs = {level.utilization: level.macs_per_second / 1e6 for level in card.levels}
        router = card.router_macs_per_second / 1e6
        fixed, held = {}, {}
        for name, scores in card.quality.items():
            word = name.removeprefix("fixed:").removeprefix("held:")
            if word.replace(".", "", 1).isdigit():
                (held if name.startswith("held:") else fixed)[float(word)] = scores
        for axis, metric in zip(axes, ("pesq_wb", "si_sdr"), strict=True):
            points = [(costs[share], scores[metric]) for share, scores in sorted(fixed.items())]
            axis.plot(*zip(*points, strict=True), "o-", color=color, label=model)
            if held:
                points = [
                    (router + np.interp(share, list(costs), list(costs.values())), scores[metric])
                    for share, scores in held.items()
                ]
                axis.plot(
                    *zip(*points, strict=True), "*", ms=9, color=color, label=f"{model}, held by its router"
                )
            if model == models[0]:
                axis.axhline(card.quality["noisy"][metric], color=GREY, ls=":", label="noisy input")
    for axis, label in zip(axes, ("PESQ-WB", "SI-SDR (dB)"), strict=True):
        axis.set(xscale="log", xlabel="million MACs a second", ylabel=label)
        axis.minorticks_off()
        low, high = axis.get_xlim()
        ticks = [tick for tick in (5, 10, 20, 50, 100, 200, 400, 800) if low < tick < high]
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.grid(color=GREY, alpha=0.25)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize="small", frameon=False)
    return figure


def timeline() -> Figure:
    """When samples go in, when frames are computed, when samples come out."""
    from sese.runtime.artefact import open_artefact

    card = open_artefact("sese-2").card
    hop, late = (1000 * samples / card.sample_rate for samples in (card.hop_length, card.lookahead_samples))
    levels = [card.levels[index] for index in (1, 2, 0, 2)]
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    axis = figure.subplots()
    end = hop * (len(levels) + 2)
    for number in range(int(end / 10)):
        box(axis, 10 * number, 2.2, 10, 0.55, f"{10 * number}", GREY)
    for number, level in enumerate(levels):
        box(axis, number * hop, 1.2, hop, 0.55, f"frame {number}", BLUE)
        axis.plot([(number + 1) * hop] * 2, [0.75, 1.2], color=INK, lw=0.8, ls=":")
        axis.text((number + 1) * hop + 0.6, 0.95, f"at {level.utilization:g}", fontsize=8, va="center")
        box(axis, number * hop + hop + late, 0.2, hop, 0.55, f"frame {number}", TEAL)
    axis.annotate(
        "", (hop + late, -0.12), (0, -0.12), arrowprops={"arrowstyle": "<->", "color": ORANGE, "lw": 2}
    )
    told = f"a sample waits at most {hop + late:.0f} ms: a frame of {hop:.0f} ms has to fill,\n"
    told += f"and the model looks {late:.0f} ms ahead"
    axis.text(0, -0.85, told, color=ORANGE, fontsize=9)
    axis.set(xlim=(-0.5, end), ylim=(-1.0, 2.9), xlabel="ms", yticks=[])
    axis.set_yticks(
        [2.47, 1.47, 0.47],
        ["feed(): 10 ms\n(any length)", "computed when full,\nat a level of its own", "feed() gives back"],
    )
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def one_file() -> Figure:
    """Draw the parts inside the ONNX file and the steps of a program around it."""
    from sese.runtime.artefact import open_artefact

    card = open_artefact("demucs-slim-small").card
    figure = Figure(figsize=(7.2, 3.7), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set(xlim=(0, 100), ylim=(-6, 42))
    axis.add_patch(
        FancyBboxPatch(
            (19, 3), 62, 38, boxstyle="round,pad=0,rounding_size=1.5", fill=False, ec=GREY, ls="--"
        )
    )
    axis.text(
        21,
        37.5,
        f"model.onnx: one frame of {card.hop_length} samples, {card.sample_rate // 1000} kHz",
        fontsize=9,
        color=GREY,
    )
    box(axis, 1, 17, 14, 8, "audio, state\n[batch, ...]", GREY)
    box(axis, 22, 17, 12, 8, "features", BLUE)
    box(axis, 38, 5, 14, 7, "router", ORANGE)
    for number, level in enumerate(card.levels):
        y = 14 + 5.6 * number
        box(axis, 50, y, 13, 4.4, f"level {number}: {level.utilization:g}", TEAL)
        arrow(axis, (34, 21), (50, y + 2.2), GREY)
        arrow(axis, (63, y + 2.2), (68, 21), GREY)
    box(axis, 68, 17, 11, 8, "head", BLUE)
    box(axis, 85, 17, 14, 8, "enhanced,\nnext state", GREY)
    arrow(axis, (15, 21), (22, 21), INK)
    arrow(axis, (79, 21), (85, 21), INK)
    arrow(axis, (30, 17), (38, 9), ORANGE)
    arrow(axis, (52, 9), (56, 14), ORANGE)
    axis.text(
        53.5,
        7.6,
        "picks where level is -1,\nfor a budget, below a ceiling",
        fontsize=8,
        color=ORANGE,
        va="center",
    )
    axis.text(64.5, 36.3, "slices of one set of\nweights; one runs", fontsize=8, color=TEAL, va="center")
    axis.annotate(
        "",
        (8, 16.5),
        (92, 16.5),
        arrowprops={
            "arrowstyle": "->",
            "color": INK,
            "lw": 1,
            "connectionstyle": "bar,angle=180,fraction=-0.22",
        },
    )
    axis.text(50, -4.2, "the state goes back in with the next frame", fontsize=8, ha="center", va="center")
    return figure


def training_ways() -> Figure:
    """Ways to train, by what is to be learned."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set(xlim=(0, 100), ylim=(0, 10 * len(METHODS)))
    middle = 5 * len(METHODS)
    box(axis, 0, middle - 5, 17, 10, "training.method\nwhat is learned?", BLUE)
    for number, (what, (values, told)) in enumerate(METHODS.items()):
        y = 10 * (len(METHODS) - number) - 5
        arrow(axis, (17, middle), (23, y), GREY)
        box(axis, 23, y - 3.8, 17, 7.6, what, TEAL)
        axis.text(42, y + 1.9, values, family="monospace", va="center", fontsize=9.5, weight="bold")
        axis.text(42, y - 2.2, told, va="center", fontsize=8.5)
    return figure


def box(axis: Any, x: float, y: float, width: float, height: float, text: str, color: str) -> None:
    """A filled box with a text."""
    style = f"round,pad=0,rounding_size={0.1 * height}"
    axis.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle=style, fc=color, ec="none", alpha=0.28, mutation_aspect=1
        )
    )
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9)


def arrow(axis: Any, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    """An arrow between two places."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": color, "lw": 1})


DEMONSTRATED = ("bloom-net", "cold-diffusion", "ftf-net-dsn", "nsnet2-dynamic", "demucs-slim-small")
PICTURES: dict[str, Callable[[], Figure]] = {
    "dial": partial(dial, models=("sese-2", "demucs-slim-small")),
    **{f"dial_{model.replace('-', '_')}": partial(dial, models=(model,)) for model in DEMONSTRATED},
    "timeline": timeline,
    "one_file": one_file,
    "training_ways": training_ways,
}


if __name__ == "__main__":
    import sys

    for picture, drawn in pictures().items():
        Path(sys.argv[1], f"{picture}.svg").write_bytes(drawn)
