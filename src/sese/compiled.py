"""Compile C for the processor that runs it, and keep the library in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sese.errors import InputError

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


def compiler() -> str | None:
    """Return the C compiler: the one that CC names, else cc, gcc or clang; None where there is none."""
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return next(filter(None, map(shutil.which, names)), None)


def compile_library(source: bytes, flags: Sequence[str] = (), libraries: Sequence[str] = ()) -> Path:
    """Compile a source into a shared library, which appears whole or not at all; done once for a source.

    Args:
        source: C.
        flags: of the compiler, behind `FLAGS`.
        libraries: to link with, as ``-lm``.

    Raises:
        InputError: there is no compiler, or it fails.
    """
    program = compiler()
    if program is None:
        raise InputError("there is no C compiler; install one")
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "sese"
    # Another machine that shares the home folder may have another processor.
    told = (program, platform.node(), *FLAGS, *flags, *libraries)
    named = b" ".join([source, *map(str.encode, told)])
    target = folder / f"kernel-{hashlib.sha256(named).hexdigest()[:24]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        code, library = Path(made) / "kernel.c", Path(made) / "kernel.so"
        code.write_bytes(source)
        command = [program, *FLAGS, *flags, "-o", str(library), str(code), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise InputError(f"{program} cannot compile ({reason})")
        os.replace(library, target)
    return target
