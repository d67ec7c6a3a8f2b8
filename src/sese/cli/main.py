"""`sese VERB ...`: the table of verbs, and the exit codes.

Verb files import only the standard library and typer at their top, so that `sese --help` is quick; what they
need to do the work (ONNX Runtime, PyTorch, ...) is imported inside the function.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from sese import __version__
from sese.cli import (
    above,
    adapt,
    cache,
    compress,
    configs,
    data,
    demo,
    doctor,
    enhance,
    evaluate,
    export,
    live,
    models,
    pareto,
    profile,
    quality,
    speakers,
    stream,
    sweep,
    train,
)
from sese.cli.apps import App
from sese.core.errors import InputError, remedy
from sese.core.stopping import stop_when_told

ENHANCE, MEASURE, TRAIN, STUDY = "Enhance", "Measure", "Train", "Study"

VERBS: dict[str, tuple[Callable[..., None], str, str]] = {  # function, panel, example
    "enhance": (enhance.enhance, ENHANCE, "sese enhance talk.wav"),
    "stream": (stream.stream, ENHANCE, "sese stream < noisy.wav > clean.wav"),
    "live": (live.live, ENHANCE, "sese live --input microphone --output headphones"),
    "demo": (demo.demo, ENHANCE, "sese demo"),
    "doctor": (doctor.doctor, MEASURE, "sese doctor"),
    "profile": (profile.profile, MEASURE, "sese profile sese-2"),
    "evaluate": (evaluate.evaluate, MEASURE, "sese evaluate sese-2 noisy-set -o report"),
    "pareto": (pareto.pareto, MEASURE, "sese pareto sese-2 demucs-slim-small noisy-set -o report"),
    "configs": (configs.configs, TRAIN, "sese configs sese_2/base"),
    "train": (train.train, TRAIN, "sese train mine.yaml max_minutes=60"),
    "sweep": (sweep.sweep, TRAIN, "sese sweep grid.yaml --list"),
    "export": (export.export, TRAIN, "sese export runs/mine -o models/mine"),
    "adapt": (adapt.adapt, TRAIN, "sese adapt sese-2 --recordings calls -o models/me"),
    "compress": (compress.compress, STUDY, "sese compress models/mine noisy-set -o small --bits 8,6"),
}
GROUPS: dict[str, tuple[typer.Typer, str, str]] = {
    "models": (models.app, MEASURE, "sese models show sese-2"),
    "cache": (cache.app, MEASURE, "sese cache clear --dry-run"),
    "data": (data.app, TRAIN, "sese data mix corpus noisy-set --clips 100"),
    "quality": (quality.app, STUDY, "sese quality train predictor.yaml"),
    "above": (above.app, STUDY, "sese above train above/band_head"),
    "speakers": (speakers.app, STUDY, "sese speakers verify runs/embedding corpus"),
}

app = App(
    "Remove noise from speech, with as much compute as the device has.",
    name="sese",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: sese enhance talk.wav",
)
for _word, (_function, _panel, _example) in VERBS.items():
    app.verb(_word, _example, _panel)(_function)
for _word, (_group, _panel, _example) in GROUPS.items():
    app.add_typer(_group, name=_word, rich_help_panel=_panel, epilog=f"Example: {_example}")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"sese {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Remove noise from speech, with as much compute as the device has."""


@app.verb("help", "sese help enhance", hidden=True)
def show_help(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(help="Verb, and verb below it.")] = None,
) -> None:
    """Show the help of sese or of a verb."""
    at = context.parent
    assert at is not None
    for word in words or ():
        command = getattr(at.command, "commands", {}).get(word)
        if command is None:
            raise InputError(f"there is no help on {word!r}; `sese help` lists the verbs")
        at = type(context)(command, info_name=word, parent=at)
    print(at.get_help())


def main() -> None:
    """Run the command line.

    Exit codes: 0 done; 1 some files failed; 2 the input or the output cannot be used; 130 and 143 stopped by
    SIGINT or SIGTERM.
    """
    stop_when_told()
    _open_missing()
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, io.TextIOWrapper):  # file names need not be text
            file.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="sese")  # however it was started
    except InputError as error:
        _refuse(str(error) + _from_environment(str(error)))
    except OSError as error:  # disks fill up, folders vanish, files may not be read
        place = "" if error.filename is None else f"{error.filename}: "
        _refuse(f"{place}{error.strerror or error}; {remedy(error)}")


def _open_missing() -> None:
    """Open the null device for each closed standard stream, so that no other file takes its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives


def _from_environment(words: str) -> str:
    """Return what to add to an error about a value that a variable of the environment gave."""
    for variable in ("SESE_MODEL", "SESE_BUDGET"):
        value = os.environ.get(variable)
        if value and value in words and not any(value in argument for argument in sys.argv[1:]):
            return f" ({variable} is {value})"
    return ""


def _refuse(words: str) -> None:
    print(f"sese: error: {words}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
