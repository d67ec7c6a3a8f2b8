"""Choose gains for the bands above a model's band, by a small recurrent network.

One gated recurrent unit (GRU) hears the values of `sese.runtime.band_evidence` at each point of time. A
sigmoid layer hears the unit, and once more what each band exceeds steady noise by; it gives the gain of each
band, which is multiplied by that of the model in the upper part of its band. Where the model passes all six
bands below, the gain of every band is 1. The same network serves every model and every sample rate;
`sese above train` makes it.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.runtime.band_evidence import BELOW, FLOOR, ONE, WIDTH, BandEvidence
from sese.runtime.model_gain import UPPER

WEIGHTS = Path(__file__).parents[1] / "pretrained" / "band-head" / "model.safetensors"

PASSING = 50.0
"""Where the model's lowest gain is below 10 ** (-1 / PASSING), -0.4 dB, the network decides alone."""

_REMOVED = np.array(-PASSING, np.float32)

# From the values to the logarithm of the model's gain in the upper part of its band, a mean of those there.
_FOLLOWED = np.zeros((WIDTH, 1), np.float32)
_FOLLOWED[BELOW + UPPER : 2 * BELOW] = math.log(10) / (BELOW - UPPER)

Weights = dict[str, NDArray[np.float32]]


class BandHead:
    """Choose the gains of each band; feed points of time in order.

    Args:
        seconds: Time between two points.
        weights: Weights by name, as `read` returns them; None for those of the package.
    """

    def __init__(self, seconds: float, weights: Weights | None = None) -> None:
        self._evidence = BandEvidence(seconds)
        self._network = Network(weights)

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
        weights: Weights by name: those of PyTorch's `GRU` with one layer, and of a linear layer, `gain`; None
            for those of the package.
    """

    def __init__(self, weights: Weights | None = None) -> None:
        self._unit, self._gain = _packaged() if weights is None else _matrices(weights)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._cell: _Cell | None = None

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return gains ``[point, channel, band]`` in [0, 1] for values ``[point, channel, value]``."""
        points, channels, _ = values.shape
        if self._cell is None:
            self._cell = _Cell(channels, self._unit)
        rows = np.empty((points, channels, len(self._unit)), np.float32)
        for number in range(points):
            rows[number] = self._cell(values[number])
        values = values.reshape(points * channels, WIDTH)
        followed = np.exp(values.dot(_FOLLOWED))
        removed = values[:, BELOW : 2 * BELOW].min(axis=1, keepdims=True)
        removed *= _REMOVED
        np.minimum(removed, ONE, out=removed)
        removed *= followed
        gains = rows.reshape(points * channels, -1).dot(self._gain)
        np.exp(gains, out=gains)
        gains += ONE
        np.divide(removed, gains, out=gains)
        np.subtract(followed, gains, out=gains)
        return gains.reshape(points, channels, -1)


class _Cell:
    """Run the unit on arrays of its own: a call of NumPy with a new array or a view takes twice as long.

    Args:
        channels: Number of channels.
        weights: Matrix from [values, state, 1] to sums of reset gates, update gates, and shares of the values
            and of the state in the new state.
    """

    def __init__(self, channels: int, weights: NDArray[np.float32]) -> None:
        self._weights, units = weights, weights.shape[1] // 4
        self._row = np.zeros((channels, len(weights)), np.float32)
        self._row[:, -1] = 1
        self._heard, self._state = self._row[:, :WIDTH], self._row[:, WIDTH:-1]
        self._sums = np.zeros((channels, 4 * units), np.float32)
        self._gates = self._sums[:, : 2 * units]
        self._reset, self._update, self._of_values, self._new = np.split(self._sums, 4, axis=1)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next values ``[channel, value]``, return [values, new state, 1] until the next call."""
        gates, new, state = self._gates, self._new, self._state
        self._heard[...] = values
        np.dot(self._row, self._weights, out=self._sums)
        np.exp(gates, out=gates)
        np.add(gates, ONE, out=gates)
        np.reciprocal(gates, out=gates)
        np.multiply(new, self._reset, out=new)
        np.add(new, self._of_values, out=new)
        np.tanh(new, out=new)
        np.subtract(state, new, out=state)
        np.multiply(state, self._update, out=state)
        np.add(state, new, out=state)
        return self._row


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


def _matrices(weights: Weights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices of the unit and of the last layer, which read [values, state, 1]."""
    units = weights["gru.weight_hh_l0"].shape[1]
    # One product serves the whole unit: from [values, state, 1] to both gates, negated for
    # 1 / (1 + exp(-x)), and to the shares of the values and of the state in the new state.
    of_values, of_state = weights["gru.weight_ih_l0"].T, weights["gru.weight_hh_l0"].T
    value_bias, state_bias = weights["gru.bias_ih_l0"], weights["gru.bias_hh_l0"]
    gates, new = slice(2 * units), slice(2 * units, None)
    by_values = [-of_values[:, gates], of_values[:, new], np.zeros((WIDTH, units))]
    by_state = [-of_state[:, gates], np.zeros((units, units)), of_state[:, new]]
    by_one = [-(value_bias + state_bias)[gates], value_bias[new], state_bias[new]]
    rows = [np.concatenate(each, axis=-1) for each in (by_values, by_state, by_one)]
    unit = np.vstack(rows).astype(np.float32)
    # The last layer reads the same [values, state, 1].
    gain = weights["gain.weight"].T
    none = np.zeros((FLOOR, gain.shape[1]))
    return unit, np.vstack([none, gain[units:], gain[:units], weights["gain.bias"]]).astype(np.float32)


@cache
def _packaged() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices of the package's weights, which all streams share."""
    return _matrices(packaged())
