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

from sese.core.cache import cache_folder
from sese.core.errors import InputError

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
        InputError: there is no compiler, it fails, or the cache folder cannot be written.
    """
    program = compiler()
    if program is None:
        raise InputError("there is no C compiler; install one")
    folder = cache_folder()
    # Another machine that shares the home folder may have another processor.
    told = (program, platform.node(), *FLAGS, *flags, *libraries)
    named = b" ".join([source, *map(str.encode, told)])
    target = folder / f"kernel-{hashlib.sha256(named).hexdigest()[:24]}.so"
    try:
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(source, target, [program, *FLAGS, *flags], libraries)
    except OSError as error:
        raise InputError(
            f"{folder} cannot keep a compiled library ({error.strerror or error}); set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from None
    return target


def _compile(source: bytes, target: Path, command: Sequence[str], libraries: Sequence[str]) -> None:
    """Run the compiler and put what it made in its place."""
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        code, library = Path(made) / "kernel.c", Path(made) / "kernel.so"
        code.write_bytes(source)
        whole = [*command, "-o", str(library), str(code), *libraries]
        done = subprocess.run(whole, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise InputError(f"{command[0]} cannot compile ({reason})")
        os.replace(library, target)
