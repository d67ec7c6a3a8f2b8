"""A trained predictor written for use: packed for NumPy, and as ONNX for other runtimes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.errors import InputError
from sese.quality import network as networks
from sese.quality import packed
from sese.quality.network import QualityNetwork
from sese.quality.packed import Packed, pack

PACKED, ONNX = "predictor.npz", "predictor.onnx"


def export(run: Path, folder: Path) -> list[Path]:
    """Write the best network of a run; returns the paths.

    Raises:
        InputError: no such run, activations that are not binary, or files that disagree.
    """
    network = networks.load(run / "best" if (run / "best").is_dir() else run)
    made = packed_of(network)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / PACKED, folder / ONNX]
    packed.save(made, paths[0])
    write_onnx(Whole(made), made.design.bands, made.design.frames, paths[1])
    check(*paths)
    return paths


def packed_of(network: QualityNetwork) -> Packed:
    """A network with binary activations, its weights rounded to 8 bits."""
    weights = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}

    def layers(kind: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(weights[f"{kind}.{i}.weight"], weights[f"{kind}.{i}.bias"]) for i in range(count)]

    return pack(
        network.design,
        layers("convolutions", len(network.convolutions)),
        layers("dense", len(network.dense)),
    )


class Whole(nn.Module):
    """What a packed predictor computes, in the operators of other runtimes: the same maps, to the bit.

    Every sum is of whole numbers below 2^24, which float32 holds exactly in any order of adding.
    """

    def __init__(self, predictor: Packed):
        super().__init__()
        self.pool = predictor.design.pool
        channels = (1, *predictor.design.channels[:-1])
        kernels = [predictor.first.reshape(-1, 1, 3, 3)]
        kernels += [unpacked(p, n) for p, n in zip(predictor.planes, channels[1:], strict=True)]
        self.kernels = nn.ParameterList(_constant(kernel) for kernel in kernels)
        self.thresholds = nn.ParameterList(_constant(t[:, None, None]) for t in predictor.thresholds)
        self.dense = nn.ModuleList()
        for whole, scale, bias in predictor.dense:
            layer = nn.Linear(whole.shape[1], whole.shape[0])
            layer.weight, layer.bias = _constant(whole * scale[:, None]), _constant(bias)
            self.dense.append(layer)

    def forward(self, mel: Tensor) -> Tensor:
        """Rounded spectrograms, whole numbers (batch, band, frame), as float32 -> scores (batch,)."""
        x = mel[:, None]
        for kernel, threshold in zip(self.kernels, self.thresholds, strict=True):
            x = F.max_pool2d((F.conv2d(x, kernel, padding=1) > threshold).to(x.dtype), 2)
        x = x.amax((2, 3)) if self.pool == "max" else x.mean((2, 3))
        for layer in self.dense[:-1]:
            x = torch.relu(layer(x))
        return self.dense[-1](x)[:, 0].clamp(packed.LEAST, packed.MOST)


def unpacked(planes: packed.Words, channels: int) -> np.ndarray:
    """Weights int8 [output, input, 3, 3] of the bit planes of a convolution with so many inputs."""
    rows = np.ascontiguousarray(planes.transpose(0, 2, 1)).astype("<u8").view(np.uint8)
    bits = np.unpackbits(rows, axis=-1, count=9 * channels, bitorder="little")  # [plane, output, bit]
    shifts = np.arange(packed.PLANES, dtype=np.uint8)[:, None, None]
    taps = np.bitwise_or.reduce(bits << shifts, axis=0).view(np.int8)
    return taps.reshape(len(taps), 3, 3, channels).transpose(0, 3, 1, 2)


def _constant(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(array, np.float32)), requires_grad=False)


def write_onnx(module: nn.Module, bands: int, frames: int, path: Path) -> None:
    """Write a module, (batch, band, frame) -> (batch,); the file appears whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    example = torch.zeros(2, bands, frames)
    program = torch.onnx.export(
        module.eval(),
        (example,),
        input_names=["spectrogram"],
        output_names=["pesq"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(partial), external_data=False)
    os.replace(partial, path)


def check(npz: Path, onnx: Path) -> None:
    """See that both files predict the same of noise, so that neither is written for another network.

    Raises:
        InputError: they do not.
    """
    import onnxruntime

    predictor = packed.load(npz)
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    shape = (predictor.design.bands, predictor.design.frames)
    for seed in range(4):
        mel = np.random.default_rng(seed).normal(-4, 4, shape).astype(np.float32)
        whole = packed.rounded_spectrogram(mel).astype(np.float32)
        (theirs,) = session.run(None, {"spectrogram": whole[None]})
        ours = packed.predict(predictor, mel)
        if abs(float(theirs[0]) - ours) > 1e-4:
            raise InputError(f"{onnx} predicts {float(theirs[0]):.6f} where {npz} predicts {ours:.6f}")
