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
    """Run a model for one stream.

    A call with one frame works on arrays of the stream's own. The model reads the state there, and writes
    there what it may replace in place. For other calls the artefact lends arrays, and the state is copied.
    There are as many of these as calls run at a time, for any number of streams.

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
        self._state = np.zeros(_Places(artefact, batch).size, np.float32)
        self._own: _Call | None = None
        self._hop, self._highest = artefact.card.hop_length, len(artefact.card.levels) - 1
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
        session = self._artefact.session  # first: it may be a new one
        frames = audio.shape[1] // self._hop
        kept = None if frames == 1 else self._artefact.lent.setdefault((self._batch, frames), [])
        call = self._own_call(session) if kept is None else self._lent_call(kept, frames)
        call.audio[:, 0] = audio
        call.steer(levels, budget, self._highest if ceiling is None else ceiling)
        if call.before is not self._state:
            call.before[:] = self._state
        try:
            session.run_with_iobinding(call.binding)
        except Exception as error:  # see `sese.runtime.artefact.open_artefact`
            raise unusable(self._artefact.path, "it cannot run a step", error) from error
        self._state[: len(call.after)] = call.after
        done = call.enhanced[:, 0].copy(), call.utilization.copy()
        if call.speech_probability is not None:
            self.speech_probability = call.speech_probability.copy()
        if kept is not None and (frames <= KEPT or frames == self.LONGEST):
            kept.append(call)
        return done

    def reset(self) -> None:
        """Forget the signal."""
        self._state[:] = 0

    def _own_call(self, session: onnxruntime.InferenceSession) -> _Call:
        """Return the arrays for one frame; after a fork they are bound anew."""
        if self._own is None or self._own.session is not session:
            self._own = _Call(self._artefact, self._batch, 1, self._state)
        return self._own

    def _lent_call(self, kept: list[_Call], frames: int) -> _Call:
        """Return arrays that no other call uses now."""
        try:
            return kept.pop()  # atomic: no two threads get the same one
        except IndexError:
            return _Call(self._artefact, self._batch, frames)


class _Call:
    """Arrays for a number of frames, bound to the model.

    Args:
        artefact: The model.
        batch: Number of signals side by side.
        frames: Number of frames.
        state: States before the call, which it replaces in place where the model may; None for arrays of its
            own, for the states before and after.

    Attributes:
        before: The states before the call, one behind the other.
        after: The states after it, as far as they are not in `before`.
    """

    def __init__(
        self, artefact: Artefact, batch: int, frames: int, state: NDArray[np.float32] | None = None
    ) -> None:
        time, places = frames * artefact.card.hop_length, _Places(artefact, batch)
        self.session = artefact.session
        self.audio = np.zeros((batch, 1, time), np.float32)
        self.level = np.zeros(frames, np.int64)
        self.budget, self.ceiling = np.zeros((), np.float32), np.zeros((), np.int64)
        self._steered: tuple[int, float, int] | None = None
        self.before = np.zeros(places.size, np.float32) if state is None else state
        self.after = np.zeros(places.size if state is None else places.moved, np.float32)
        self.enhanced = np.zeros((batch, 1, time), np.float32)
        self.utilization = np.zeros(frames, np.float32)
        inputs = {"audio": self.audio, "level": self.level, "budget": self.budget, "ceiling": self.ceiling}
        self.speech_probability = np.zeros(frames, np.float32) if artefact.detects_speech else None
        outputs = {"enhanced": self.enhanced, "utilization": self.utilization}
        if self.speech_probability is not None:
            outputs[SPEECH_PROBABILITY] = self.speech_probability
        for name, place in places.of.items():
            shape = (batch, *artefact.state[name].shape)
            into = self.after if place.stop <= len(self.after) else self.before
            inputs[f"state.{name}"] = self.before[place].reshape(shape)
            outputs[f"next_state.{name}"] = into[place].reshape(shape)
        self.binding = self.session.io_binding()
        for name, array in inputs.items():
            self.binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            self.binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))

    def steer(self, levels: int | NDArray[np.int64], budget: float, ceiling: int) -> None:
        """Set the levels and the limits of the router, unless they are those of the last call."""
        steered = (levels, budget, ceiling) if isinstance(levels, int) else None
        if steered is None or steered != self._steered:
            self.level[:], self.budget[...], self.ceiling[...] = levels, budget, ceiling
            self._steered = steered


class _Places:
    """Where each state lies in an array of all states: first those that a call must not replace in place.

    Args:
        artefact: The model.
        batch: Number of signals side by side.

    Attributes:
        of: Name of each state -> its slice of the array.
        moved: Length of the beginning that must not be replaced in place.
        size: Length of the array.
    """

    def __init__(self, artefact: Artefact, batch: int) -> None:
        in_place = artefact.card.in_place
        self.of: dict[str, slice] = {}
        self.moved = self.size = 0
        for name in sorted(artefact.state, key=lambda name: name in in_place):
            size = batch * math.prod(artefact.state[name].shape)
            self.of[name] = slice(self.size, self.size + size)
            self.size += -(-size // ALIGNMENT) * ALIGNMENT
            if name not in in_place:
                self.moved = self.size
