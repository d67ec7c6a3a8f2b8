"""Run a model on arrays: some frames of a stream per call, with its state kept between calls."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sese.runtime.artefact import SPEECH_PROBABILITY, Artefact, unusable

KEPT = 4
"""Largest number of frames of a call whose arrays are kept for the next call; `Step.LONGEST` is kept too."""

ALIGNMENT = 16
"""Alignment of a state in its buffer, in values: 64 bytes, a line of the cache."""


class Step:
    """Run a model for one stream; of its own it has only the state.

    The artefact lends the arrays bound to the model that a call needs. There are as many of them as calls run
    at a time, for any number of streams.

    Args:
        artefact: The model.
        batch: Number of signals side by side; one decision per frame serves all of them.

    Attributes:
        speech_probability: Probability of speech in each frame of the last call ``[frame]``, NaN where the
            router did not decide; None in models that do not give it.
    """

    LONGEST = 64
    """Largest number of frames of a call: more take as long per frame, and more memory."""

    def __init__(self, artefact: Artefact, batch: int) -> None:
        self._artefact, self._batch = artefact, batch
        self._state = np.zeros(_places(artefact, batch)[1], np.float32)
        self.speech_probability: NDArray[np.float32] | None = None

    def __call__(
        self,
        audio: NDArray[np.float32],
        levels: int | NDArray[np.int64],
        budget: float = 0.0,
        ceiling: int | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Enhance the next frames.

        Args:
            audio: Samples in [-1, 1], ``[batch, frames * hop]``, 1 to `LONGEST` frames.
            levels: Level of each frame ``[frame]``, or one for all; 0 is the lowest, -1 lets the router
                decide.
            budget: Mean share of compute that the router holds, in (0, 1]; 0 lets it decide freely.
            ceiling: Highest level that the router may choose; None for the model's highest.

        Returns:
            Enhanced ``[batch, frames * hop]`` and the share of compute ``[frame]``.
        """
        card, session = self._artefact.card, self._artefact.session  # the session first: it may be a new one
        frames = audio.shape[1] // card.hop_length
        kept = self._artefact.lent.setdefault((self._batch, frames), [])
        try:
            call = kept.pop()  # atomic: no two threads get the same one
        except IndexError:
            call = _Call(self._artefact, self._batch, frames)
        call.audio[:, 0] = audio
        call.level[:] = levels
        call.budget[...] = budget
        call.ceiling[...] = len(card.levels) - 1 if ceiling is None else ceiling
        call.before[:] = self._state
        try:
            session.run_with_iobinding(call.binding)
        except Exception as error:  # see `sese.runtime.artefact.open_artefact`
            raise unusable(self._artefact.path, "it cannot run a step", error) from error
        self._state[:] = call.after
        done = call.enhanced[:, 0].copy(), call.utilization.copy()
        if call.speech_probability is not None:
            self.speech_probability = call.speech_probability.copy()
        if frames <= KEPT or frames == self.LONGEST:
            kept.append(call)
        return done

    def reset(self) -> None:
        """Forget the signal."""
        self._state[:] = 0


class _Call:
    """Arrays for a number of frames, bound to the model; the states lie one behind the other in one array."""

    def __init__(self, artefact: Artefact, batch: int, frames: int) -> None:
        time = frames * artefact.card.hop_length
        places, size = _places(artefact, batch)
        self.audio = np.zeros((batch, 1, time), np.float32)
        self.level = np.zeros(frames, np.int64)
        self.budget, self.ceiling = np.zeros((), np.float32), np.zeros((), np.int64)
        self.before, self.after = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.enhanced = np.zeros((batch, 1, time), np.float32)
        self.utilization = np.zeros(frames, np.float32)
        inputs = {"audio": self.audio, "level": self.level, "budget": self.budget, "ceiling": self.ceiling}
        self.speech_probability = np.zeros(frames, np.float32) if artefact.detects_speech else None
        outputs = {"enhanced": self.enhanced, "utilization": self.utilization}
        if self.speech_probability is not None:
            outputs[SPEECH_PROBABILITY] = self.speech_probability
        for name, place in places.items():
            shape = (batch, *artefact.state[name].shape)
            inputs[f"state.{name}"] = self.before[place].reshape(shape)
            outputs[f"next_state.{name}"] = self.after[place].reshape(shape)
        self.binding = artefact.session.io_binding()
        for name, array in inputs.items():
            self.binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            self.binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))


def _places(artefact: Artefact, batch: int) -> tuple[dict[str, slice], int]:
    """Return the slice of each state in the array of all states, and the length of that array."""
    places, end = {}, 0
    for name, spec in artefact.state.items():
        size = batch * math.prod(spec.shape)
        places[name] = slice(end, end + size)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return places, end
