"""A chain in integers as one file: a short header, then weights of a few bits each without gaps.

    8 bytes   SESEINT1
    4 bytes   length of the header, little-endian
    header    JSON: scales, zeros and bits of every code, shapes
    weights   of each layer, of each matrix: codes of b bits, most significant bit first, in the order
              [group, input, output], filled up to a byte; then the biases, int16, little-endian

Multipliers follow from the scales (`sese.compression.integer`), tables of sigmoid and tanh from the codes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from sese.compression.integer import Codes, Quantiser
from sese.compression.layers import GRU_OPERATORS, GRU_WEIGHTS
from sese.compression.operators import IntegerChain, IntegerLayer, Matrix
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, from_json

MAGIC = b"SESEINT1"


def to_bytes(chain: IntegerChain) -> bytes:
    """Return the content of the file."""
    header: dict[str, Any] = {"input": _numbers(chain.source), "layers": []}
    body = []
    for layer in chain.layers:
        weights = []
        for matrix in layer.matrices.values():
            weights.append([*_numbers(matrix.quantiser), matrix.bias_shift, *matrix.codes.shape])
            body += [pack(matrix.codes, matrix.quantiser.bits), matrix.bias.astype("<i2").tobytes()]
        signals = [_numbers(signal) for signal in layer.signals.values()]
        header["layers"].append([layer.name, layer.kind, weights, signals])
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join([MAGIC, len(text).to_bytes(4, "little"), text, *body])


def size(chain: IntegerChain) -> int:
    """Return the size of the file in bytes."""
    return len(to_bytes(chain))


def write(chain: IntegerChain, path: Path) -> int:
    """Write the file, whole or not at all; returns its bytes."""
    with replacing(path) as part:
        part.write_bytes(to_bytes(chain))
    return path.stat().st_size


def read(path: Path) -> IntegerChain:
    """Read the chain in a file.

    Raises:
        InputError: no such file, or another or a damaged one.
    """
    try:
        data = path.read_bytes()
    except OSError:
        raise InputError(f"{path} cannot be read; give a file that `sese compress` wrote") from None
    try:
        chain = _parse(data)
        groups, inputs, _ = next(iter(chain.layers[0].matrices.values())).codes.shape
        chain(np.zeros((1, 1, groups * inputs)))  # layers that do not fit together fail here
        return chain
    except MALFORMED:
        raise InputError(
            f"{path} is damaged, or no file of `sese compress`; write it again or fetch it whole"
        ) from None


def _parse(data: bytes) -> IntegerChain:
    at = len(MAGIC) + 4
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError
    end = at + int.from_bytes(data[len(MAGIC) : at], "little")
    header, at = from_json(data[at:end]), end
    layers = []
    for name, kind, weights, signals in header["layers"]:
        names = GRU_WEIGHTS if kind == "gru" else ("W",)
        matrices = {}
        for key, (bits, scale, zero, shift, *shape) in zip(names, weights, strict=True):
            own = _quantiser(bits, scale, zero)
            if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > 8 * len(data) or not 0 <= shift < 32:
                raise ValueError
            length = (int(np.prod(shape)) * bits + 7) // 8
            codes = unpack(data[at : at + length], bits, int(np.prod(shape))).reshape(shape)
            at += length
            count = shape[0] * shape[2]
            bias = np.frombuffer(data, "<i2", count, at).astype(np.int64).reshape(shape[0], shape[2])
            at += 2 * count
            matrices[key] = Matrix(codes, bias, shift, own)
        operators = {"gru": GRU_OPERATORS, "sigmoid": ("sum", "out")}.get(kind, ("out",))
        own_signals = {key: _quantiser(*numbers) for key, numbers in zip(operators, signals, strict=True)}
        layers.append(IntegerLayer(name, kind, matrices, own_signals))
    if at != len(data):
        raise ValueError
    return IntegerChain(_quantiser(*header["input"]), tuple(layers))


def _quantiser(bits: int, scale: float, zero: int) -> Quantiser:
    """Return a quantiser from numbers; ValueError where no quantiser has them."""
    if not (isinstance(bits, int) and 2 <= bits <= 16 and isinstance(zero, int) and 0 <= zero < 1 << bits):
        raise ValueError
    if not 1e-30 < scale < 1e30:
        raise ValueError
    return Quantiser(bits, scale, zero)


def _numbers(quantiser: Quantiser) -> list[float]:
    return [quantiser.bits, quantiser.scale, quantiser.zero]


def pack(codes: Codes, bits: int) -> bytes:
    """Pack codes into `bits` bits each, one behind the other, most significant first."""
    places = np.arange(bits - 1, -1, -1)
    return np.packbits((codes.reshape(-1, 1) >> places & 1).astype(np.uint8)).tobytes()


def unpack(data: bytes, bits: int, count: int) -> Codes:
    """Unpack the codes that `pack` packed: int64 [count]."""
    single = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits)
    return single.reshape(count, bits) @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
