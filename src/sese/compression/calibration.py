"""Ranges of weights and signals, found once on real frames, for any bit width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sese.compression.integer import Quantiser, fit
from sese.compression.layers import CLIPPED, Floats, Layer, genes

ENDS = 8
"""Bits of what goes into a chain and of what comes out."""

SAMPLES = 8192
"""Values of a signal that its range is fitted to, drawn evenly."""


WEIGHT_POWER = 4
"""Power of errors of weights: with few bits, squares clip the large weights, which matter most."""


class Calibration:
    """Ranges of the weights and signals of a chain, and quantisers for them.

    Args:
        layers: layers of the chain.
        x: frames [batch, frame, input] that go in.
        seed: seed of the random choice of values.
    """

    def __init__(self, layers: Sequence[Layer], x: Floats, seed: int = 0):
        self.layers = tuple(layers)
        self.genes = genes(layers)
        generator = np.random.default_rng(seed)

        def draw(values: Floats) -> Floats:
            flat = values.ravel()
            return flat[generator.integers(len(flat), size=SAMPLES)] if len(flat) > SAMPLES else flat

        self._values = {"input": draw(x)}
        for layer in layers:
            self._values |= {f"{layer.name}.{name}": matrix for name, matrix in layer.matrices.items()}
            x, made = layer.trace(x)
            self._values |= {f"{layer.name}.{name}": draw(values) for name, values in made.items()}
        self._fitted: dict[tuple[str, int], Quantiser] = {}

    def quantiser(self, name: str, bits: int) -> Quantiser:
        """Return the quantiser of a gene, of the chain's ``input``, or of an operator's output."""
        if (name, bits) not in self._fitted:
            kind = name.rpartition(".")[2]
            power = WEIGHT_POWER if kind.startswith("W") else 2
            self._fitted[name, bits] = fit(self._values[name], bits, CLIPPED.get(kind), power)
        return self._fitted[name, bits]

    def quantisers(self, bits: Mapping[str, int]) -> dict[str, Quantiser]:
        """Return the quantisers of a whole chain, by name, from the bits of its genes."""
        last = self.layers[-1]
        out = f"{last.name}.{list(last.operators)[-1]}"
        widths = {"input": ENDS, **bits, out: ENDS}
        return {name: self.quantiser(name, width) for name, width in widths.items()}
