"""The exported file against the network, on real audio; an export that differs is no export."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import soundfile
import torch

from sese.errors import InputError
from sese.nn.enhancer import Enhancer
from sese.nn.policies.fixed import levels_plan
from sese.runtime.artefact import open_artefact

TOLERANCE = 1e-4


def check_export(path: Path, model: Enhancer, levels: int) -> float:
    """Compare every level, and levels that change in every frame, with PyTorch.

    Args:
        path: the exported file.
        model: the network it was made from.
        levels: number of levels.

    Returns:
        The largest difference of any sample.

    Raises:
        InputError: the difference is above TOLERANCE; names the level.
    """
    audio = torch.from_numpy(_speech(model.sample_rate)).view(1, 1, -1)
    audio = audio[..., : audio.shape[-1] // model.hop_length * model.hop_length]
    frames = audio.shape[-1] // model.hop_length
    changing = torch.randint(levels, (frames,), generator=torch.Generator().manual_seed(0))
    worst = 0.0
    for name, chosen in [(f"level {n}", torch.full((frames,), n)) for n in range(levels)] + [
        ("changing levels", changing)
    ]:
        plan = levels_plan(model.sites, chosen[None])
        with torch.no_grad():
            expected = model(audio, plan).audio.numpy()
        difference = float(np.abs(_run(path, audio.numpy(), chosen.tolist()) - expected).max())
        if not difference <= TOLERANCE:
            raise InputError(
                f"{path}: at {name} the exported model differs from PyTorch by {difference:.2e} (allowed "
                f"{TOLERANCE:.0e}); report it with the versions that `sese doctor` prints"
            )
        worst = max(worst, difference)
    return worst


def _run(path: Path, audio: np.ndarray, levels: list[int]) -> np.ndarray:
    """Step through (1, 1, time), with a level for each frame."""
    artefact = open_artefact(path)
    hop = artefact.card.hop_length
    names = list(artefact.state)
    state = {f"state.{name}": artefact.state[name].zeros(1) for name in names}
    wanted = ["enhanced", *(f"next_state.{name}" for name in names)]
    enhanced = []
    for frame, level in enumerate(levels):
        step = {"audio": audio[..., frame * hop : (frame + 1) * hop], "level": np.array(level, np.int64)}
        output, *after = artefact.session.run(wanted, {**step, **state})
        state = {f"state.{name}": value for name, value in zip(names, after, strict=True)}
        enhanced.append(output)
    return np.concatenate(enhanced, axis=-1)


def _speech(sample_rate: int) -> np.ndarray:
    """The noisy recording that comes with the package, as if recorded at `sample_rate`: (time,) float32."""
    with as_file(files("sese.export") / "noisy_speech.flac") as path:
        audio, _ = soundfile.read(path, dtype="float32")
    return audio[: 4 * sample_rate]
