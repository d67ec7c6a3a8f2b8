"""A predictor with binary maps and 8-bit weights, run on packed bits. NumPy alone; no PyTorch, no ONNX.

Behind the first convolution every map is one bit a cell. The channels of a cell lie side by side in 64-bit
words, and so do the weights of an output, one bit plane at a time: in two's complement a weight is

    w = b0 + 2 b1 + ... + 64 b6 - 128 b7,

so that the sum of the weights where a map has ones is the count of ones in (map and plane k), times 2^k,
over the eight planes: ands, counts of bits and shifts, no multiplication. A convolution's scale and bias
become one whole number for each channel that the sum is compared with. The spectrogram is rounded to 8 bits
as well, so that every map follows from whole numbers alone and is the same on every machine, to the bit.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.bits.words import Words
from sese.bits.words import pack as in_words
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, array_of, check_counts, from_json, read_arrays
from sese.predictor.design import KERNEL, Design, design_of
from sese.predictor.spectrum import CENTRE, SPREAD

INPUT_STEPS = 32  # of the rounded spectrogram, for each `SPREAD`
TOP = 127
PLANES = 8
BLOCK = 4  # rows of a map that are convolved at once: bounds the memory beside the maps
LARGEST_CLIP = 1 << 22  # samples, some minutes
LEAST, MOST = 1.0, 4.65  # of wide-band PESQ


@dataclass(frozen=True, eq=False)
class Packed:
    """A predictor as it is stored and run.

    design: sizes; `binary` activations.
    first: int8 [channel, tap], weights of the first convolution, taps row by row.
    planes: of each other convolution, uint64 [plane, word, channel]: the bits of a channel's weights, tap by
        tap, the channels of the map in order inside a tap; zeros behind the last.
    thresholds: of each convolution int32 [channel]: a cell is 1 where the whole-number sum is above.
    dense: of each dense layer (int8 [output, input], scale float32 [output], bias float32 [output]).
    """

    design: Design
    first: NDArray[np.int8]
    planes: tuple[Words, ...]
    thresholds: tuple[NDArray[np.int32], ...]
    dense: tuple[tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]], ...]

    @property
    def bytes(self) -> int:
        """Return the bytes of everything that is kept: weights, thresholds, scales, biases."""
        arrays = [self.first, *self.planes, *self.thresholds, *(a for layer in self.dense for a in layer)]
        return sum(array.nbytes for array in arrays)


def pack(
    design: Design,
    convolutions: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    dense: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> Packed:
    """Round the weights of a network to 8 bits, a scale for each output, and pack them.

    Args:
        design: sizes, with `binary` activations.
        convolutions: weights [output, input, 3, 3] and biases [output] of each.
        dense: weights [output, input] and biases [output] of each.

    Raises:
        InputError: the activations are not binary.
    """
    if design.activation != "binary":
        raise InputError(f"network.activation is {design.activation!r}; only binary maps are packed")
    planes, thresholds = [], []
    first: NDArray[np.int8] | None = None
    for weight, bias in convolutions:
        whole, scale = rounded(weight)
        # scale * sum + bias > 0. The spectrogram's cells are in steps of 1 / INPUT_STEPS.
        step = scale.astype(np.float64) / (INPUT_STEPS if first is None else 1)
        thresholds.append(
            np.floor(-bias.astype(np.float64) / step).clip(-(2**31), 2**31 - 1).astype(np.int32)
        )
        if first is None:
            first = whole.reshape(len(whole), -1)
        else:
            planes.append(_planes(whole))
    assert first is not None
    layers = [(*rounded(weight), bias.astype(np.float32)) for weight, bias in dense]
    return Packed(design, first, tuple(planes), tuple(thresholds), tuple(layers))


def rounded(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round weights [output, ...] to int8 with a scale [output]; their product is about the weights."""
    scale = np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), 1e-12).astype(np.float32) / TOP
    whole = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return whole.astype(np.int8), scale.astype(np.float32)


def _planes(whole: NDArray[np.int8]) -> Words:
    """Pack weights [output, input, 3, 3] into words [plane, word, output]."""
    taps = whole.transpose(0, 2, 3, 1).reshape(len(whole), -1).view(np.uint8)  # [output, tap and input]
    bits = taps[None] >> np.arange(PLANES, dtype=np.uint8)[:, None, None] & 1
    return np.ascontiguousarray(in_words(bits.astype(bool)).transpose(0, 2, 1))


def rounded_spectrogram(mel: NDArray[np.floating]) -> NDArray[np.int8]:
    """Round a log mel spectrogram [band, frame] to whole steps."""
    steps = np.round((np.asarray(mel, np.float32) - CENTRE) * (INPUT_STEPS / SPREAD))
    return np.clip(steps, -TOP, TOP).astype(np.int8)


def predict(packed: Packed, mel: NDArray[np.floating]) -> float:
    """Predict PESQ from a log mel spectrogram [band, frame], within `LEAST` and `MOST`."""
    maps = pooled_maps(packed, mel)
    last = _bits(maps[-1], packed.design.channels[-1])
    x = np.asarray(last.any((0, 1)) if packed.design.pool == "max" else last.mean((0, 1)), np.float32)
    for number, (whole, scale, bias) in enumerate(packed.dense):
        x = np.asarray((whole.astype(np.float32) @ x) * scale + bias)
        if number < len(packed.dense) - 1:
            x = np.maximum(x, 0)
    return float(np.clip(x[0], LEAST, MOST))


def pooled_maps(packed: Packed, mel: NDArray[np.floating]) -> list[NDArray[np.uint8]]:
    """Return the map behind each convolution, pooled: bytes [band, frame, byte]."""
    maps = [_first(packed, rounded_spectrogram(mel))]
    for number, planes in enumerate(packed.planes, start=1):
        maps.append(
            _convolve(maps[-1], packed.design.channels[number - 1], planes, packed.thresholds[number])
        )
    return maps


def _first(packed: Packed, mel: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Run the first convolution, of whole numbers, and its pooling."""
    weight = packed.first.T.astype(np.float32)  # sums stay below 2^24: exact in float32
    bands, frames = (size // 2 * 2 for size in mel.shape)
    padded = np.pad(mel, 1)
    made = np.empty((bands // 2, frames // 2, -(-len(packed.first) // 8)), np.uint8)
    for band in range(0, bands, BLOCK):
        rows = padded[band : min(band + BLOCK, bands) + 2]
        patches = np.lib.stride_tricks.sliding_window_view(rows, (KERNEL, KERNEL))[:, :frames]
        sums = patches.reshape(-1, KERNEL**2).astype(np.float32) @ weight
        bits = (sums > packed.thresholds[0]).reshape(*patches.shape[:2], -1)
        made[band // 2 : (band + len(bits)) // 2] = _pool(bits)
    return made


def _convolve(
    cells: NDArray[np.uint8], channels: int, planes: Words, thresholds: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """Run a convolution of binary maps [band, frame, byte], and its pooling."""
    bands, frames = (size // 2 * 2 for size in cells.shape[:2])
    padded = np.pad(cells, ((1, 1), (1, 1), (0, 0)))
    made = np.empty((bands // 2, frames // 2, -(-len(thresholds) // 8)), np.uint8)
    for band in range(0, bands, BLOCK):
        rows = padded[band : min(band + BLOCK, bands) + 2]
        words = _patches(rows, frames, channels)  # [cell, word]
        sums = np.zeros((len(words), len(thresholds)), np.int32)
        for plane, by_word in enumerate(planes):
            ones = np.zeros(sums.shape, np.uint16)
            for word, weights in enumerate(by_word):
                ones += popcount(words[:, word, None] & weights)
            sums += (
                ones.astype(np.int32) << plane if plane < PLANES - 1 else -(ones.astype(np.int32) << plane)
            )
        bits = (sums > thresholds).reshape(len(rows) - 2, frames, -1)
        made[band // 2 : (band + len(bits)) // 2] = _pool(bits)
    return made


def _patches(rows: NDArray[np.uint8], frames: int, channels: int) -> Words:
    """Return the 9 cells around each of some padded rows [band, frame, byte], as words [cell, word]."""
    windows = np.lib.stride_tricks.sliding_window_view(rows, (KERNEL, KERNEL), axis=(0, 1))[:, :frames]
    taps = windows.transpose(0, 1, 3, 4, 2).reshape(len(windows) * frames, KERNEL**2, -1)
    if channels % 8:  # bits of neighbouring taps share a byte
        return in_words(_bits(taps, channels).reshape(len(taps), -1))
    flat = taps.reshape(len(taps), -1)
    padded = np.zeros((len(flat), -(-flat.shape[1] // 8) * 8), np.uint8)
    padded[:, : flat.shape[1]] = flat
    return padded.view("<u8").astype(np.uint64, copy=False)


def _pool(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pool [band, frame, channel] by "or" over 2 x 2 cells, packed into bytes."""
    either = bits[0::2] | bits[1::2]
    return np.packbits(either[:, 0::2] | either[:, 1::2], axis=-1, bitorder="little")


def _bits(cells: NDArray[np.uint8], channels: int) -> NDArray[np.bool_]:
    """Unpack bytes [..., byte] -> [..., channel]."""
    return np.unpackbits(cells, axis=-1, count=channels, bitorder="little").astype(bool)


def popcount(words: Words) -> NDArray[np.uint8]:
    """Count the bits of each word that are set."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    halves = words.view(np.uint16).reshape(*words.shape, 4)  # NumPy 1.26
    return _ones()[halves].sum(-1, dtype=np.uint8)


@cache
def _ones() -> NDArray[np.uint8]:
    return np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


def save(packed: Packed, path: Path) -> None:
    """Write a predictor; the file appears whole or not at all."""
    facts = json.dumps({"format": 1, "design": asdict(packed.design)})
    arrays: dict[str, Any] = {"facts": np.frombuffer(facts.encode(), np.uint8), "first": packed.first}
    arrays |= {f"planes{i}": planes for i, planes in enumerate(packed.planes)}
    arrays |= {f"thresholds{i}": each for i, each in enumerate(packed.thresholds)}
    for i, layer in enumerate(packed.dense):
        arrays |= {
            f"dense{i}.{name}": part for name, part in zip(("weight", "scale", "bias"), layer, strict=True)
        }
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load(path: Path) -> Packed:
    """Load the predictor of a file.

    Raises:
        InputError: missing, or no such file.
    """
    try:
        arrays = read_arrays(path)
        facts = from_json(arrays["facts"].tobytes())
        if facts["format"] != 1:
            raise InputError(f"{path} has format {facts['format']}, and this version reads 1")
        design = design_of(facts["design"])
        check_counts(vars(design), sample_rate=384_000, fft=1 << 14, hop=1 << 14, bands=1 << 10)
        if design.samples > LARGEST_CLIP:
            raise ValueError(f"its clips have {design.samples} samples; {LARGEST_CLIP} is the most")
        channels, widths = design.channels, (design.channels[-1], *design.hidden, 1)
        for count in (*channels, *design.hidden):
            check_counts({"channels": count}, channels=1 << 12)
        return Packed(
            design,
            array_of(arrays, "first", np.int8, (channels[0], KERNEL**2)),
            tuple(
                array_of(arrays, f"planes{i}", np.uint64, (PLANES, -(-(KERNEL**2) * before // 64), after))
                for i, (before, after) in enumerate(pairwise(channels))
            ),
            tuple(array_of(arrays, f"thresholds{i}", np.int32, (n,)) for i, n in enumerate(channels)),
            tuple(
                (
                    array_of(arrays, f"dense{i}.weight", np.int8, (after, before)),
                    array_of(arrays, f"dense{i}.scale", np.float32, (after,)),
                    array_of(arrays, f"dense{i}.bias", np.float32, (after,)),
                )
                for i, (before, after) in enumerate(pairwise(widths))
            ),
        )
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist; give a predictor that `sese quality export` wrote"
        ) from None
    except (OSError, *MALFORMED) as error:
        raise InputError(f"{path} is no quality predictor ({error})") from None
