"""A paired set of two speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from sese.data.synthetic import synthetic_banks


def write_pairs(folder: Path, seconds: float = 2.0) -> Path:
    """Two pairs in clean/ and noisy/, and a manifest of who speaks."""
    banks = synthetic_banks(16000, seed=5, recordings=2, seconds=seconds)
    for side in ("clean", "noisy"):
        (folder / side).mkdir(parents=True)
    for number in range(2):
        clean = banks.speech.audio(number)
        noisy = np.clip(clean + 0.3 * banks.noise.audio(number), -1, 1)
        soundfile.write(folder / "clean" / f"{number}.wav", clean, 16000)
        soundfile.write(folder / "noisy" / f"{number}.wav", noisy, 16000)
    (folder / "manifest.csv").write_text("file,snr_db,speaker\n0.wav,10,ann\n1.wav,10,bob\n")
    return folder
