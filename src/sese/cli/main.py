"""`sese VERB ...`: the table of verbs, and the exit codes.

Verb files import only the standard library and typer at their top, so that `sese --help` is quick; what
they need to do the work (ONNX Runtime, PyTorch, ...) is imported inside the function.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

import typer

from sese.cli import (
    adapt,
    compress,
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
from sese.core.errors import InputError, remedy
from sese.core.stopping import stop_when_told

VERBS: dict[str, Callable[..., None]] = {
    "enhance": enhance.enhance,
    "stream": stream.stream,
    "live": live.live,
    "demo": demo.demo,
    "doctor": doctor.doctor,
    "evaluate": evaluate.evaluate,
    "pareto": pareto.pareto,
    "profile": profile.profile,
    "train": train.train,
    "sweep": sweep.sweep,
    "export": export.export,
    "adapt": adapt.adapt,
    "compress": compress.compress,
}
GROUPS = {"models": models.app, "data": data.app, "quality": quality.app, "speakers": speakers.app}

app = typer.Typer(
    name="sese",
    help="Scalable and efficient speech enhancement.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _word, _function in VERBS.items():
    app.command(_word)(_function)
for _word, _group in GROUPS.items():
    app.add_typer(_group, name=_word)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 some failed, 2 bad usage or input, or no place to write to, 130 and 143 stopped by
    SIGINT or SIGTERM.
    """
    stop_when_told()
    _open_missing()
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, io.TextIOWrapper):  # file names need not be text
            file.reconfigure(errors="backslashreplace")
    try:
        app()
    except InputError as error:
        _refuse(str(error))
    except OSError as error:  # disks fill up, folders vanish, files may not be read
        place = "" if error.filename is None else f"{error.filename}: "
        _refuse(f"{place}{error.strerror or error}; {remedy(error)}")


def _open_missing() -> None:
    """Let what goes to closed standard streams go nowhere, and no file that is opened take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives


def _refuse(words: str) -> None:
    print(f"sese: error: {words}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
