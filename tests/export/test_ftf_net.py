"""FTF-Net as one file: what PyTorch computes, at every level, in calls of one frame and of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from contract import build
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.ftf_net import FTFNetConfig
from sese.nn.policies.fixed import level_plan
from sese.runtime.enhancer import Enhancer

CONFIG = FTFNetConfig(
    n_fft=64,
    hop_length=32,
    channels=(4,),
    groups=(1, 2),
    heads=(1, 2),
    order="TF",
    window=5,
    router_channels=4,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export compares with PyTorch itself: levels, changing ones, the router's, each in both ways."""
    run = tmp_path_factory.mktemp("run")
    checkpoint.save(run, "ftf_net", CONFIG, build(CONFIG).state_dict())
    export_folder(run, run.parent / "ftf")
    return run.parent / "ftf"


def test_streams_what_the_network_computes(exported: Path) -> None:
    audio = 0.1 * torch.randn(1, 1, 3000, generator=torch.Generator().manual_seed(1))
    made = []
    for level, site_share in enumerate(np.cumsum(build(CONFIG).sites[0].shares)):
        with torch.no_grad():
            plan = level_plan(build(CONFIG).sites, level)
            expected = build(CONFIG).enhance_clip(audio, plan)[0, 0].numpy()
        enhanced = Enhancer(exported, budget=f"fixed:{site_share:g}").enhance(audio[0, 0].numpy(), 16000)
        np.testing.assert_allclose(enhanced, expected, atol=1e-4)
        made.append(enhanced)
    assert np.abs(made[0] - made[1]).max() > 1e-3


def test_recurrence_and_attention_are_plain_operators(exported: Path) -> None:
    graph = onnx.load(exported / "model.onnx").graph
    kinds = {node.op_type for inner in graphs(graph) for node in inner.node}
    assert {"GRU", "MatMul", "Softmax"} <= kinds
    assert "Loop" not in kinds
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    assert stored < 4 * sum(p.numel() for p in build(CONFIG).parameters())


def graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """A graph and those inside it."""
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [graph, *(found for body in inner for found in graphs(body))]
