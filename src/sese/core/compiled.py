"""Compile C for the processor of this machine, and keep the library in the user's cache folder."""

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
    """Return the C compiler that CC names, else cc, gcc or clang; None where there is none."""
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return next(filter(None, map(shutil.which, names)), None)


def compile_library(source: bytes, flags: Sequence[str] = (), libraries: Sequence[str] = ()) -> Path:
    """Compile a source into a shared library, once; it appears whole or not at all.

    Args:
        source: Source in C.
        flags: Flags for the compiler, after `FLAGS`.
        libraries: Libraries to link with, such as ``-lm``.

    Returns:
        Path of the library.

    Raises:
        InputError: There is no compiler, it fails, or the cache folder cannot be written.
    """
    program = compiler()
    if program is None:
        raise InputError("there is no C compiler; install one")
    folder = cache_folder()
    # Another machine that shares the home folder may have another processor.
    facts = (program, platform.node(), *FLAGS, *flags, *libraries)
    named = b" ".join([source, *map(str.encode, facts)])
    target = folder / f"kernel-{hashlib.sha256(named).hexdigest()[:24]}.so"
    try:
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(source, target, [program, *FLAGS, *flags], libraries)
    except OSError as error:
        raise InputError(
            f"{folder} cannot hold a compiled library ({error.strerror or error}); set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from None
    return target


def _compile(source: bytes, target: Path, command: Sequence[str], libraries: Sequence[str]) -> None:
    """Run the compiler and move the library to its destination."""
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        code, library = Path(made) / "kernel.c", Path(made) / "kernel.so"
        code.write_bytes(source)
        whole = [*command, "-o", str(library), str(code), *libraries]
        done = subprocess.run(whole, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise InputError(f"{command[0]} cannot compile ({reason})")
        os.replace(library, target)
