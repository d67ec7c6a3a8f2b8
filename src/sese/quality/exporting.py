"""A trained predictor written for use: packed for NumPy, and as ONNX for other runtimes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.predictor import packed
from sese.predictor.design import KERNEL
from sese.predictor.packed import Packed, pack
from sese.quality import network as networks
from sese.quality.network import QualityNetwork
from sese.runtime.weights_folder import weights_folder

if TYPE_CHECKING:
    import onnx

PACKED, ONNX = "predictor.npz", "predictor.onnx"
OPSET = 17


def export(run: Path, folder: Path) -> list[Path]:
    """Write the best network of a run; returns the paths.

    Raises:
        InputError: no such run, activations that are not binary, or files that disagree.
    """
    network = networks.load(weights_folder(run))
    made = packed_of(network)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / PACKED, folder / ONNX]
    packed.save(made, paths[0])
    with replacing(paths[1]) as part:
        part.write_bytes(to_onnx(made).SerializeToString())
    check(*paths)
    return paths


def packed_of(network: QualityNetwork) -> Packed:
    """Pack a network with binary activations, its weights rounded to 8 bits."""
    weights = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}

    def layers(kind: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(weights[f"{kind}.{i}.weight"], weights[f"{kind}.{i}.bias"]) for i in range(count)]

    return pack(
        network.design,
        layers("convolutions", len(network.convolutions)),
        layers("dense", len(network.dense)),
    )


def to_onnx(predictor: Packed) -> onnx.ModelProto:
    """Return a packed predictor as ONNX, for other runtimes: the same maps, to the bit.

    In: `spectrogram`, the rounded log mel spectrogram as whole numbers, float32 [batch, band, frame]. Out:
    `pesq`, float32 [batch]. Every sum is of whole numbers below 2^24, which float32 holds exactly in any
    order of adding. Weights are kept as int8. The design is under the metadata key `sese`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    design = predictor.design
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"value{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def as_float(name: str) -> str:
        return add("Cast", name, to=TensorProto.FLOAT)

    x = add("Unsqueeze", "spectrogram", constant("axis", np.array([1], np.int64)))
    for number, (kernel, threshold) in enumerate(zip(kernels(predictor), predictor.thresholds, strict=True)):
        weight = as_float(constant(f"convolution{number}", kernel))
        x = add("Conv", x, weight, pads=[KERNEL // 2] * 4)
        x = as_float(
            add("Greater", x, constant(f"threshold{number}", threshold.astype(np.float32)[:, None, None]))
        )
        x = add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = add("ReduceMax" if design.pool == "max" else "ReduceMean", x, axes=[2, 3], keepdims=0)
    for number, (whole, scale, bias) in enumerate(predictor.dense):
        x = add("MatMul", x, as_float(constant(f"dense{number}", whole.T)))
        x = add("Mul", x, constant(f"scale{number}", scale))
        x = add("Add", x, constant(f"bias{number}", bias))
        if number < len(predictor.dense) - 1:
            x = add("Relu", x)
    limits = (
        constant(f"limit{value:g}", np.array(value, np.float32)) for value in (packed.LEAST, packed.MOST)
    )
    x = add("Clip", x, *limits)
    nodes.append(helper.make_node("Squeeze", [x, "axis"], ["pesq"]))
    graph = helper.make_graph(
        nodes,
        "quality",
        [
            helper.make_tensor_value_info(
                "spectrogram", TensorProto.FLOAT, ["batch", design.bands, design.frames]
            )
        ],
        [helper.make_tensor_value_info("pesq", TensorProto.FLOAT, ["batch"])],
        initializer=constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="sese")
    helper.set_model_props(model, {"sese": json.dumps({"design": asdict(design)})})
    onnx.checker.check_model(model, full_check=True)
    return model


def kernels(predictor: Packed) -> list[np.ndarray]:
    """Return the weights of the convolutions, int8 [output, input, 3, 3]."""
    first = predictor.first.reshape(-1, 1, KERNEL, KERNEL)
    inputs = predictor.design.channels[:-1]
    return [first, *(unpacked(p, n) for p, n in zip(predictor.planes, inputs, strict=True))]


def unpacked(planes: packed.Words, channels: int) -> np.ndarray:
    """Return the weights int8 [output, input, 3, 3] of the bit planes of a convolution."""
    rows = np.ascontiguousarray(planes.transpose(0, 2, 1)).astype("<u8").view(np.uint8)
    bits = np.unpackbits(rows, axis=-1, count=KERNEL**2 * channels, bitorder="little")  # [plane, output, bit]
    shifts = np.arange(packed.PLANES, dtype=np.uint8)[:, None, None]
    taps = np.bitwise_or.reduce(bits << shifts, axis=0).view(np.int8)
    return taps.reshape(len(taps), KERNEL, KERNEL, channels).transpose(0, 3, 1, 2)


def check(npz: Path, onnx_file: Path) -> None:
    """Check that both files predict the same of noise.

    Raises:
        InputError: they do not.
    """
    from sese.evaluation.dnsmos_network import open_session

    predictor, session = packed.load(npz), open_session(onnx_file)
    shape = (predictor.design.bands, predictor.design.frames)
    for seed in range(4):
        mel = np.random.default_rng(seed).normal(-4, 4, shape).astype(np.float32)
        whole = packed.rounded_spectrogram(mel).astype(np.float32)
        theirs = float(session.run(None, {"spectrogram": whole[None]})[0][0])
        ours = packed.predict(predictor, mel)
        if abs(theirs - ours) > 1e-4:
            raise InputError(f"{onnx_file} predicts {theirs:.6f} where {npz} predicts {ours:.6f}")
