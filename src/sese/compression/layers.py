"""Chains of GRUs and dense layers in float: what is quantised, and what its operators' outputs look like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sese.compression.integer import sigmoid

Floats = NDArray[np.float32]

GRU_WEIGHTS = ("W_ir", "W_iz", "W_in", "W_hr", "W_hz", "W_hn")
"""Gates reset, update, new: of the input, then of the state."""

GRU_OPERATORS = (
    "ir", "iz", "in", "hr", "hz", "hn",  # products with the weights, and bias
    "sum_r", "sum_z", "reset", "update",  # ir + hr and iz + hz, and their sigmoids
    "gated", "sum_n", "new",  # reset * hn, in + gated, and its tanh
    "one_minus", "fresh", "kept", "state",  # 1 - update, its product with new, update * state, the sum
)  # fmt: skip

CLIPPED = {"sum_r": 8.0, "sum_z": 8.0, "sum_n": 4.0, "sum": 8.0}
"""Inputs of a sigmoid or a tanh are clipped here: beyond, its values hardly differ."""

Activation = Literal["none", "relu", "sigmoid"]


@dataclass(frozen=True, eq=False)
class Dense:
    """A dense layer: weight [input, output], bias [output]."""

    name: str
    weight: Floats
    bias: Floats
    activation: Activation = "none"

    @property
    def matrices(self) -> dict[str, Floats]:
        """Return weights by name."""
        return {"W": self.weight}

    @property
    def biases(self) -> dict[str, Floats]:
        """Return biases by the name of their weight."""
        return {"W": self.bias}

    @property
    def operators(self) -> dict[str, int]:
        """Return the number of values in a frame by operator."""
        width = self.weight.shape[1]
        return {"sum": width, "out": width} if self.activation == "sigmoid" else {"out": width}

    def trace(self, x: Floats) -> tuple[Floats, dict[str, Floats]]:
        """Return the output of frames [batch, frame, input], and that of each operator."""
        y = x @ self.weight + self.bias
        if self.activation == "sigmoid":
            gains = sigmoid(y)
            return gains, {"sum": y, "out": gains}
        y = np.maximum(y, 0) if self.activation == "relu" else y
        return y, {"out": y}


@dataclass(frozen=True, eq=False)
class GRU:
    """A GRU in groups side by side, as PyTorch's `nn.GRU` in each (gates reset, update, new).

    Attributes:
        input_weight: [group, input, 3 * unit].
        hidden_weight: [group, unit, 3 * unit].
        input_bias, hidden_bias: [group, 3 * unit].
    """

    name: str
    input_weight: Floats
    hidden_weight: Floats
    input_bias: Floats
    hidden_bias: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the groups, and the inputs and units of each."""
        groups, inputs, _ = self.input_weight.shape
        return groups, inputs, self.hidden_weight.shape[1]

    @property
    def matrices(self) -> dict[str, Floats]:
        """Return weights [group, input or unit, unit] by name."""
        parts = [*np.split(self.input_weight, 3, axis=2), *np.split(self.hidden_weight, 3, axis=2)]
        return dict(zip(GRU_WEIGHTS, parts, strict=True))

    @property
    def biases(self) -> dict[str, Floats]:
        """Return biases [group, unit] by the name of their weight."""
        parts = [*np.split(self.input_bias, 3, axis=1), *np.split(self.hidden_bias, 3, axis=1)]
        return dict(zip(GRU_WEIGHTS, parts, strict=True))

    @property
    def operators(self) -> dict[str, int]:
        """Return the number of values in a frame by operator."""
        groups, _, units = self.shape
        return dict.fromkeys(GRU_OPERATORS, groups * units)

    def trace(self, x: Floats) -> tuple[Floats, dict[str, Floats]]:
        """Return states for frames [batch, frame, group * input] from zeros, and each operator's output."""
        groups, inputs, units = self.shape
        batch, frames, _ = x.shape
        grouped = x.reshape(batch * frames, groups, inputs).transpose(1, 0, 2)
        projected = grouped @ self.input_weight + self.input_bias[:, None]
        steps = projected.reshape(groups, batch, frames, 3 * units)
        h = np.zeros((groups, batch, units), np.float32)
        made: dict[str, list[Floats]] = {name: [] for name in GRU_OPERATORS}
        for step in range(frames):
            i_r, i_z, i_n = np.split(steps[:, :, step], 3, axis=2)
            h_r, h_z, h_n = np.split(h @ self.hidden_weight + self.hidden_bias[:, None], 3, axis=2)
            r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
            n = np.tanh(i_n + r * h_n)
            gates = (i_r, i_z, i_n, h_r, h_z, h_n, i_r + h_r, i_z + h_z, r, z, r * h_n, i_n + r * h_n, n)
            fresh, kept = (1 - z) * n, z * h
            h = fresh + kept
            for name, value in zip(GRU_OPERATORS, (*gates, 1 - z, fresh, kept, h), strict=True):
                made[name].append(value)
        outputs = {name: np.stack(each, axis=2) for name, each in made.items()}  # [group, batch, frame, unit]
        states = outputs["state"].transpose(1, 2, 0, 3).reshape(batch, frames, groups * units)
        return states, outputs


Layer = Dense | GRU


def run(layers: Sequence[Layer], x: Floats) -> Floats:
    """Run frames [batch, frame, input] through all layers."""
    for layer in layers:
        x, _ = layer.trace(x)
    return x


def genes(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Return what has a bit width, in order: of each layer the weights, then the operators' outputs.

    The chain's output is left out: like its input, it has 8 bits.
    """
    return tuple(_names(layers))[:-1]


def _names(layers: Sequence[Layer]) -> Iterator[str]:
    for layer in layers:
        for name in (*layer.matrices, *layer.operators):
            yield f"{layer.name}.{name}"
