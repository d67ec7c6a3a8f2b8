"""A network on spectra in place of samples, for runtimes that transform the samples themselves.

The spectra are those under a square-root Hann window, with all bins from zero to the Nyquist frequency. They
take the place of the audio: a frame is a row of n_fft + 2 values, each bin's real part before its imaginary
part. Whatever a network computes of samples is linear, so that it can be computed of spectra as well: the
constant offset, the spectrum without it, and the spectrum under another window. Only the test for digital
silence is not linear; weighted sums of the samples, which are all zero in silence, take its place.

The parts work on one frame a call, in the form in which they are traced.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.enhancer import Enhancer
from sese.nn.features.short_time import ShortTimeFeatures, analysis_window
from sese.nn.features.steady import OFFSET_FRAMES, SteadyFeatures
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.parts import Features, Head, Shapes
from sese.nn.plan import alternatives
from sese.nn.state import State

Array = NDArray[np.float64]

SUMS = 4
"""Number of weighted sums of a hop that decide whether it is digital silence."""

ROUNDING = 1e-4
"""Size of a weighted sum below which it may be a rounding error, as a ratio to the RMS value of the frame.
Errors are up to a fifth of it; noise of one bit of 16 after the loudest sound is ten times as large."""


def on_spectra(model: Enhancer, name: str) -> Enhancer:
    """Return a network that gets spectra in the place of audio and returns spectra.

    Args:
        model: network, ready for inference; it is not changed.
        name: name of the model, for errors.

    Raises:
        InputError: the model cannot run on spectra.
    """
    features, head = model.features, model.head
    if not isinstance(features, ShortTimeFeatures) or not isinstance(head, OverlapAddHead):
        raise InputError(f"{name} works on samples, not on spectra; choose a model such as sese-2")
    why = None
    if model.gated:
        why = "has gates"
    elif alternatives(model.sites):
        why = "has experts"
    elif model.backbone.quantised:
        why = "rounds its input to bits"
    elif model.lookahead_samples != model.hop_length:
        why = "looks further ahead than one frame"
    if why is not None:
        raise InputError(
            f"{name} {why}, which a step on spectra does not allow; choose a model such as sese-2"
        )
    size = features.n_fft + 2
    return Enhancer(
        SteadySpectrumInput(features) if isinstance(features, SteadyFeatures) else SpectrumInput(features),
        model.backbone,
        SpectrumOutput(head),
        sample_rate=round(model.sample_rate * size / model.hop_length),  # as many frames a second as before
        hop_length=size,
        lookahead_samples=0,
        policy=model.policy,
    ).eval()


class SpectrumInput(Features):
    """Compute what the features of a network compute, from spectra.

    Args:
        features: features of the network.
    """

    analysis: Tensor | None

    def __init__(self, features: ShortTimeFeatures):
        super().__init__()
        self.features: Any = copy.deepcopy(features)
        vars(self.features).update(analyse=_spectrum_as_audio)
        self.n_fft, self.bins = features.n_fft, features.bins
        analysis = to_window(features.window)
        self.register_buffer("analysis", analysis, persistent=False)

    @property
    def context_size(self) -> int:
        """Number of values a frame that the head gets."""
        return int(self.features.context_size)

    @property
    def evidence_size(self) -> int:
        """Number of values a frame that a policy gets."""
        return int(self.features.evidence_size)

    def macs(self) -> int:
        """Return 0, as the features of the network do."""
        return 0

    def state_shapes(self) -> Shapes:
        """Return the shapes of the state behind the batch axis: those of the network, without its samples."""
        shapes: Shapes = self.features.state_shapes()
        return {name: shape for name, shape in shapes.items() if name != "past"}

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Compress and normalise.

        Args:
            audio: (batch, n_fft + 2), a spectrum in the place of samples.
            state: tensors as in `state_shapes`.
        """
        if self.analysis is not None:
            audio = F.linear(audio, self.analysis)
        spectrum = self.split(audio)[..., : self.bins]
        signal, context, after = self.features(spectrum, {**state, "past": spectrum})
        del after["past"]
        return signal, context, after

    def split(self, values: Tensor) -> Tensor:
        """Return spectra (batch, n_fft + 2) as (batch, 1, 2, bin)."""
        return values.unflatten(1, (-1, 2)).transpose(1, 2).unsqueeze(1)

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """Return what a policy gets, as the features of the network compute it."""
        evidence: Tensor = self.features.evidence(audio, signal, context)
        return evidence


def _spectrum_as_audio(audio: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Take the place of `ShortTimeFeatures.analyse` where the audio is a spectrum already."""
    return audio, past


class SteadySpectrumInput(SpectrumInput):
    """Compute what `SteadyFeatures` compute, from spectra.

    The state ``offsets`` has the offsets after the last frame and after the frame before.

    Args:
        features: features of the network.
    """

    sums: Tensor
    ramps: Tensor

    def __init__(self, features: SteadyFeatures):
        super().__init__(features)
        self.register_buffer("sums", _sums(self.n_fft), persistent=False)
        self.register_buffer("ramps", _ramps(self.n_fft), persistent=False)

    def state_shapes(self) -> Shapes:
        """Return the shapes of the state behind the batch axis."""
        return {"offsets": (2,), "level": (4,)}

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Subtract the offset, compress and normalise.

        Args:
            audio: (batch, n_fft + 2), a spectrum in the place of samples.
            state: tensors as in `state_shapes`.
        """
        sums = F.linear(audio, self.sums)
        last = state["offsets"][:, :1]
        offset = last + (sums[:, :1] - last) / OFFSET_FRAMES
        offsets = torch.cat([offset, state["offsets"]], dim=1)
        spectrum = self.split(audio - F.linear(offsets, self.ramps))[..., : self.bins]
        rounding = ROUNDING * audio.square().sum(1, keepdim=True).sqrt() / self.n_fft
        heard = (sums[:, 1:].abs() - rounding).clamp_min(0.0)
        signal, level = self.features.steadied(spectrum, heard, state["level"])
        return signal.flatten(1), spectrum.flatten(1), {"offsets": offsets[:, :2], "level": level}


class SpectrumOutput(Head):
    """Return the spectra that the head of a network would transform to samples.

    Args:
        head: head of the network.
    """

    synthesis: Tensor | None

    def __init__(self, head: OverlapAddHead):
        super().__init__()
        self.head: Any = copy.deepcopy(head)
        vars(self.head).update(synthesise=_spectrum_as_samples)
        self.missing = head.n_fft // 2 + 1 - head.bins
        self.register_buffer("synthesis", to_window(head.window), persistent=False)

    def macs(self) -> int:
        """Return 0, as the head of the network does."""
        return 0

    def state_shapes(self) -> Shapes:
        """Return the shapes of the state behind the batch axis: those of the network, without its samples."""
        shapes: Shapes = self.head.state_shapes()
        return {name: shape for name, shape in shapes.items() if name != "overlap"}

    def forward(self, hidden: Tensor, context: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mask, as the head of the network does.

        Returns:
            (batch, n_fft + 2), a spectrum in the place of samples, and the next state.
        """
        spectrum, after = self.head(hidden, context, state)
        return self._joined(spectrum), after

    def scaled(self, context: Tensor, gain: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Scale the spectrum, as the head of the network does at rest."""
        spectrum, after = self.head.scaled(context, gain, state)
        return self._joined(spectrum), after

    def _joined(self, spectrum: Tensor) -> Tensor:
        """Return spectra (batch, 1, 2, bin) as (batch, n_fft + 2)."""
        values = F.pad(spectrum, (0, self.missing)).squeeze(1).transpose(1, 2).flatten(1)
        return values if self.synthesis is None else F.linear(values, self.synthesis)


def _spectrum_as_samples(spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """Take the place of `OverlapAddHead.synthesise`: return the spectrum as it is."""
    return spectrum, {}


def to_window(window: Tensor) -> Tensor | None:
    """Return the matrix from a spectrum under a square-root Hann window to that under another window.

    Where a synthesis window follows, the same matrix lets a square-root Hann window take its place.

    Args:
        window: (n_fft,).

    Returns:
        (n_fft + 2, n_fft + 2), or None where the window is a square-root Hann window.
    """
    n_fft = len(window)
    root = analysis_window(n_fft)
    if torch.allclose(window, root, atol=1e-6):
        return None
    ratio = np.zeros(n_fft)  # at sample 0 both are zero
    ratio[1:] = window.double().numpy()[1:] / root.double().numpy()[1:]
    return _tensor(_spectra_of(_samples_of(n_fft) * ratio).T)


def _sums(n_fft: int) -> Tensor:
    """Return the weights of a spectrum (sum, n_fft + 2) in sums over the samples of the latest hop.

    The first sum is the mean. The others are of the windowed samples, with weights of random signs and sizes,
    none of them near zero; at the end of the window, where the mean has large weights, rounding would count.
    """
    hop = n_fft // 2
    generator = np.random.default_rng(0)
    signs = generator.choice([-1.0, 1.0], (SUMS, hop))
    mean = 1 / (hop * analysis_window(n_fft).double().numpy()[None, hop:])
    weights = np.concatenate([mean, signs * generator.uniform(1.0, 2.0, (SUMS, hop))])
    return _tensor(weights @ _samples_of(n_fft)[:, hop:].T)


def _ramps(n_fft: int) -> Tensor:
    """Return the spectra (n_fft + 2, 3) of what three offsets, the latest first, add to a frame.

    The offset in a frame goes linearly from the estimate before its hop to the estimate after it.
    """
    hop = n_fft // 2
    up = np.arange(1, hop + 1) / hop
    down, none = 1 - up, np.zeros(hop)
    shapes = np.stack([np.concatenate(halves) for halves in ((none, up), (up, down), (down, none))])
    return _tensor(_spectra_of(shapes * analysis_window(n_fft).double().numpy()).T)


def _samples_of(n_fft: int) -> Array:
    """Return the samples (n_fft + 2, n_fft) of each value of a spectrum."""
    values = np.eye(n_fft + 2).reshape(n_fft + 2, -1, 2)
    return np.fft.irfft(values[..., 0] + 1j * values[..., 1], n_fft)


def _spectra_of(samples: Array) -> Array:
    """Return the spectra (row, n_fft + 2) of samples (row, n_fft)."""
    spectra = np.fft.rfft(samples)
    return np.stack([spectra.real, spectra.imag], axis=2).reshape(len(samples), -1)


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()
