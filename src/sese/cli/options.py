"""Options that several verbs share: which model, how much of it, how mixed; which run.

A verb that writes one file or model has the option ``--output``; one that writes a folder of several has
``--out-dir``. Either is ``-o`` where a verb has only one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sese.core.errors import InputError

MODEL_AND_BUDGET, SOUND, OUTPUT, RUN, MESSAGES = "Model and budget", "Sound", "Output", "Run", "Messages"
"""Headings of groups of options."""


def model_names(incomplete: str) -> list[str]:
    """Return the bundled models whose names begin so, for the shell."""
    folder = Path(__file__).parents[1] / "pretrained"
    names = sorted(path.parent.name for path in folder.glob("*/model.onnx"))
    return [name for name in names if name.startswith(incomplete)]


def budgets(incomplete: str) -> list[str]:
    """Return the budgets that begin so, for the shell."""
    known = ("1", "0.5", "0.3", "fastest", "balanced", "best", "auto", "fixed:", "threshold", "threshold:6")
    return [budget for budget in known if budget.startswith(incomplete)]


def option(panel: str, *names: str, **facts: Any) -> Any:
    """Return an option under a heading."""
    return typer.Option(*names, rich_help_panel=panel, **facts)


MODEL_HELP = "Name of a bundled model (see `sese models`), or path of a model folder, an .onnx file or a run."
BUDGET_HELP = (
    "Largest share of compute: a number up to 1 runs the highest level within it (from 0.25 sese-2 also "
    "rests, and keeps the mean within it); 'fastest', 'balanced' and 'best' are such numbers. Also 'auto' "
    "(the model decides), 'fixed:0.25' (always this level; 'fixed:2' is the second expert), and 'threshold' "
    "or 'threshold:DB' (by the noise; more dB use more compute)."
)
Model = Annotated[
    str | None,
    option(
        MODEL_AND_BUDGET,
        "--model",
        "-m",
        help=MODEL_HELP,
        autocompletion=model_names,
        envvar="SESE_MODEL",
        show_default="sese-2",
    ),
]
Budget = Annotated[
    str,
    option(
        MODEL_AND_BUDGET, "--budget", "-b", help=BUDGET_HELP, autocompletion=budgets, envvar="SESE_BUDGET"
    ),
]
MaxMmacs = Annotated[
    float | None,
    option(MODEL_AND_BUDGET, help="Highest cost of any frame, in million MACs per second of one channel."),
]
MaxRtf = Annotated[
    float | None,
    option(
        MODEL_AND_BUDGET,
        help="Longest time for a frame, as a multiple of its duration; higher levels are left out while "
        "frames take longer.",
    ),
]
Mix = Annotated[float, option(SOUND, help="Share of enhanced audio in the output: 0 is the input.")]
MaxAttenuation = Annotated[float | None, option(SOUND, help="Strongest attenuation of anything, in dB.")]
For = Annotated[
    Literal["listener", "recogniser"],
    option(
        SOUND,
        "--for",
        help="Hearer of the output: for 'recogniser' the attenuation is limited to 12 dB, unless "
        "--max-attenuation-db is given.",
    ),
]
BandAbove = Annotated[
    Literal["follow", "drop"],
    option(
        SOUND,
        help="Frequencies above the model's band: 'follow' keeps speech and attenuates noise as below, "
        "'drop' removes everything.",
    ),
]
Linked = Annotated[
    bool,
    option(
        SOUND,
        "--linked/--unlinked",
        help="Enhance all channels with one level per frame, or each as if it were alone.",
    ),
]
Force = Annotated[bool, option(OUTPUT, "--force", "-f", help="Replace existing outputs.")]
Quiet = Annotated[bool, option(MESSAGES, "--quiet", "-q", help="Show only errors.")]
RunConfiguration = Annotated[
    Path,
    typer.Argument(
        help="Configuration: a file, or a name that `sese configs` lists; with --resume also a run folder."
    ),
]
Changes = Annotated[
    list[str] | None, typer.Argument(help="Values to change, as key.path=value, and max_minutes=N.")
]
RunDir = Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]


def limit_for(hearer: str, max_attenuation_db: float | None) -> float | None:
    """Return the limit of the attenuation in dB for what hears the output; a given one counts."""
    from sese.runtime.options import RECOGNISER_DB

    usual = RECOGNISER_DB if hearer == "recogniser" else None
    return usual if max_attenuation_db is None else max_attenuation_db


def number_or_word(text: str) -> float | str:
    """Return a budget as a number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def run_of(config: Path, run_dir: Path | None, resume: bool = False) -> tuple[Path, Path | None]:
    """Return the configuration file and the run folder; a run folder may be given as the configuration.

    Args:
        config: Configuration, or folder of a run.
        run_dir: Folder of the run; None for the default.
        resume: Whether the run is to go on, for the message.

    Raises:
        InputError: The folder is not that of a run.
    """
    from sese.training.config_file import find_config
    from sese.training.run_folder import RESOLVED

    if config.is_dir():
        if (config / RESOLVED).is_file():
            return config / RESOLVED, run_dir or config
        if not find_config(config).is_file():
            raise InputError(f"{config} holds no run (no {RESOLVED}); name the folder of one, as runs/NAME")
    elif resume and not find_config(config).is_file():
        raise InputError(
            f"there is no run in {config} to go on with; name the folder of one, as runs/NAME, or leave "
            "--resume out"
        )
    return config, run_dir


def take_minutes(overrides: Sequence[str] | None) -> tuple[list[str], float | None]:
    """Separate `max_minutes=N` from the other changes of a configuration.

    Raises:
        InputError: N is not a number, or NaN.
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
