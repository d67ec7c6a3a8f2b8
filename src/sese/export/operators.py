"""Layers that are traced in another form than they run in: recurrent ones, and slimmable products.

The networks' own loops over frames can only be traced for a given number of frames; here recurrent layers
are ONNX' GRU. What goes into and comes out of a slimmable product is marked, so that the export can give
each level its own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.backbones.gated_mixer import GatedMixer
from sese.nn.features.codes import CodeFeatures
from sese.nn.features.level import audible
from sese.nn.features.steady import (
    FORGOTTEN,
    LEAST,
    MOST,
    OFFSET_FRAMES,
    RECENT_FRAMES,
    SteadyFeatures,
)
from sese.nn.features.stft import LEVEL_FLOOR, SpectralFeatures
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.layers import gated
from sese.nn.layers.bitwise import Binarisation, Bits, BitwiseGRU, BitwiseLinear
from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.layers.depthwise import DepthwiseBlock
from sese.nn.layers.dynamic import DynamicAttention, DynamicGRU
from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.layers.packed_bits import pack, unpack
from sese.nn.layers.slim import BandGRU, BandMap, ChannelMap
from sese.nn.layers.temporal_block import TemporalBlock
from sese.nn.policies.router import DiagonalGRU

ENTER, LEAVE = "Enter", "Leave"
"""Markers around a slimmable product, operators in the domain ``sese``; their attribute ``features`` is the
width of the rows there."""

RECUR = "Recur"
"""Marker of h = keep h + added over frames, in the domain ``sese``; the export writes a loop in its place."""


FEW_GROUPS = 2
"""Up to so many groups an operator for each is quicker than one product for all, also for a single frame."""


def for_tracing(network: Any, many: bool) -> Any:
    """A copy of a network in the form in which it is traced, for one frame or for any number of them."""
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, GroupedGRU) and (many or layer.groups <= FEW_GROUPS):
            vars(layer)["forward"] = partial(_grouped, layer)
        elif isinstance(layer, DynamicGRU):
            vars(layer).update(_along_bands=partial(_dynamic, layer), _along_time=partial(_dynamic, layer))
        elif isinstance(layer, DynamicAttention):
            vars(layer)["_attend"] = partial(_attend, layer)
        elif isinstance(layer, DiagonalGRU):
            vars(layer)["forward"] = partial(_diagonal, layer)
        elif isinstance(layer, BitwiseLinear):
            vars(layer)["bits"] = _packed(layer)
        elif isinstance(layer, BitwiseGRU):
            vars(layer).update(forward=partial(_soft_gru, layer), hard=partial(_hard_gru, layer))
        elif isinstance(layer, CodeFeatures):
            vars(layer)["components"] = partial(_components, layer)
        elif isinstance(layer, BandGRU):
            vars(layer)["forward"] = partial(_band_gru, layer)
        elif isinstance(layer, BandMap):
            vars(layer)["forward"] = partial(_band_map, layer)
        elif isinstance(layer, gated.BandMap):
            vars(layer)["forward"] = partial(_gated_band_map, layer)
        elif isinstance(layer, gated.GatedRecurrence):
            vars(layer)["forward"] = partial(_gated_recurrence, layer)
        elif isinstance(layer, GatedMixer):
            vars(layer).update(_encode=partial(_encode, layer), _decode=partial(_decode, layer))
        elif isinstance(layer, ChannelMap):
            vars(layer)["forward"] = partial(_channel_map, layer)
        elif isinstance(layer, TemporalBlock) and not many:
            vars(layer)["_depthwise"] = partial(_depthwise, layer)
        elif isinstance(layer, DepthwiseBlock):
            vars(layer)["_convolve"] = partial(_convolve, layer)
        elif isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
            # ONNX Runtime's PRelu takes ten times as long.
            vars(layer)["forward"] = partial(F.leaky_relu, negative_slope=layer.weight.item())
        elif isinstance(layer, SpectralFeatures | SteadyFeatures):
            vars(layer)["transform"] = partial(_forward_transform, layer)
            if isinstance(layer, SteadyFeatures) and not many:
                vars(layer).update(_centred=partial(_centred, layer), _level=partial(_level, layer))
        elif isinstance(layer, OverlapAddHead):
            vars(layer)["transform"] = partial(_inverse_transform, layer)
        elif isinstance(layer, SlimEncoderBlock | SlimDecoderBlock):
            outer = partial(_glu, layer) if isinstance(layer, SlimEncoderBlock) else layer._outer
            vars(layer).update(_inner=_marked(layer._inner, ENTER), _outer=_marked(outer, LEAVE))
    return network


def _glu(block: SlimEncoderBlock, h: Tensor) -> Tensor:
    """As `SlimEncoderBlock._outer`, in two products: the gate's sigmoid is fused, and nothing is split."""
    weights = block.pointwise_weight.chunk(2, dim=1)
    biases = block.pointwise_bias.chunk(2)
    value, gate = (torch.addmm(bias, h, weight) for bias, weight in zip(biases, weights, strict=True))
    return value * gate.sigmoid()


def _marked(run: Callable[..., Tensor], marker: str) -> Callable[..., Tensor]:
    def marked(x: Tensor, *arguments: Any) -> Tensor:
        if marker == ENTER:
            return run(_mark(x, marker), *arguments)
        return _mark(run(x, *arguments), marker)

    return marked


def _mark(x: Tensor, marker: str) -> Tensor:
    return torch.onnx.ops.symbolic(
        f"sese::{marker}", (x,), {"features": x.shape[1]}, dtype=x.dtype, shape=x.shape, version=1
    )


def _grouped(layer: GroupedGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """As `GroupedGRU.forward`."""
    count = layer.layers * layer.groups
    groups = list(x.transpose(0, 1).chunk(layer.groups, dim=2))
    states = hidden.reshape(-1, count, layer.size).transpose(0, 1).chunk(count)
    weights, recurrents = (
        _reordered(matrix.flatten(0, 1).transpose(1, 2)).chunk(count)
        for matrix in (layer.input_weight, layer.hidden_weight)
    )
    halves = [_reordered(bias.flatten(0, 2)) for bias in (layer.input_bias, layer.hidden_bias)]
    biases = torch.cat(halves, dim=1).chunk(count)
    ends = []
    for at in range(count):
        group = at % layer.groups
        groups[group], end = _gru(groups[group], states[at], weights[at], recurrents[at], biases[at])
        ends.append(end)
    after = torch.cat(ends).transpose(0, 1).reshape(-1, layer.layers, layer.groups * layer.size)
    return torch.cat(groups, dim=2).transpose(0, 1), after


def _dynamic(
    layer: DynamicGRU, y: Tensor, count: int, state: Tensor | None = None, mask: Tensor | None = None
) -> Any:
    """As `DynamicGRU._along_bands` (no state) and `DynamicGRU._along_time`.

    All groups in one operator, with zeros in the weights between them: steps are many, and products small.
    """
    assert mask is None
    width = count * layer.size
    order = torch.tensor([1, 0, 2])  # PyTorch's gates are reset, update, new; ONNX' have update first

    def apart(weight: Tensor) -> Tensor:
        """(group, direction, 3 * unit, unit) -> (direction, 3 * group * unit, group * unit)."""
        gates = weight[:count].unflatten(2, (3, -1)).index_select(2, order).permute(1, 2, 0, 3, 4)
        blocks = gates.unsqueeze(4) * torch.eye(count).view(count, 1, count, 1)
        return blocks.reshape(-1, 3 * width, width)

    def joined(bias: Tensor) -> Tensor:
        """(group, direction, 3 * unit) -> (direction, 3 * group * unit)."""
        gates = bias[:count].unflatten(2, (3, -1)).index_select(2, order)
        return gates.permute(1, 2, 0, 3).reshape(-1, 3 * width)

    weights, recurrents = apart(layer.input_weight), apart(layer.hidden_weight)
    bias = torch.cat([joined(layer.input_bias), joined(layer.hidden_bias)], dim=1)
    batch, frames, bands, _ = y.shape
    if state is None:
        rows = y.flatten(0, 1).transpose(0, 1)
        made = _both_ways(rows, weights, recurrents, bias)  # (band, direction, row, group * unit)
        made = made.view(bands, 2, -1, count, layer.size).permute(2, 0, 3, 1, 4)
        return made.reshape(batch, frames, bands, 2 * width)
    rows = y.transpose(0, 1).flatten(1, 2)
    made, last = _gru(rows, state.reshape(1, -1, width), weights, recurrents, bias)
    return made.reshape(frames, batch, bands, width).transpose(0, 1), last.view(batch, bands, width)


def _attend(
    layer: DynamicAttention, query: Tensor, key: Tensor, value: Tensor, offset: Tensor | None = None
) -> Tensor:
    """As `DynamicAttention._attend`; PyTorch takes minutes to trace its products of five axes."""

    def product(a: Tensor, b: Tensor) -> Tensor:
        shape = (*a.shape[:-1], b.shape[-1])
        return torch.onnx.ops.symbolic("MatMul", (a, b), dtype=a.dtype, shape=shape)

    scores = product(query / math.sqrt(layer.size), key.transpose(-1, -2))
    if offset is not None:
        scores = scores + offset
    return product(torch.softmax(scores, dim=-1), value)


def _diagonal(layer: DiagonalGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """As `DiagonalGRU.forward`."""
    bias = layer.input.bias.unsqueeze(0)
    y, last = _gru(
        x.transpose(0, 1),
        hidden.unsqueeze(0),
        _reordered(layer.input.weight.unsqueeze(0)),
        _reordered(torch.diag_embed(layer.recurrent_weight).flatten(0, 1).unsqueeze(0)),
        torch.cat([_reordered(bias), torch.zeros_like(bias)], dim=1),
    )
    return y.transpose(0, 1), last.squeeze(0)


def _band_gru(layer: BandGRU, x: Tensor, hidden: int, state: Tensor) -> tuple[Tensor, Tensor]:
    """As `BandGRU.forward`; the product at the end adds to the stream, in one operator."""
    input_weight, hidden_weight, *biases = (weight.unsqueeze(0) for weight in layer.weights(hidden))
    bias = torch.cat([_reordered(bias) for bias in biases], dim=1)
    before = state.transpose(0, 1)
    start = before[..., :hidden].reshape(1, -1, hidden)
    rows = layer.norm(x).flatten(1, 2)
    h, last = _gru(rows, start, _reordered(input_weight), _reordered(hidden_weight), bias)
    last = last.view(layer.bands, -1, hidden)
    if hidden < layer.size:
        last = torch.cat([last, before[..., hidden:]], dim=2)
    made = torch.addmm(x.flatten(0, 2), h.reshape(-1, hidden), layer.out_weight[:hidden])
    return made.view(x.shape), last.transpose(0, 1)


def _band_map(layer: BandMap, x: Tensor, hidden: int) -> Tensor:
    """As `BandMap.forward`; for one frame the products add what is to be added."""
    frames = x.shape[0]
    if not isinstance(frames, int) or frames != 1:
        return BandMap.forward(layer, x, hidden)
    y, stream = (value.flatten(2).squeeze(0) for value in (layer.norm(x), x))
    h = F.relu(torch.addmm(layer.in_bias[:hidden, None], layer.in_weight[:hidden], y))
    return torch.addmm(stream, layer.out_weight[:hidden].t(), h).view(x.shape)


def _gated_band_map(layer: gated.BandMap, x: Tensor, hidden: int) -> Tensor:
    """As `gated.BandMap.forward`; for one frame of one signal the products add what is to be added."""
    weights = layer.in_weight[:hidden], layer.in_bias[:hidden, None], layer.out_weight[:hidden].t()
    h = F.relu(torch.matmul(weights[0], layer.norm(x)) + weights[1])
    return x + torch.matmul(weights[2], h)


def _gated_recurrence(
    layer: gated.GatedRecurrence, x: Tensor, hidden: int, state: Tensor
) -> tuple[Tensor, Tensor]:
    """As `gated.GatedRecurrence.forward`: three products, with fused activations."""
    frames, units = x.shape[0], slice(hidden)
    y = layer.norm(x).flatten(0, 2)
    weights, biases = layer.in_weight[units].unbind(1), layer.in_bias[units].unbind(1)
    keep, value, gate = (
        torch.addmm(bias, y, weight.t()) for weight, bias in zip(weights, biases, strict=True)
    )
    keep, before = torch.sigmoid(keep), state[..., :hidden]
    if isinstance(frames, int) and frames == 1:
        shaped = (1, *before.shape)
        keep, value = keep.view(shaped), value.view(shaped)
        h = value + keep * (before - value)
        last = h.squeeze(0)
    else:
        shaped = (frames, *before.shape)
        keep, value = keep.view(shaped), value.view(shaped)
        h = torch.onnx.ops.symbolic(
            f"sese::{RECUR}", (keep, (1 - keep) * value, before), dtype=x.dtype, shape=shaped, version=1
        )
        last = h[-1]
    u = h.flatten(0, 2) * F.silu(gate)
    made = torch.addmm(x.flatten(0, 2), u, layer.out_weight[units]).view(x.shape)
    return made, torch.cat([last, state[..., hidden:]], dim=2) if hidden < layer.size else last


def _encode(layer: GatedMixer, spectra: Tensor) -> Tensor:
    """As `GatedMixer._encode`, by one look-up of all windows of a width.

    Beyond the ends a window has zeros: the imaginary part of the lowest bin, which is always zero.
    """
    frames, batch = spectra.shape[:2]
    flat = spectra.flatten(2)
    zero = 2 * layer.bins
    made, start = [], 0
    for linear, (count, bins) in zip(layer.encoder, layer.bands, strict=True):
        inside = torch.arange(-(bins // 2), count * bins + bins // 2)
        chunks = inside.unflatten(0, (count + 1, bins))
        windows = torch.cat([chunks[:-1], chunks[1:]], dim=1).unsqueeze(1)  # (band, 1, bin)
        part = torch.arange(3).view(1, 3, 1) * layer.bins
        beyond = (windows < 0) | (windows >= count * bins)
        places = torch.where(beyond, zero, part + start + windows)
        looked = flat.index_select(2, places.flatten()).view(frames, batch, count, -1)
        made.append(F.linear(looked, linear.weight))  # type: ignore[arg-type]
        start += count * bins
    return torch.cat(made, dim=2) + layer.offset


def _decode(layer: GatedMixer, x: Tensor) -> Tensor:
    """As `GatedMixer._decode`, by two look-ups in all windows: of bins in the one and in the other half."""
    made: list[Tensor] = []
    first: list[Tensor] = []
    second: list[Tensor] = []
    start = 0
    widths = [count for count, _ in layer.bands]
    total = sum(4 * bins * count for count, bins in layer.bands)
    for linear, part, (count, bins) in zip(layer.decoder, x.split(widths, dim=2), layer.bands, strict=True):
        made.append(F.linear(part, linear.weight).flatten(2))  # type: ignore[arg-type]
        at = torch.arange(count * bins) + bins // 2  # in the sum of windows, before its ends are cut off
        chunk, within = at // bins, at % bins
        for places, band, half in ((first, chunk, 0), (second, chunk - 1, 1)):
            of_parts = [
                torch.where(
                    (band >= 0) & (band < count),
                    start + band * 4 * bins + half * 2 * bins + which * bins + within,
                    total,
                )
                for which in range(2)
            ]
            places.append(torch.stack(of_parts))
        start += count * 4 * bins
    made.append(x[:, :, :1, 0] * 0)
    flat = torch.cat(made, dim=2)
    looked = [flat.index_select(2, torch.cat(places, dim=1).flatten()) for places in (first, second)]
    return (looked[0] + looked[1]).view(*x.shape[:2], 2, layer.bins)


def _channel_map(layer: ChannelMap, x: Tensor, hidden: int) -> Tensor:
    """As `ChannelMap.forward`; the second product adds to the stream."""
    h = F.relu(F.linear(layer.norm(x).flatten(0, 2), layer.in_weight[:hidden], layer.in_bias[:hidden]))
    return torch.addmm(x.flatten(0, 2), h, layer.out_weight[:hidden]).view(x.shape)


def _packed(layer: BitwiseLinear) -> Callable[[], Bits]:
    """As `BitwiseLinear.bits`, from weights that are bits in the file and unpacked when it is opened."""
    bits, count = layer.bits(), layer.weight.shape[1]
    signs = pack(bits.weight > 0)
    kept = None if bits.weight.all() else pack(bits.weight != 0)

    def unpacked() -> Bits:
        weight = 2 * unpack(signs, count) - 1
        return Bits(weight if kept is None else weight * unpack(kept, count), bits.offset, bits.scale)

    return unpacked


def _components(layer: CodeFeatures, power: Tensor) -> Tensor:
    """As `CodeFeatures.components`, by comparisons."""
    return (power.unsqueeze(2) > layer.thresholds).to(torch.int32).sum(2).long()


STEEP = 40.0
"""Slope at which tanh is a sign to all digits from 0.5 on, where every hard sum lies."""


def _hard_gru(layer: BitwiseGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """As `BitwiseGRU.hard`: sums are half a unit or more from zero, where a hard sigmoid is a step."""
    gates, candidate = layer.gates.bits(), layer.candidate.bits()
    made: dict[str, Any] = {
        "activations": ["HardSigmoid", "ScaledTanh"],
        "activation_alpha": [1.0, 1.0],
        "activation_beta": [0.5, STEEP],
    }
    offsets = (gates.offset, candidate.offset)
    return _reset_first(layer, x, hidden, (gates.weight, candidate.weight), offsets, made)


def _soft_gru(layer: BitwiseGRU, x: Tensor, hidden: Tensor, how: Binarisation) -> tuple[Tensor, Tensor]:
    """As `BitwiseGRU.forward` without bits."""
    assert not how.share
    weights = (torch.tanh(layer.gates.weight.detach()), torch.tanh(layer.candidate.weight.detach()))
    return _reset_first(layer, x, hidden, weights, (layer.gates.bias, layer.candidate.bias), {})


def _reset_first(
    layer: BitwiseGRU,
    x: Tensor,
    hidden: Tensor,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor, Tensor],
    activations: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """A GRU whose reset gate acts before the product; ONNX' update gate says what is kept, not what is new.

    Its weights and biases: those of both gates, those of the candidate.
    """
    size = layer.size

    def gates(of_both: Tensor, of_new: Tensor) -> Tensor:
        reset, update = of_both.chunk(2)
        return torch.cat([-update, reset, of_new]).unsqueeze(0)

    weight, bias = gates(*weights), gates(*biases)
    y, last = torch.onnx.ops.symbolic_multi_out(
        "GRU",
        (
            x.transpose(0, 1),
            weight[:, :, : layer.inputs],
            weight[:, :, layer.inputs :],
            torch.cat([bias, torch.zeros_like(bias)], dim=1),
            None,
            hidden.transpose(0, 1),
        ),
        {"hidden_size": size, "linear_before_reset": 0, **activations},
        dtypes=(x.dtype, x.dtype),
        shapes=((x.shape[1], 1, x.shape[0], size), (1, x.shape[0], size)),
    )
    return y.squeeze(1).transpose(0, 1), last.transpose(0, 1)


def _depthwise(layer: TemporalBlock, joined: Tensor, width: int) -> Tensor:
    """As `TemporalBlock._depthwise` for one frame, without a convolution's changes of layout."""
    windows = joined[:, :: layer.dilation, :width].transpose(1, 2).unsqueeze(2)
    return (windows * layer.depthwise_weight[:width]).sum((2, 3))


def _convolve(layer: DepthwiseBlock, x: Tensor) -> Tensor:
    """As `DepthwiseBlock._convolve`, a product a tap: for few steps a convolution takes longer."""
    taps, y = layer.depthwise.weight[:, 0].unbind(1), layer.depthwise.bias
    assert y is not None
    for tap, factor in enumerate(taps):
        start, left = tap * layer.dilation, (len(taps) - 1 - tap) * layer.dilation
        y = y + x[:, start : -left or None] * factor
    return y


def _forward_transform(layer: SpectralFeatures | SteadyFeatures, frames: Tensor) -> Tensor:
    """As `SpectralFeatures.transform`, by ONNX' Fourier transform."""
    batch, count, bins = frames.shape[0], frames.shape[1], layer.bins + 1
    spectrum = torch.onnx.ops.symbolic(
        "DFT",
        (frames.unsqueeze(3),),
        {"axis": 2, "onesided": 1},
        dtype=frames.dtype,
        shape=(batch, count, bins, 2),
    )
    return spectrum[:, :, : layer.bins].transpose(2, 3)


def _inverse_transform(layer: OverlapAddHead, spectrum: Tensor) -> Tensor:
    """As `OverlapAddHead.transform`: the real part of the lower half's transform; the upper mirrors it.

    The operator has a one-sided inverse, but only since ONNX Runtime 1.24.
    """
    twice = spectrum.new_full((layer.bins,), 2.0)
    twice[0] = 1.0
    if layer.bins > layer.n_fft // 2:
        twice[-1] = 1.0  # the Nyquist frequency has no mirror image
    batch, count = spectrum.shape[0], spectrum.shape[1]
    frames = torch.onnx.ops.symbolic(
        "DFT",
        ((spectrum * twice).transpose(2, 3), torch.tensor(layer.n_fft)),
        {"axis": 2, "inverse": 1},
        dtype=spectrum.dtype,
        shape=(batch, count, layer.n_fft, 2),
    )
    return frames[..., 0]


def _centred(layer: SteadyFeatures, audio: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """As `SteadyFeatures._centred` for one frame."""
    offset = before + (audio.mean(1, keepdim=True) - before) / OFFSET_FRAMES
    ramp = torch.arange(1, layer.hop_length + 1) / layer.hop_length
    return audio - before * (1 - ramp) - offset * ramp, offset


def _level(layer: SteadyFeatures, size: Tensor, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """As `SteadyFeatures._level` for one frame: all four averages in one operation."""
    weight = audible(audio.unsqueeze(1))
    shares = torch.tensor([1 - layer.decay, 1 / RECENT_FRAMES])
    after = state + (torch.cat([weight * size, weight], dim=1).unsqueeze(2) - state) * shares
    of_sizes, of_weights = after.split(1, dim=1)
    slow, recent = (of_sizes / (of_weights + FORGOTTEN)).squeeze(1).split(1, dim=1)
    steady = torch.maximum(torch.minimum(slow, recent * MOST), recent / MOST)
    return steady.clamp_min(LEAST).sqrt() + LEVEL_FLOOR, after


def _reordered(gates: Tensor) -> Tensor:
    """PyTorch's order of the gates on axis 1, reset, update, new, to ONNX', which has update first."""
    reset, update, new = gates.chunk(3, dim=1)
    return torch.cat([update, reset, new], dim=1)


def _both_ways(x: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """One layer in both directions, from zeros: as `_gru`, with two of each weight.

    Returns:
        (frame, direction, batch, size).
    """
    size = recurrent.shape[2]
    return torch.onnx.ops.symbolic(
        "GRU",
        (x, weight, recurrent, bias),
        {"hidden_size": size, "linear_before_reset": 1, "direction": "bidirectional"},
        dtype=x.dtype,
        shape=(x.shape[0], 2, x.shape[1], size),
    )


def _gru(x: Tensor, hidden: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """One layer of one group.

    Args:
        x: (frame, batch, input).
        hidden: (1, batch, size).
        weight, recurrent: (1, 3 * size, input or size), gates in ONNX' order.
        bias: (1, 6 * size), those of the two matrices.

    Returns:
        (frame, batch, size), and the next hidden state.
    """
    frames, batch, size = x.shape[0], x.shape[1], hidden.shape[2]
    y, last = torch.onnx.ops.symbolic_multi_out(
        "GRU",
        (x, weight, recurrent, bias, None, hidden),
        {"hidden_size": size, "linear_before_reset": 1},
        dtypes=(x.dtype, x.dtype),
        shapes=((frames, 1, batch, size), (1, batch, size)),
    )
    return (last if isinstance(frames, int) and frames == 1 else y.squeeze(1)), last
