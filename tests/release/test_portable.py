"""Run the package without the modules and calls that Windows lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "playground.wav"

WITHOUT_POSIX = """
import os, pkgutil, signal, sys
import lightning, matplotlib.pyplot, numpy, onnx, onnxruntime, platformdirs, rich, soundfile, torch
for name in ("fcntl", "termios", "tty", "resource", "pwd", "grp"):
    sys.modules[name] = None
for name in ("fork", "getuid", "geteuid", "killpg", "sched_getaffinity", "mkfifo"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGPIPE", "SIGUSR1", "SIGALRM", "SIGQUIT"):
    delattr(signal, name)
"""


def test_every_module_is_imported():
    code = """
import sese
for module in pkgutil.walk_packages(sese.__path__, "sese."):
    try:
        __import__(module.name)
    except ImportError as error:
        if error.name.partition(".")[0] not in ("loguru", "pipecat"):  # not installed for tests
            raise
    print(module.name)
"""
    names = run(code).split()
    assert {"sese.folders.jobs", "sese.training.sweep", "sese.live.keys", "sese.demo.server"} <= set(names)


def test_files_are_enhanced(tmp_path: Path):
    code = f"""
from sese.cli.main import main
sys.argv = ["sese", "enhance", {str(EXAMPLE)!r}, "-o", {str(tmp_path / "clean.wav")!r}, "--jobs", "1"]
main()
"""
    run(code)
    assert (tmp_path / "clean.wav").stat().st_size > 10_000


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", WITHOUT_POSIX + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
