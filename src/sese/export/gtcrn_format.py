"""Files in the format of the public GTCRN, which sherpa-onnx and programs built on it run as they are.

Such a file is one step on one spectrum. The program transforms the samples, calls the step for each frame,
keeps three tensors between the calls, and transforms the results back. A file runs at one budget, which is
chosen when it is exported.

| | name | shape |
| --- | --- | --- |
| in | ``mix`` | float32 (1, n_fft / 2 + 1, 1, 2), real and imaginary part of each bin |
| in | ``conv_cache`` | state of the features and of the head, zeros at the start |
| in | ``tra_cache`` | state of the policy |
| in | ``inter_cache`` | state of the network |
| out | ``enh`` | like ``mix`` |
| out | ``conv_cache_out``, ``tra_cache_out``, ``inter_cache_out`` | the next states |

Programs find inputs and outputs by their order. The shapes of the states are in the metadata; ours are
(1, values), with all states of a kind one after the other.

Some programs reflect the recording at its start to fill the first window. The step clears this half of the
window, so that a recording begins after silence, as it does for this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import sese
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.export.check import TOLERANCE, speech
from sese.export.folder import describe
from sese.export.graph import Initializers, Scope, embed
from sese.export.level_graphs import LevelGraphs, network_of
from sese.export.levels import MODULE, Levels
from sese.export.on_spectra import on_spectra
from sese.export.onnx import values_of
from sese.export.parts import Parts
from sese.export.resting import RestingCalls
from sese.export.routing import Routing
from sese.export.traced import OPSET
from sese.nn import checkpoint
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.nn.features.short_time import analysis_window
from sese.nn.policies.budget import WINDOW_SECONDS
from sese.nn.policies.fixed import level_plan
from sese.runtime.artefact import PRETRAINED, ROUTER, bundled_models
from sese.runtime.budget import Fixed, Routed, Threshold, parse_budget
from sese.runtime.card import Card

VERSION = 1
"""Version of the format."""

CACHES = {"conv_cache": ("features", "head"), "tra_cache": ("policy",), "inter_cache": ("backbone",)}
"""State of the format -> the parts of a network whose states it holds."""

BEGUN = "begun"
"""State that is 0 before the first frame, and then 1."""

Shapes = dict[str, tuple[int, ...]]


Choice = Fixed | Routed
"""Who picks the level of a frame: nobody, or the policy of the network."""


def export_gtcrn(source: Path, output: Path, budget: float | str, *, force: bool = False) -> None:
    """Export a network at one budget as a file in the format of GTCRN.

    Args:
        source: run folder, a folder with `config.json` and `model.safetensors`, or the name of a bundled
            model.
        output: file to create; its name ends in ``.onnx``.
        budget: ``"auto"``, ``"fixed:LEVEL"`` or a share of the compute, see `runtime.budget`.
        force: whether to replace an existing file.

    Raises:
        InputError: `source` holds no network that runs on spectra, the budget needs more than the file, the
            output may not be replaced, or the file differs from PyTorch.
    """
    if not source.exists() and source.name == str(source) and source.name in bundled_models():
        source = PRETRAINED / source
    if output.suffix != ".onnx" or output.is_dir():
        raise InputError(f"{output} is not a file for a model; name one that ends in .onnx with -o")
    if output.exists() and not force:
        raise InputError(f"{output} exists already; add --force to replace it, or name another file")
    folder = next((folder for folder in (source / "best", source / "last") if folder.is_dir()), source)
    model = checkpoint.load(folder)
    card = describe(model, source.name, "", {})
    choice = read_choice(card, budget)
    used = [level.utilization for level in card.levels]
    proto = to_gtcrn(model, choice, used, source.name)
    helper.set_model_props(proto, metadata_of(proto, model, source.name, budget))
    with replacing(output) as path:
        onnx.save(proto, path)
        difference = check_gtcrn(path, model, choice, used)
        size = path.stat().st_size
    print(
        f"{output}: {source.name} at budget {budget} in the format of GTCRN, {size / 1e6:.2f} MB, largest "
        f"difference from PyTorch {difference:.1e}"
    )


def read_choice(card: Card, budget: float | str) -> Choice:
    """Return what a budget means for a model.

    Args:
        card: facts about the model.
        budget: budget of the command line.

    Raises:
        InputError: the model has no such budget, or the file cannot hold it.
    """
    rule = parse_budget(card, budget)
    if isinstance(rule, Threshold):
        raise InputError(
            f"budget is {budget!r}, which the format of GTCRN cannot hold; give 'auto', 'fixed:LEVEL' or a "
            "share of the compute"
        )
    return rule


def to_gtcrn(model: Enhancer, choice: Choice, utilizations: list[float], name: str) -> onnx.ModelProto:
    """Trace a network and put it into the format of GTCRN.

    Args:
        model: network, ready for inference.
        choice: who picks the level of a frame.
        utilizations: utilization of each level, lowest level first.
        name: name of the model, for errors.

    Raises:
        InputError: the network cannot run on spectra.
    """
    network = on_spectra(model, name)
    only = None
    if isinstance(choice, Fixed):
        network.policy, only = None, choice.level
    bins, packing = network.hop_length // 2, packing_of(network)
    inputs, outputs, inside = values_of(network, len(utilizations))
    types = inputs | outputs | inside | {"first": (TensorProto.FLOAT, [1, bins, 2])}
    scope = Scope("", Initializers(), types)
    parts = Parts(network, utilizations, many=False, only=only)

    states = _unpack(scope, packing)
    frame = _after_silence(scope, states.pop(BEGUN), bins)
    values = states | {"audio": scope.add("Reshape", frame, scope.constant([1, 1, -1]))}
    if isinstance(choice, Fixed):
        values |= embed(scope, parts.features, values)
        made = _at_level(scope, model, parts, choice.level, values)
    else:
        made = _chosen(scope, model, parts, choice.utilization, values)
    ones = scope.constant([[1]], np.float32)
    after = {"next_" + state: made.get("next_" + state, values.get("next_" + state, "")) for state in states}
    _pack(scope, packing, after | {"next_" + BEGUN: ones})
    shape = scope.constant([1, bins, 1, 2])
    scope.take(helper.make_node("Reshape", [made["enhanced"], shape], ["enh"]))
    return _file(scope, bins, packing)


def packing_of(network: Enhancer) -> dict[str, Shapes]:
    """Return the states that each tensor of the format holds, in their order, with the batch axis."""
    shapes = {f"state.{name}": (1, *shape) for name, shape in network.state_shapes().items()}
    packing: dict[str, Shapes] = {}
    for cache, parts in CACHES.items():
        beginnings = tuple(f"state.{part}." for part in parts)
        packing[cache] = {name: shape for name, shape in shapes.items() if name.startswith(beginnings)}
    packing["conv_cache"][BEGUN] = (1, 1)
    return packing


def _size(shapes: Shapes) -> int:
    """Return the number of values of a tensor of the format; one that holds no state has one value."""
    return max(1, sum(map(prod, shapes.values())))


def _unpack(scope: Scope, packing: Mapping[str, Shapes]) -> dict[str, str]:
    """Add the states as the network has them: state -> its name in the graph."""
    states = {}
    for cache, shapes in packing.items():
        if shapes:
            sizes = scope.constant([prod(shape) for shape in shapes.values()])
            rows = scope.add_many("Split", [cache, sizes], len(shapes), axis=1)
            for (name, shape), row in zip(shapes.items(), rows, strict=True):
                states[name] = row if len(shape) == 2 else scope.add("Reshape", row, scope.constant(shape))
    return states


def _pack(scope: Scope, packing: Mapping[str, Shapes], after: Mapping[str, str]) -> None:
    """Add the outputs of the format from the next states of the network."""
    for cache, shapes in packing.items():
        rows = []
        for name, shape in shapes.items():
            row = after["next_" + name]
            rows.append(row if len(shape) == 2 else scope.add("Reshape", row, scope.constant([1, -1])))
        out = [cache + "_out"]
        scope.take(
            helper.make_node("Concat", rows, out, axis=1)
            if rows
            else helper.make_node("Identity", [cache], out)
        )


def _after_silence(scope: Scope, begun: str, bins: int) -> str:
    """Add the spectrum (1, bin, 2), in the first frame without what lies before the recording."""
    values, n_fft = scope.add("Reshape", "mix", scope.constant([1, bins, 2])), 2 * (bins - 1)
    first, later = scope.inner("first"), scope.inner("later")
    twice = np.full((bins, 1), 2.0)
    twice[[0, -1]] = 1.0  # these two have no mirror image above the Nyquist frequency
    half = first.add("Mul", values, first.constant(twice, np.float32))
    samples = first.add("DFT", half, first.constant(n_fft), axis=1, inverse=1)
    samples = first.add("Slice", samples, *(first.constant([at]) for at in (0, 1, 2)))
    kept = np.repeat([0.0, 1.0], n_fft // 2)[:, None]
    samples = first.add("Mul", samples, first.constant(kept, np.float32))
    cleared = first.add("DFT", samples, axis=1, onesided=1)
    return scope.choose(
        scope.add("Equal", begun, scope.constant(0, np.float32)),
        (first, {"first": cleared}),
        (later, {"first": values}),
    )["first"]


def _at_level(
    scope: Scope, model: Enhancer, parts: Parts, level: int, values: Mapping[str, str]
) -> dict[str, str]:
    """Add the network at one level, with the weights of that level alone."""
    if not parts.model.backbone.frames_apart:
        return LevelGraphs(parts.networks).at(scope, 0, values)
    traced, lengths = parts.networks[0], prefixes(model, level + 1)
    for tensor in traced.initializer:
        ends = lengths.get(tensor.name.removeprefix(MODULE))
        if ends is not None:
            cut = numpy_helper.to_array(tensor)[tuple(map(slice, ends))]
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(cut), tensor.name))
    return Levels(traced, [{}]).at(scope, 0, values)


def _chosen(
    scope: Scope, model: Enhancer, parts: Parts, held: float, values: Mapping[str, str]
) -> dict[str, str]:
    """Add the policy, and the network at the level that the policy picks."""
    controls = {
        "level": scope.constant([ROUTER]),
        "budget": scope.constant(held, np.float32),
        "ceiling": scope.constant(len(parts.utilizations) - 1),
    }
    for name, source in (dict(values) | controls).items():  # under the names of a file of this package
        scope.take(helper.make_node("Identity", [source], [name]))
    known = {name: name for name in values}
    network = network_of(parts, [prefixes(model, level + 1) for level in range(len(parts.utilizations))])
    if parts.rests:
        calls = RestingCalls(parts, network)
        known |= calls.begin(scope)
        return known | calls.at_one(scope, known)
    known |= embed(scope, parts.features, known)
    known |= Routing(parts).levels(scope, known)
    levels = range(len(parts.utilizations))
    return known | scope.pick(known["chosen"], [partial(network.at, level=at, inputs=known) for at in levels])


def _file(scope: Scope, bins: int, packing: Mapping[str, Shapes]) -> onnx.ModelProto:
    """Return the file of a graph with all its nodes."""
    sizes = {"mix": [1, bins, 1, 2]} | {cache: [1, _size(shapes)] for cache, shapes in packing.items()}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in named.items()]
        for named in (sizes, {"enh": sizes["mix"]} | {cache + "_out": sizes[cache] for cache in packing})
    )
    weights = [*scope.initializers.tensors, *scope.own.tensors]
    graph = helper.make_graph(scope.nodes, "sese", inputs, outputs, initializer=weights)
    opset = helper.make_opsetid("", OPSET)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=10, producer_name="sese")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def metadata_of(proto: onnx.ModelProto, model: Enhancer, name: str, budget: float | str) -> dict[str, str]:
    """Return the metadata by which programs transform samples and create the first states."""
    shapes = {
        value.name: ",".join(str(axis.dim_value) for axis in value.type.tensor_type.shape.dim)
        for value in proto.graph.input
    }
    values = {
        "model_type": "gtcrn",
        "version": VERSION,
        "sample_rate": model.sample_rate,
        "n_fft": 2 * model.hop_length,
        "hop_length": model.hop_length,
        "window_length": 2 * model.hop_length,
        "window_type": "hann_sqrt",
        **{f"{cache}_shape": shapes[cache] for cache in CACHES},
        "comment": f"{name} at budget {budget}, made by sese {sese.__version__}",
    }
    return {key: str(value) for key, value in values.items()}


def check_gtcrn(path: Path, model: Enhancer, choice: Choice, utilizations: list[float]) -> float:
    """Compare a file with PyTorch on a recording that begins and ends with digital silence.

    Args:
        path: file.
        model: network that was exported.
        choice: who picks the level of a frame.
        utilizations: utilization of each level, lowest level first.

    Returns:
        The largest difference of any sample.

    Raises:
        InputError: the difference is above `check.TOLERANCE`.
    """
    hop = model.hop_length
    noisy = speech(model.sample_rate)
    audio = np.concatenate([np.zeros(7 * hop), noisy[: len(noisy) // hop * hop], np.zeros(20 * hop)])
    audio = audio.astype(np.float32)
    with torch.no_grad():
        given, plan, choose = torch.from_numpy(audio).view(1, 1, -1), None, None
        if isinstance(choice, Fixed):
            plan = level_plan(model.sites, choice.level)
        elif choice.utilization:
            assert model.policy is not None
            window = round(WINDOW_SECONDS * model.sample_rate / hop)
            choose = model.policy.held_choice(choice.utilization, torch.tensor(utilizations), window)
        expected = model(given, plan, choose=choose).audio[0, 0].numpy()
    difference = float(np.abs(run_gtcrn(path, audio) - expected).max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"{path}: the exported model differs from PyTorch by {difference:.2e} (allowed {TOLERANCE:.0e}); "
            "report it with the versions that `sese doctor` prints"
        )
    return difference


def run_gtcrn(path: Path, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a file over samples, as a program would.

    Args:
        path: file in the format of GTCRN.
        audio: (time,), a whole number of frames.

    Returns:
        (time,), late by one frame.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    states = {value.name: np.zeros(value.shape, np.float32) for value in session.get_inputs()[1:]}
    n_fft = 2 * (session.get_inputs()[0].shape[1] - 1)
    hop, window = n_fft // 2, analysis_window(n_fft).numpy()
    past, overlap, made = np.zeros(hop, np.float32), np.zeros(hop), []
    for new in audio.reshape(-1, hop):
        spectrum = np.fft.rfft(np.concatenate([past, new]) * window)
        mix = np.stack([spectrum.real, spectrum.imag], axis=1)[None, :, None].astype(np.float32)
        result, *after = session.run(None, {"mix": mix, **states})
        states = dict(zip(states, after, strict=True))
        frame = np.fft.irfft(result[0, :, 0, 0] + 1j * result[0, :, 0, 1], n_fft) * window
        made.append(frame[:hop] + overlap)
        past, overlap = new, frame[hop:]
    return np.concatenate(made).astype(np.float32)
