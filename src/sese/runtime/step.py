"""The model on arrays: some frames of a stream a call, its state kept between calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sese.runtime.artefact import Artefact


class Step:
    """A stream's place in a model: arrays that are made once, and the state.

    State goes from one set of arrays into another, and the two change places: nothing is copied.

    Args:
        artefact: The model.
        batch: Number of signals side by side; one decision a frame serves all of them.
    """

    LONGEST = 64
    """Most frames of a call: more take no less time a frame, and more memory."""

    def __init__(self, artefact: Artefact, batch: int) -> None:
        self._artefact, self._batch = artefact, batch
        self._budget, self._ceiling = np.zeros((), np.float32), np.zeros((), np.int64)
        self._states = [
            {name: spec.zeros(batch) for name, spec in artefact.state.items()} for _ in ("now", "next")
        ]
        self._turn = 0
        self._frame = _Call(self, 1)

    def __call__(
        self,
        audio: NDArray[np.float32],
        levels: int | NDArray[np.int64],
        budget: float = 0.0,
        ceiling: int | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Enhance the frames that follow.

        Args:
            audio: ``[batch, frames * hop]`` in [-1, 1], 1 to `LONGEST` frames.
            levels: Of each frame ``[frame]``, or one for all; cheapest first, -1 where the router decides.
            budget: Mean utilization that the router is to hold, in (0, 1]; 0 to leave it alone.
            ceiling: Highest level that the router may choose; None for the model's highest.

        Returns:
            Enhanced ``[batch, frames * hop]`` and the utilization ``[frame]``, valid until the next call.
        """
        card = self._artefact.card
        frames = audio.shape[1] // card.hop_length
        call = self._frame if frames == 1 else _Call(self, frames)
        call.audio[:, 0] = audio
        call.level[:] = levels
        self._budget[...] = budget
        self._ceiling[...] = len(card.levels) - 1 if ceiling is None else ceiling
        self._artefact.session.run_with_iobinding(call.binding(self._turn))
        self._turn = 1 - self._turn
        return call.enhanced[:, 0], call.utilization

    def reset(self) -> None:
        """Forget the signal."""
        for array in self._states[self._turn].values():
            array[...] = 0


class _Call:
    """Arrays for so many frames, bound to the model with the state going either way."""

    def __init__(self, step: Step, frames: int) -> None:
        self._step = step
        time = frames * step._artefact.card.hop_length
        self.audio = np.zeros((step._batch, 1, time), np.float32)
        self.level = np.zeros(frames, np.int64)
        self.enhanced = np.zeros((step._batch, 1, time), np.float32)
        self.utilization = np.zeros(frames, np.float32)
        self._bound: dict[int, Any] = {}

    def binding(self, now: int) -> Any:
        """The binding that takes the state from set `now` into the other."""
        if now not in self._bound:
            self._bound[now] = self._bind(now)
        return self._bound[now]

    def _bind(self, now: int) -> Any:
        step = self._step
        binding = step._artefact.session.io_binding()
        inputs = {"audio": self.audio, "level": self.level}
        inputs |= {"budget": step._budget, "ceiling": step._ceiling}
        inputs |= {f"state.{name}": array for name, array in step._states[now].items()}
        outputs = {"enhanced": self.enhanced, "utilization": self.utilization}
        outputs |= {f"next_state.{name}": array for name, array in step._states[1 - now].items()}
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        return binding
