"""`sese live` without PortAudio or its Python package."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sese.core.install import install_command


@pytest.mark.parametrize(
    ("block", "told"),
    [("None", install_command("live")), ("Broken()", "apt install libportaudio2")],
)
def test_missing_parts(block: str, told: str) -> None:
    """The package is not there, or cannot find PortAudio."""
    code = f"""
import importlib.abc, sys
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
block = {block}
if block is None:
    sys.modules["sounddevice"] = None
else:
    sys.meta_path.insert(0, block)
from sese.cli.main import main
sys.argv = ["sese", "live", "--list"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sese: error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
