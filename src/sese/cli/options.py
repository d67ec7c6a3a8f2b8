"""Options that several verbs share, and how they are read: which model, how much of it, how mixed; which run.

Where a verb writes one thing, a file or a model, its option is ``--output``; a folder of several is
``--out-dir``. Either is ``-o`` where a verb has but one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from sese.core.errors import InputError


def model_names(incomplete: str) -> list[str]:
    """Bundled models whose names begin so, for the shell."""
    folder = Path(__file__).parents[1] / "pretrained"
    names = sorted(path.parent.name for path in folder.glob("*/model.onnx"))
    return [name for name in names if name.startswith(incomplete)]


def budgets(incomplete: str) -> list[str]:
    """Budgets that begin so, for the shell."""
    known = ("1", "0.5", "0.3", "fastest", "balanced", "best", "auto", "fixed:", "threshold", "threshold:6")
    return [budget for budget in known if budget.startswith(incomplete)]


Model = Annotated[
    str | None,
    typer.Option(
        help="Name of a bundled model, a model folder or an .onnx file.", autocompletion=model_names
    ),
]
MaxMmacs = Annotated[
    float | None, typer.Option(help="Never run a level above this many million MACs a second.")
]
MaxRtf = Annotated[
    float | None,
    typer.Option(help="Leave dearer levels out while frames take longer than this, times their length."),
]
Mix = Annotated[float, typer.Option(help="0: the input; 1: the enhanced audio; or in between.")]
MaxAttenuation = Annotated[float | None, typer.Option(help="Attenuate nothing by more than this many dB.")]
BandAbove = Annotated[
    Literal["follow", "drop"],
    typer.Option(help="What lies above the model's band: 'follow', attenuated as below it, or 'drop'."),
]
Linked = Annotated[
    bool, typer.Option("--linked/--unlinked", help="One level and one gain above the band for all channels.")
]
RunConfiguration = Annotated[
    Path, typer.Argument(help="A configuration file, or with --resume a run folder.")
]
Changes = Annotated[
    list[str] | None, typer.Argument(help="Values to change: key.path=value, and max_minutes=N.")
]
RunDir = Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/NAME]")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
BUDGET_HELP = (
    "Share of the compute to use, up to 1; 'auto': the model's router decides; 'fixed:0.25': this level, "
    "always ('fixed:2': the second expert); 'threshold' or 'threshold:DB': by the noise, more dB for more "
    "compute."
)


def number_or_word(text: str) -> float | str:
    """A budget as typed."""
    try:
        return float(text)
    except ValueError:
        return text


def run_of(config: Path, run_dir: Path | None) -> tuple[Path, Path | None]:
    """The configuration file and the run folder, where a run folder may stand for its configuration."""
    from sese.training.run_folder import RESOLVED

    return (config / RESOLVED, run_dir or config) if config.is_dir() else (config, run_dir)


def take_minutes(overrides: Sequence[str] | None) -> tuple[list[str], float | None]:
    """Part `max_minutes=N` from the overrides of a configuration.

    Raises:
        InputError: N is no number, NaN included.
    """
    changes = list(overrides or [])
    minutes = None
    for change in [c for c in changes if c.startswith("max_minutes=")]:
        changes.remove(change)
        try:
            minutes = float(change.removeprefix("max_minutes="))
            if math.isnan(minutes):
                raise ValueError
        except ValueError:
            raise InputError(f"{change}: give a number of minutes") from None
    return changes, minutes
