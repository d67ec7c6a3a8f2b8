"""Completion in the shell: the script that `sese --show-completion` prints, in a real Bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = """
_script="$(_SESE_COMPLETE=source_bash sese)" && eval "$_script"
ask() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  "$(complete -p sese | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" sese
  echo "${COMPREPLY[*]}"
}
ask sese qual
ask sese enhance --max-at
ask sese enhance --model ses
ask sese enhance --budget thr
ask sese models show dem
"""


def test_bash(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    program = tmp_path / "sese"
    start = "import sys; sys.argv[0] = 'sese'; from sese.cli.main import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["bash", "--norc", "-c", BASH]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "quality",
        "--max-attenuation-db",
        "sese-2",
        "threshold threshold:6",
        "demucs-slim-small",
    ], done.stderr
