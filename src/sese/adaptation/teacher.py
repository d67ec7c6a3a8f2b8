"""Teachers: what a student is to sound like, from a model of any rate and latency."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sese.audio.resample import Resampler
from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.cost import macs_per_sample
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, alternatives
from sese.nn.policies.fixed import level_plans
from sese.runtime.artefact import bundled_models
from sese.runtime.weights_folder import weights_folder

OWN = "own"

Run = Callable[[NDArray[np.float32], int], NDArray[np.float32]]


@dataclass(frozen=True)
class Teacher:
    """A model that tells a student what to make of a recording.

    Attributes:
        name: without its place.
        run: (float32 [time], sample rate in Hz) -> the same length, aligned with it, at the same rate.
        macs_per_second: multiply-accumulates for a second of audio.
        fingerprint: digest of its weights.
    """

    name: str
    run: Run
    macs_per_second: float
    fingerprint: str


def model_folder(model: Path) -> Path:
    """Return the folder with the weights of a bundled model, a model folder or a run folder.

    Raises:
        InputError: there is no such folder, or it has no weights.
    """
    folder = weights_folder(model)
    if not folder.exists():
        known = ", ".join(bundled_models())
        raise InputError(f"unknown model '{model}'; name a model or run folder, or a bundled model: {known}")
    for file in (checkpoint.CONFIG, checkpoint.WEIGHTS):
        if not (folder / file).is_file():
            raise InputError(
                f"{model} has no {file}, and an ONNX file cannot be trained; name its run folder, or the "
                "model folder that `sese export` wrote"
            )
    return folder


def open_teacher(model: str, student: Enhancer) -> Teacher:
    """Open a teacher by its name.

    Args:
        model: ``own`` (the student's highest level), a bundled model, a model or run folder, an .onnx file.
        student: the student.

    Raises:
        InputError: no such model, or the student has but one level and is to teach itself.
    """
    if model == OWN:
        plans = level_plans(student)
        if len(plans) < 2 or alternatives(student.sites):
            raise InputError(
                "the model has no level above those that would learn, so it cannot teach itself; name a "
                "larger model with --teacher"
            )
        return _network("its own highest level", student)
    path = Path(model)
    if (path / "model.onnx").is_file() or path.suffix == ".onnx" or not path.exists():
        return _artefact(model)
    return _network(path.resolve().name, checkpoint.load(model_folder(path)))


def _artefact(model: str) -> Teacher:
    from sese.runtime.enhancer import Enhancer as Runtime

    opened = Runtime(model)
    card = opened.card
    fingerprint = hashlib.sha256(opened.artefact.path.read_bytes()).hexdigest()
    return Teacher(card.name, opened.enhance, card.levels[-1].macs_per_second, fingerprint)


def _network(name: str, network: Enhancer) -> Teacher:
    """Return a network at its highest level, or the expert that its gate picks, as a teacher."""
    own, highest = network.sample_rate, level_plans(network)[-1]
    plan = None if alternatives(network.sites) and network.policy is not None else highest

    def run(audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        enhanced = enhance(network, resample(audio, sample_rate, own), plan)
        return resample(enhanced, own, sample_rate, len(audio))

    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy(force=True).tobytes())
    return Teacher(name, run, macs_per_sample(network, highest) * own, digest.hexdigest())


@torch.no_grad()
def enhance(
    network: Enhancer, audio: NDArray[np.float32], plan: Plan | None, minutes: float = 1.0
) -> NDArray[np.float32]:
    """Run a network over a signal [time] of any length, piece by piece; the output is aligned with it.

    Args:
        network: a network of the signal's rate.
        audio: [time] in [-1, 1].
        plan: plan to run; None leaves it to the network's policy.
        minutes: length of a piece in minutes.
    """
    time = len(audio)
    padded = np.concatenate([audio, np.zeros(network.padding(time), np.float32)])
    chunk = max(1, round(minutes * 60 * network.sample_rate / network.hop_length)) * network.hop_length
    state, made = None, []
    device = next(network.parameters()).device
    for begin in range(0, len(padded), chunk):
        piece = torch.from_numpy(padded[begin : begin + chunk]).to(device).view(1, 1, -1)
        done = network(piece, plan, state)
        state = done.state
        made.append(done.audio.view(-1).cpu().numpy())
    late = network.lookahead_samples
    return np.concatenate(made)[late : late + time]


def resample(
    audio: NDArray[np.float32], source_hz: int, target_hz: int, time: int | None = None
) -> NDArray[np.float32]:
    """Convert the rate of a signal [time], aligned; `time` samples long if given."""
    resampler = Resampler(source_hz, target_hz, 1)
    return np.concatenate([resampler.feed(audio[:, None]), resampler.flush(time)])[:time, 0]
