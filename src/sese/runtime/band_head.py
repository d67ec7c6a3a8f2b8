"""Choose gains for the bands above a model's band, by a small recurrent network.

One gated recurrent unit (GRU) hears the values of `sese.runtime.band_evidence` at each point of time. A
sigmoid layer hears the unit, and once more what each band exceeds steady noise by; it gives the gain of each
band, which is multiplied by that of the model in the upper part of its band. Where the model passes all six
bands below, the gain of every band is 1. The same network serves every model and every sample rate;
`sese above train` makes it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.runtime.band_evidence import BELOW, FLOOR, WIDTH, BandEvidence
from sese.runtime.model_gain import UPPER

WEIGHTS = Path(__file__).parents[1] / "pretrained" / "band-head" / "model.safetensors"

PASSING = 50.0
"""Where the model's lowest gain is below 10 ** (-1 / PASSING), -0.4 dB, the network decides alone."""

Weights = dict[str, NDArray[np.float32]]


class BandHead:
    """Choose the gains of each band; feed points of time in order.

    Args:
        seconds: Time between two points.
        weights: Weights by name, as `read` returns them; None for those of the package.
    """

    def __init__(self, seconds: float, weights: Weights | None = None) -> None:
        self._evidence = BandEvidence(seconds)
        self._network = Network(packaged() if weights is None else weights)

    def reset(self) -> None:
        """Forget the signal."""
        self._evidence.reset()
        self._network.reset()

    def __call__(
        self, above: NDArray[np.float32], heard: NDArray[np.float32], left: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the gains of the next points, ``[point, channel, band]``, in [0, 1].

        Args:
            above, heard, left: Powers, as for `BandEvidence`.
        """
        return self._network(self._evidence(above, heard, left))[..., : above.shape[-1]]


class Network:
    """Run the network point by point, for any number of channels.

    Args:
        weights: Weights by name: those of PyTorch's `GRU` with one layer, and of a linear layer, `gain`.
    """

    def __init__(self, weights: Weights) -> None:
        self._units = weights["gru.weight_hh_l0"].shape[1]
        # Reset and update gates are negated, for 1 / (1 + exp(-x)); the layout is [input, gate and unit].
        sign = np.repeat(np.array([-1, -1, 1], np.float32), self._units)
        self._of_input = np.ascontiguousarray((weights["gru.weight_ih_l0"] * sign[:, None]).T)
        self._of_input_bias = weights["gru.bias_ih_l0"] * sign
        self._of_state = np.ascontiguousarray((weights["gru.weight_hh_l0"] * sign[:, None]).T)
        self._of_state_bias = weights["gru.bias_hh_l0"] * sign
        self._gain = np.ascontiguousarray(weights["gain.weight"].T)
        self._gain_bias = weights["gain.bias"]
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._state: NDArray[np.float32] | None = None  # [channel, unit]

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return gains ``[point, channel, band]`` in [0, 1] for values ``[point, channel, value]``."""
        units = self._units
        inputs = values @ self._of_input
        inputs += self._of_input_bias
        of_gates, of_new = inputs[..., : 2 * units], inputs[..., 2 * units :]
        states = np.empty((*values.shape[:2], units), np.float32)
        state = np.zeros_like(states[0]) if self._state is None else self._state
        for number in range(len(inputs)):
            before = np.dot(state, self._of_state)
            before += self._of_state_bias
            gates = 1 / (1 + np.exp(of_gates[number] + before[:, : 2 * units]))
            new = np.tanh(of_new[number] + gates[:, :units] * before[:, 2 * units :])
            state = new + gates[:, units:] * (state - new)
            states[number] = state
        self._state = state
        heard_too = np.concatenate([states, values[..., FLOOR:]], axis=-1)
        removed = 1 / (1 + np.exp(heard_too @ self._gain + self._gain_bias))
        below = values[..., BELOW : 2 * BELOW]
        removed *= np.minimum(-PASSING * np.minimum.reduce(below, axis=-1, keepdims=True), 1)
        upper = np.add.reduce(below[..., UPPER:], axis=-1, keepdims=True) / (BELOW - UPPER)
        return np.asarray((1 - removed) * 10**upper)


def read(path: Path) -> Weights:
    """Read the weights of a head, float32 arrays by name, from a safetensors file of this package."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    facts = json.loads(data[8:begin])
    facts.pop("__metadata__", None)
    arrays = {}
    for name, fact in facts.items():
        start, end = fact["data_offsets"]
        arrays[name] = np.frombuffer(data[begin + start : begin + end], "<f4").reshape(fact["shape"])
    return arrays


@cache
def packaged() -> Weights:
    """Return the weights of the package's head."""
    weights = read(WEIGHTS)
    assert weights["gru.weight_ih_l0"].shape[1] == WIDTH
    return weights
