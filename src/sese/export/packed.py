"""Packed bits of bitwise networks and of hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sese.bits import bitwise, hashing
from sese.bits.bitwise import Facts, Packed
from sese.bits.words import Matrix, Words, pack
from sese.core.errors import InputError
from sese.nn.backbones.bitwise import Bitwise
from sese.nn.backbones.boosted_hashing import BoostedHashing
from sese.nn.enhancer import Enhancer
from sese.nn.features.codes import CodeFeatures
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.layers.bitwise import BitwiseLinear


def save_packed(model: Enhancer, folder: Path) -> bool:
    """Write the packed bits of a model into a folder, and return whether the model has any."""
    if isinstance(model.backbone, Bitwise) and model.backbone.binary:
        bitwise.save(packed(model), folder / bitwise.FILE)
    elif isinstance(model.backbone, BoostedHashing):
        hashing.save(dictionary(model), folder / bitwise.FILE)
    else:
        return False
    return True


def dictionary(model: Enhancer) -> hashing.Dictionary:
    """Return the hash and the dictionary of a model whose backbone is `BoostedHashing`."""
    backbone, features = model.backbone, model.features
    assert isinstance(backbone, BoostedHashing)
    assert isinstance(features, MagnitudeFeatures)
    facts = hashing.Facts(
        model.sample_rate, model.hop_length, features.compression, backbone.bits, backbone.neighbours
    )
    arrays = (backbone.projections.detach(), backbone.codes, backbone.masks)
    return hashing.Dictionary(facts, *(array.numpy() for array in arrays))


def packed(model: Enhancer) -> Packed:
    """Pack a network of bits.

    Raises:
        InputError: it is no network of bits.
    """
    backbone, features = model.backbone, model.features
    if not isinstance(backbone, Bitwise) or not backbone.binary:
        raise InputError("only a bitwise network with model.binary can be packed")
    assert isinstance(features, CodeFeatures)
    matrices, inputs = [], backbone.inputs
    for layer in backbone.layers:
        if backbone.recurrent:
            matrices += [
                _gates(layer.gates, inputs, backbone.hidden),
                _matrix(layer.candidate, inputs),
            ]
        else:
            matrices.append(_matrix(layer, inputs))
        inputs = backbone.hidden
    matrices.append(_matrix(backbone.mask, inputs))
    facts = Facts(
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        code_bits=features.code_bits,
        hidden=backbone.hidden,
        layers=len(backbone.layers),
        recurrent=backbone.recurrent,
        output=backbone.output,
        level_decay=features.decay,
    )
    return Packed(
        facts,
        10.0 ** features.thresholds.double().numpy(),
        tuple(matrices),
        float(backbone.mask.bits().scale),
        backbone.mask.bias.detach().float().numpy(),
    )


def _gates(layer: BitwiseLinear, inputs: int, hidden: int) -> Matrix:
    """Pack the gates of a GRU; extra rows between reset and update fill up the last word of the units."""
    matrix = _matrix(layer, inputs)
    missing = -hidden % 64
    if not missing:
        return matrix
    places = [hidden] * missing
    return Matrix(
        np.insert(matrix.signs, places, 0, axis=0),
        None if matrix.kept is None else np.insert(matrix.kept, places, 0, axis=0),
        np.insert(matrix.least, places, np.iinfo(np.int32).max),
    )


def _matrix(layer: BitwiseLinear, inputs: int) -> Matrix:
    bits = layer.bits()
    kept = None if bits.weight.all() else _words(bits.weight != 0, inputs)
    least = torch.round(0.5 - bits.offset).to(torch.int32).numpy()
    return Matrix(_words(bits.weight > 0, inputs), kept, least)


def _words(values: Tensor, inputs: int) -> Words:
    """Pack rows; the input's values start a word, and so do the state's values behind them."""
    parts = [part.numpy() for part in (values[:, :inputs], values[:, inputs:]) if part.shape[1]]
    return np.ascontiguousarray(np.concatenate([pack(part) for part in parts], axis=1))
