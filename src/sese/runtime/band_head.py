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

_MEAN = np.full((BELOW - UPPER, 1), 1 / (BELOW - UPPER), np.float32)  # of the gains in the upper part

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
        units = self._units = weights["gru.weight_hh_l0"].shape[1]
        # One product serves the whole unit: from [values, state, 1] to both gates, negated for
        # 1 / (1 + exp(-x)), and to the shares of the values and of the state in the new state.
        of_values, of_state = weights["gru.weight_ih_l0"].T, weights["gru.weight_hh_l0"].T
        value_bias, state_bias = weights["gru.bias_ih_l0"], weights["gru.bias_hh_l0"]
        gates, new = slice(2 * units), slice(2 * units, None)
        by_values = [-of_values[:, gates], of_values[:, new], np.zeros((WIDTH, units))]
        by_state = [-of_state[:, gates], np.zeros((units, units)), of_state[:, new]]
        by_one = [-(value_bias + state_bias)[gates], value_bias[new], state_bias[new]]
        rows = [np.concatenate(each, axis=-1) for each in (by_values, by_state, by_one)]
        self._unit = np.vstack(rows).astype(np.float32)
        # The last layer reads the same [values, state, 1].
        gain = weights["gain.weight"].T
        none = np.zeros((FLOOR, gain.shape[1]))
        self._gain = np.vstack([none, gain[units:], gain[:units], weights["gain.bias"]]).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._state: NDArray[np.float32] | None = None  # [channel, unit]

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return gains ``[point, channel, band]`` in [0, 1] for values ``[point, channel, value]``."""
        units = self._units
        rows = np.ones((*values.shape[:2], len(self._unit)), np.float32)
        rows[..., :WIDTH] = values
        state = np.zeros((values.shape[1], units), np.float32) if self._state is None else self._state
        for row in rows:
            row[:, WIDTH:-1] = state
            sums = row.dot(self._unit)
            gates = 1 / (1 + np.exp(sums[:, : 2 * units]))
            new = np.tanh(sums[:, 2 * units : 3 * units] + gates[:, :units] * sums[:, 3 * units :])
            state = row[:, WIDTH:-1] = new + gates[:, units:] * (state - new)
        self._state = state
        below = values[..., BELOW : 2 * BELOW]
        removed = np.minimum(-PASSING * below.min(axis=-1, keepdims=True), 1)
        removed = removed / (1 + np.exp(rows @ self._gain))
        followed = 10 ** (below[..., UPPER:] @ _MEAN)
        return np.asarray((1 - removed) * followed)


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
