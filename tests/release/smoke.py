"""Check an installed wheel, without pytest and without PyTorch.

    python -I tests/release/smoke.py examples/playground.wav    # in an environment with the wheel alone

Enhances with every bundled model, holds streams to files, takes bad input as it should, prints the versions.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

import sese
from sese.runtime.artefact import bundled_models


def main(example: Path) -> None:
    """Raise at the first thing that is not as it should be."""
    audio, rate = soundfile.read(example, dtype="float32")
    audio = audio[: 3 * rate]
    for name in bundled_models():
        enhancer = sese.load(name)
        whole = enhancer.enhance(audio, rate)
        stream = enhancer.stream(rate, latency="high")
        pieces = [stream.feed(piece) for piece in np.array_split(audio, 17)]
        difference = np.abs(np.concatenate([*pieces, stream.flush()]) - whole).max()
        check(whole.shape == audio.shape and np.isfinite(whole).all(), f"{name}: shape and values")
        check(difference < 1e-4, f"{name}: stream and file differ by {difference}")
        check(float(np.abs(whole - audio).max()) > 0.01, f"{name}: something was removed")
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder, "talk.wav"), audio, rate)
        for words, code in (
            (["--help"], 0),
            (["models"], 0),
            (["doctor"], 0),
            (["enhance", "talk.wav"], 0),
            (["enhance", "missing.wav"], 2),
            (["enhance", "talk.wav", "--force", "--budget", "7"], 2),
            (["train", "nothing.yaml"], 2),  # without the extra, or without the file
        ):
            command = [sys.executable, "-I", "-m", "sese.cli.main", *words]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            check(done.returncode == code, f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
            check("Traceback" not in done.stderr, f"{' '.join(words)}: {done.stderr}")
        check(Path(folder, "talk_enhanced.wav").exists(), "enhance wrote its output")
    check("torch" not in sys.modules, "PyTorch was imported")
    versions = f"NumPy {np.__version__}, ONNX Runtime {onnxruntime.__version__}"
    print(f"Python {platform.python_version()}, {versions}: well")


def check(holds: bool, what: str) -> None:
    """Like `assert`, with -O too."""
    if not holds:
        raise SystemExit(what)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
