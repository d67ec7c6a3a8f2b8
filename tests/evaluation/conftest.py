"""A small paired corpus in both layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from evaluation_signals import RATE, noise, speech_like


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three pairs of two seconds in clean/ and noisy/, with a manifest of input SNRs."""
    folder = tmp_path / "corpus"
    for part in ("clean", "noisy"):
        (folder / part).mkdir(parents=True)
    for index in range(3):
        clean = speech_like(seed=index)
        soundfile.write(folder / "clean" / f"{index}.wav", clean, RATE)
        soundfile.write(folder / "noisy" / f"{index}.wav", clean + noise(len(clean), index), RATE)
    (folder / "manifest.csv").write_text("file,snr_db\n0.wav,5\n1.wav,5\n2.wav,10\n")
    return folder
