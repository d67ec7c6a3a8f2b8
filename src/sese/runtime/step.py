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

    LONGEST = 128
    """Most frames of a call."""

    def __init__(self, artefact: Artefact, batch: int) -> None:
        hop = artefact.card.hop_length
        self._hop = hop
        self._session = artefact.session
        self._audio = np.zeros((batch, 1, hop), np.float32)
        self._level = np.zeros((), np.int64)
        self._enhanced = np.zeros((batch, 1, hop), np.float32)
        self._utilization = np.zeros(batch, np.float32)
        self._states = [
            {name: spec.zeros(batch) for name, spec in artefact.state.items()} for _ in ("now", "next")
        ]
        self._bindings = [self._bind(*self._states), self._bind(*reversed(self._states))]
        self._turn = 0

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
            Enhanced ``[batch, frames * hop]``, valid until the next call, and the utilization ``[frame]``.
        """
        frames = audio.shape[1] // self._hop
        chosen = np.broadcast_to(np.asarray(levels, np.int64), frames)
        enhanced = np.empty_like(audio)
        utilization = np.empty(frames, np.float32)
        for at in range(frames):
            span = slice(at * self._hop, (at + 1) * self._hop)
            self._audio[:, 0] = audio[:, span]
            self._level[...] = chosen[at]
            self._session.run_with_iobinding(self._bindings[self._turn])
            self._turn = 1 - self._turn
            enhanced[:, span], utilization[at] = self._enhanced[:, 0], self._utilization.mean()
        return enhanced, utilization

    def reset(self) -> None:
        """Forget the signal."""
        for array in self._states[self._turn].values():
            array[...] = 0

    def _bind(self, now: dict[str, NDArray[np.float32]], after: dict[str, NDArray[np.float32]]) -> Any:
        binding = self._session.io_binding()
        inputs = {"audio": self._audio, "level": self._level} | {f"state.{n}": a for n, a in now.items()}
        outputs = {"enhanced": self._enhanced, "utilization": self._utilization}
        outputs |= {f"next_state.{n}": a for n, a in after.items()}
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        return binding
