"""GRUs and dense layers in integers alone, batched: the exact arithmetic of a device, many clips at a time.

Products with weights are summed in floats, which is exact as long as the sums are integers within the float's
mantissa (`exact_kind`), and much quicker than integer products in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sese.compression.integer import (
    Codes,
    Quantiser,
    add,
    exact_kind,
    rescale,
    side_by_side,
    sigmoid,
    subtract_from_one,
    table,
)
from sese.compression.layers import GRU_WEIGHTS, Dense, Layer

BIAS_TOP = 32767
"""Biases are stored in 16 bits, as sums of products shifted right."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Weights and a bias as they are stored.

    Attributes:
        codes: [group, input, output] (a dense layer has one group).
        bias: [group, output], 16 bits; bias << bias_shift is added to the sum of products.
        quantiser: quantiser of the codes.
    """

    codes: Codes
    bias: Codes
    bias_shift: int
    quantiser: Quantiser


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer as it is stored: a GRU, or a dense layer with an activation.

    Attributes:
        name: name of the layer.
        kind: ``gru``, or the activation of a dense layer.
        matrices: matrices by name, in the order of `GRU_WEIGHTS` or ``W`` alone.
        signals: codes of the operators' outputs, by name in order.
    """

    name: str
    kind: str
    matrices: dict[str, Matrix]
    signals: dict[str, Quantiser]


@dataclass(frozen=True, eq=False)
class IntegerChain:
    """Layers one after the other, the codes of one going into the next.

    Attributes:
        source: codes of what goes in.
        layers: layers in order.
    """

    source: Quantiser
    layers: tuple[IntegerLayer, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Run real frames [batch, frame, input] -> [batch, frame, output], from states of zeros."""
        codes, before = self.source.encode(x), self.source
        for layer in self.layers:
            codes = run_layer(layer, codes, before)
            before = list(layer.signals.values())[-1]
        return before.decode(codes)

    @property
    def signal_bits(self) -> int:
        """Return the bits of all operators' outputs in one frame, which a stream needs beside the weights."""
        total = 0
        for layer in self.layers:
            groups, _, outputs = next(iter(layer.matrices.values())).codes.shape
            total += groups * outputs * sum(signal.bits for signal in layer.signals.values())
        return total


def quantise(layers: Sequence[Layer], quantisers: Mapping[str, Quantiser]) -> IntegerChain:
    """Return a chain in integers.

    Args:
        layers: layers in float.
        quantisers: quantisers of ``input`` and of every weight and operator, ``layer.name``.
    """
    made, before = [], quantisers["input"]
    for layer in layers:
        matrices = {}
        for name, weight in layer.matrices.items():
            own = quantisers[f"{layer.name}.{name}"]
            bias, shift = _bias(layer.biases[name], before.scale * own.scale)
            codes = own.encode(weight).reshape(-1, *weight.shape[-2:])
            matrices[name] = Matrix(codes, bias.reshape(-1, weight.shape[-1]), shift, own)
            if name == "W_in":  # the rest of a GRU's matrices see its state
                before = quantisers[f"{layer.name}.state"]
        signals = {name: quantisers[f"{layer.name}.{name}"] for name in layer.operators}
        kind = layer.activation if isinstance(layer, Dense) else "gru"
        made.append(IntegerLayer(layer.name, kind, matrices, signals))
        before = signals[list(signals)[-1]]
    return IntegerChain(quantisers["input"], tuple(made))


def _bias(bias: np.ndarray, scale: float) -> tuple[Codes, int]:
    """Return a bias in steps of `scale`, shifted right by as little as makes it fit into 16 bits."""
    largest, shift = float(np.abs(bias).max()), 0
    while largest / (scale * 2**shift) > BIAS_TOP:
        shift += 1
    return np.floor(bias / (scale * 2**shift) + 0.5).astype(np.int64), shift


def run_layer(layer: IntegerLayer, codes: Codes, before: Quantiser) -> Codes:
    """Return codes of a layer's last operator from codes [batch, frame, input] of the quantiser `before`."""
    if layer.kind == "gru":
        return _run_gru(layer, codes, before)
    return _run_dense(layer, codes, before)


def _run_dense(layer: IntegerLayer, codes: Codes, before: Quantiser) -> Codes:
    first = layer.signals["sum" if layer.kind == "sigmoid" else "out"]
    product = _Product(list(layer.matrices.values()), before, [first])
    y = product(codes.reshape(1, -1, codes.shape[-1])).reshape(*codes.shape[:-1], -1)
    # ReLU needs no work: the codes of its output begin at 0.
    return table(sigmoid, first, layer.signals["out"])[y] if layer.kind == "sigmoid" else y


class _Product:
    """Matrices of one input side by side: codes -> codes of each product with its bias added."""

    def __init__(self, matrices: list[Matrix], before: Quantiser, to: list[Quantiser]):
        self.zero = before.zero
        widths = [matrix.codes.shape[2] for matrix in matrices]
        reach = max(matrix.quantiser.reach for matrix in matrices)
        self.kind = exact_kind(matrices[0].codes.shape[1], before.reach, reach)
        centred = [matrix.codes - matrix.quantiser.zero for matrix in matrices]
        self.weight: np.ndarray = np.concatenate(centred, axis=2).astype(self.kind)
        self.bias = np.concatenate([matrix.bias << matrix.bias_shift for matrix in matrices], axis=1)[:, None]
        scales = [before.scale * matrix.quantiser.scale for matrix in matrices]
        parts = [rescale(one, scale / one.scale) for scale, one in zip(scales, to, strict=True)]
        self.rescale = side_by_side(parts, widths)

    def __call__(self, codes: Codes) -> Codes:
        """Multiply [group, row, input] -> [group, row, output]."""
        sums = ((codes - self.zero).astype(self.kind) @ self.weight).astype(np.int64)
        sums += self.bias
        return self.rescale(sums)


def _run_gru(layer: IntegerLayer, codes: Codes, before: Quantiser) -> Codes:
    q = layer.signals
    matrices = [layer.matrices[name] for name in GRU_WEIGHTS]
    groups, inputs, units = matrices[0].codes.shape
    batch, frames, _ = codes.shape
    from_input = _Product(matrices[:3], before, [q["ir"], q["iz"], q["in"]])
    from_state = _Product(matrices[3:], q["state"], [q["hr"], q["hz"], q["hn"]])
    sum_r, sum_z = add(q["ir"], q["hr"], q["sum_r"]), add(q["iz"], q["hz"], q["sum_z"])
    sum_n, sum_state = add(q["in"], q["gated"], q["sum_n"]), add(q["fresh"], q["kept"], q["state"])
    reset, update = table(sigmoid, q["sum_r"], q["reset"]), table(sigmoid, q["sum_z"], q["update"])
    new = table(np.tanh, q["sum_n"], q["new"]) - q["new"].zero  # only products see it
    one_minus = subtract_from_one(q["update"], q["one_minus"]) - q["one_minus"].zero
    gated, fresh, kept = (
        rescale(q[to], q[a].scale * q[b].scale / q[to].scale)
        for a, b, to in (("reset", "hn", "gated"), ("one_minus", "new", "fresh"), ("update", "state", "kept"))
    )
    grouped = codes.reshape(batch * frames, groups, inputs).transpose(1, 0, 2)
    projected = from_input(grouped).reshape(groups, batch, frames, 3 * units)
    steps = np.ascontiguousarray(projected.transpose(2, 0, 1, 3))
    h = np.full((groups, batch, units), q["state"].zero, np.int64)
    states = np.empty((frames, groups, batch, units), np.int64)
    for step in range(frames):
        i_r, i_z, i_n = (steps[step, ..., at * units : (at + 1) * units] for at in range(3))
        product = from_state(h)
        h_r, h_z, h_n = (product[..., at * units : (at + 1) * units] for at in range(3))
        r = reset[sum_r(i_r, h_r)] - q["reset"].zero
        z = update[sum_z(i_z, h_z)]
        n = new[sum_n(i_n, gated(r * (h_n - q["hn"].zero)))]
        held = kept((z - q["update"].zero) * (h - q["state"].zero))
        h = states[step] = sum_state(fresh(one_minus[z] * n), held)
    return states.transpose(2, 0, 1, 3).reshape(batch, frames, groups * units)
