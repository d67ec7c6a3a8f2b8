"""Tests of the exported file of a network on samples that can rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from contract import audio, build
from sese.export.folder import export_folder
from sese.export.forms.rests import after_rest, resting, settled
from sese.nn import checkpoint
from sese.nn.backbones.demucs import DemucsConfig
from sese.nn.policies.activity import SPEECH, THRESHOLDS
from sese.runtime.artefact import ROUTER, open_artefact
from sese.runtime.step import Step

CONFIG = DemucsConfig(channels=4, depth=4, oversampling=1, groups=2, layers=1, activity_units=4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export compares with PyTorch itself: levels, changing ones, the dial's, each in both ways."""
    run = tmp_path_factory.mktemp("run")
    network = build(CONFIG)
    with torch.no_grad():  # speech in few frames, noise in all
        speech = network.score(torch.from_numpy(bursts()).unsqueeze(1))[0, :, SPEECH]
        network.policy.outward.bias -= torch.tensor([speech.quantile(0.97) - THRESHOLDS[SPEECH], -9.0])
    checkpoint.save(run, "demucs", CONFIG, network.state_dict())
    export_folder(run, run.parent / "demucs")
    return run.parent / "demucs"


def bursts() -> np.ndarray:
    """Sound in stretches of 20 and 40 frames, (1, time)."""
    sound = audio(build(CONFIG), 200)[0, 0].unflatten(0, (-1, CONFIG.hop_length))
    loud = torch.arange(200) % 60 < 20
    return (sound * torch.where(loud, 1.0, 0.01).unsqueeze(1)).reshape(1, -1).numpy()


@pytest.mark.parametrize("frames", [1, 7, 200])
def test_streams_rests_as_the_network_does(exported: Path, frames: int) -> None:
    """Two channels, of which each could rest where the other does not, rest together."""
    artefact, hop, one = open_artefact(exported), CONFIG.hop_length, bursts()
    network = checkpoint.load(exported)
    with torch.no_grad():
        whole = network(torch.from_numpy(one).unsqueeze(1))
    resting = whole.plan["rest"][0] > 0
    assert 0.1 < resting.float().mean() < 0.9
    both, step, made = np.concatenate([one, one]), Step(artefact, 2), []
    for at in range(0, 200, frames):
        enhanced, used = step(both[:, at * hop : (at + frames) * hop], ROUTER)
        made.append(enhanced)
        np.testing.assert_array_equal(used == 0, resting[at : at + frames].numpy())
    np.testing.assert_allclose(np.concatenate(made, axis=1), whole.audio[:, 0].expand(2, -1), atol=1e-5)


@torch.no_grad()
def test_the_forms_for_one_frame_equal_the_general_one() -> None:
    """In every order of the three cases, for two rows."""
    backbone, generator = build(CONFIG).backbone, torch.Generator().manual_seed(5)
    state = {name: torch.zeros(2, *backbone.state_shapes()[name]) for name in backbone.rest_states}
    cases = set()
    for awake in torch.rand(200, generator=generator) < 0.6:
        hidden, signal = (torch.randn(2, backbone.frame_samples, generator=generator) for _ in range(2))
        gain = torch.zeros(1, 1) if awake else torch.rand(1, 1, generator=generator)
        form = resting
        if awake:
            form = after_rest if state["rest"][:, :2].amax() > 0 else settled
        cases.add(form)
        expected = backbone.at_rest(hidden, signal, gain, state)
        got = form(backbone, hidden, signal, gain, state)
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)
        state = expected[1]
    assert cases == {resting, after_rest, settled}


def test_a_frame_at_rest_runs_no_product_of_the_network(exported: Path) -> None:
    """Its branch holds the network's states, and mixes and delays samples."""
    graphs = _graphs(onnx.load(exported / "model.onnx").graph)
    [one] = [graph for graph in graphs if graph.name == "one"]
    [rest] = [graph for graph in _graphs(one) if graph.name == "rest"]
    kinds = [node.op_type for node in rest.node]
    assert kinds.count("MatMul") + kinds.count("Gemm") == 2
    assert kinds.count("Identity") >= len(build(CONFIG).backbone.state_shapes()) - 2


def _graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [graph, *(found for body in inner for found in _graphs(body))]
