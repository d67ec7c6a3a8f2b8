"""A network whose levels are traced one by one is exported with its router, each weight once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

import transforms
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.cost import parameters
from sese.runtime.artefact import open_artefact
from sese.runtime.enhancer import Enhancer

CONFIG = ConvFSENetConfig(channels=12, hidden=96, stacks=1, blocks=1, units=2, router_channels=4)


def test_conv_fsenet_is_exported_with_its_router(tmp_path: Path):
    torch.manual_seed(0)
    network = CONFIG.build().eval()
    checkpoint.save(tmp_path / "run", "conv_fsenet", CONFIG, network.state_dict())
    export_folder(tmp_path / "run", tmp_path / "model")  # which compares it with the network
    card = open_artefact(tmp_path / "model").card
    assert card.router
    assert not card.gates
    audio = 0.1 * torch.randn(4000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network.run_clip(audio[None, None]).audio[0, 0]
    enhanced = Enhancer(tmp_path / "model", budget="auto").enhance(audio.numpy(), 16000)
    np.testing.assert_allclose(enhanced, expected, atol=1e-5)

    tensors = onnx.load(tmp_path / "model" / "model.onnx").graph.initializer
    stored = sum(int(np.prod(tensor.dims)) for tensor in tensors)
    buffers = sum(buffer.numel() for buffer in network.buffers())
    diagonal = 3 * CONFIG.router_channels**2  # ONNX' GRU takes a whole matrix
    steering = 200  # constants of a few values
    whole = parameters(network) + buffers + diagonal + transforms.constants(CONFIG.n_fft)
    assert stored <= whole + steering
    assert sum(tuple(tensor.dims[-1:]) == (3,) for tensor in tensors) == 1
