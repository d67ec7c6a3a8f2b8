"""Comparison of the exported file with the network, on real audio; a difference is an error."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.enhancer import Enhancer
from sese.nn.plan import alternatives, full
from sese.nn.policies.budget import WINDOW_SECONDS
from sese.nn.policies.fixed import levels_plan
from sese.runtime.artefact import ROUTER, Artefact, open_artefact
from sese.runtime.step import Step

TOLERANCE = 1e-4
"""Largest difference of any sample."""
QUANTISED_TOLERANCE = 0.03
"""Tolerance of a network that quantises its input, as a ratio of RMS values: a value at a threshold may get
another code in another runtime."""

HELD = 0.3
"""Budget that the router is checked with, besides no budget."""

CALLS = ([1], [7, 1, 50, 2, 19])
"""Numbers of frames of the calls, repeated over the audio."""


def check_export(path: Path, model: Enhancer, utilizations: Sequence[float]) -> float:
    """Compare an exported file with PyTorch, with one frame a call and with many.

    Cases are every level, changing levels, and the policy without a budget and with one.

    Args:
        path: exported file.
        model: network that was exported.
        utilizations: utilization of each level, lowest level first.

    Returns:
        The largest difference of any sample.

    Raises:
        InputError: the difference is above `TOLERANCE`; it names the case.
    """
    audio = torch.from_numpy(speech(model.sample_rate)).view(1, 1, -1)
    audio = audio[..., : audio.shape[-1] // model.hop_length * model.hop_length]
    frames, count = audio.shape[-1] // model.hop_length, len(utilizations)
    gated = model.gated
    generator = torch.Generator().manual_seed(0)
    changing = torch.randint(ROUTER if gated else 0, count, (frames,), generator=generator)
    cases = [(f"level {level}", torch.full((frames,), level), 0.0) for level in range(count)]
    cases.append(("changing levels", changing, 0.0))
    asked = torch.full((frames,), ROUTER)
    if gated:
        cases.append(("the gates' channels", asked, 0.0))
    elif model.policy is not None:
        cases.append(("the router's levels", asked, 0.0))
        if not alternatives(model.sites):  # whose costs are the same
            cases.append((f"a held budget of {HELD}", asked, HELD))
    artefact, worst = open_artefact(path), 0.0
    for name, levels, held in cases:
        expected = _network(model, audio, levels, held, utilizations)
        for calls in CALLS:
            got = _run(artefact, audio[0].numpy(), levels.numpy(), held, calls)
            difference = float(np.abs(got - expected).max())
            error, allowed = difference, TOLERANCE
            if model.backbone.quantised:
                error, allowed = float(np.std(got - expected) / np.std(expected)), QUANTISED_TOLERANCE
            if not error <= allowed:
                raise InputError(
                    f"{path}: at {name}, {calls[0]} frames a call, the exported model differs from PyTorch "
                    f"by {error:.2e} (allowed {allowed:.0e}); report it with the versions that "
                    "`sese doctor` prints"
                )
            worst = max(worst, difference)
    return worst


def _network(
    model: Enhancer, audio: Tensor, levels: Tensor, held: float, utilizations: Sequence[float]
) -> NDArray[np.float32]:
    """Enhance (1, 1, time) by PyTorch: (1, time)."""
    with torch.no_grad():
        if model.gated:
            return _gated(model, audio, levels)
        if levels[0] != ROUTER:
            return model(audio, levels_plan(model.sites, levels[None])).audio[0].numpy()
        window = round(WINDOW_SECONDS * model.sample_rate / model.hop_length)
        assert model.policy is not None
        choose = model.policy.held_choice(held, torch.tensor(utilizations), window)
        return model(audio, choose=choose).audio[0].numpy()


def _gated(model: Enhancer, audio: Tensor, levels: Tensor) -> NDArray[np.float32]:
    """Enhance (1, 1, time) by a network with gates, which decide in the frames that have no level."""
    runs, frames = levels.unique_consecutive(return_counts=True)
    state, made = None, []
    for level, part in zip(runs, audio.split((frames * model.hop_length).tolist(), dim=2), strict=True):
        done = model(part, None if level == ROUTER else full(model.sites), state)
        state = done.state
        made.append(done.audio[0])
    return torch.cat(made, dim=1).numpy()


def _run(
    artefact: Artefact,
    audio: NDArray[np.float32],
    levels: NDArray[np.int64],
    held: float,
    calls: Sequence[int],
) -> NDArray[np.float32]:
    """Enhance (1, time) by a file, in calls with these numbers of frames, from a fresh state."""
    step, hop = Step(artefact, 1), artefact.card.hop_length
    enhanced, at = np.empty_like(audio), 0
    while at < len(levels):
        for frames in calls:
            span = slice(at * hop, (at + frames) * hop)
            if levels[at : at + frames].size:
                enhanced[:, span], _ = step(audio[:, span], levels[at : at + frames], held)
            at += frames
    return enhanced


def speech(sample_rate: int) -> NDArray[np.float32]:
    """Return the package's noisy recording, as if recorded at `sample_rate`: (time,) float32."""
    with as_file(files("sese.export") / "noisy_speech.flac") as path:
        audio, _ = soundfile.read(path, dtype="float32")
    return audio[: 4 * sample_rate]
