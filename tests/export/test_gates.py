"""Gates in the exported file: what they leave out is not run, and what they used is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import transforms
from sese.core.errors import InputError
from sese.evaluation.scoring import macs_of
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.cost import macs_per_frame, parameters
from sese.nn.enhancer import Enhancer as Network
from sese.nn.plan import full, utilization
from sese.runtime.artefact import no_router, open_artefact, session_options
from sese.runtime.enhancer import Enhancer
from sese.runtime.step import Step

CONFIG = ConvFSENetConfig(channels=16, hidden=80, stacks=1, blocks=2, units=40, gate_channels=4, causal=False)
HOP = CONFIG.hop_length


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    model = CONFIG.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
        for layer in model.policy.outward:
            layer.bias -= 0.2
    return model


@pytest.fixture(scope="module")
def exported(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    checkpoint.save(folder / "run", "conv_fsenet", CONFIG, network.state_dict())
    export_folder(folder / "run", folder / "gated")
    return folder / "gated"


def noise(frames: int, batch: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(batch, frames * HOP, generator=torch.Generator().manual_seed(1))


def test_the_gates_decide_unless_everything_is_asked_for(exported: Path, network: Network):
    audio = noise(20)
    for budget, plan in (("auto", None), (1, None), ("fixed:1", full(network.sites))):
        with torch.no_grad():
            expected = network.run_clip(audio[:, None], plan)
        enhancer = Enhancer(exported, budget=budget)
        np.testing.assert_allclose(enhancer.enhance(audio[0].numpy(), 16000), expected.audio[0, 0], atol=1e-5)
        stream = enhancer.stream(16000)
        stream.feed(audio[0].numpy())
        stream.flush()
        used = utilization(expected.plan, network.sites).mean().item()
        assert stream.utilization == pytest.approx(used, abs=0.02)
        assert (used == 1) == (budget == "fixed:1")


@pytest.mark.parametrize("calls", [[1], [20], [4, 1, 7]], ids=str)
def test_utilization_is_the_share_of_channels_kept(exported: Path, network: Network, calls: list[int]):
    levels = torch.randint(-1, 1, (20,), generator=torch.Generator().manual_seed(2)).numpy()
    state, expected = None, []
    for frame, level in zip(noise(20).split(HOP, dim=1), levels, strict=True):
        with torch.no_grad():
            done = network(frame[:, None], full(network.sites) if level == 0 else None, state)
        state = done.state
        expected.append(float(utilization(done.plan, network.sites).mean()))
    assert len(set(expected)) > 5
    step, made, at = Step(open_artefact(exported), 1), [], 0
    for frames in calls * 20:
        if at < 20:
            span = slice(at * HOP, (at + frames) * HOP)
            made.append(step(noise(20)[:, span].numpy(), levels[at : at + frames])[1].copy())
            at += frames
    np.testing.assert_allclose(np.concatenate(made), expected, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 3])
def test_channels_of_a_stream_share_their_decisions(exported: Path, frames: int):
    """Equal signals side by side get what one alone gets; a louder one moves the decision of both."""
    artefact, audio = open_artefact(exported), noise(frames).numpy()
    alone, used = Step(artefact, 1)(audio, -1)
    together, shared = Step(artefact, 2)(np.concatenate([audio, audio]), -1)
    np.testing.assert_allclose(together, np.concatenate([alone, alone]), atol=1e-6)
    np.testing.assert_array_equal(shared, used)
    assert shared.shape == (frames,)


@pytest.mark.parametrize("budget", [0.3, "threshold", "threshold:6", "no such word"])
def test_gates_take_no_other_rule(exported: Path, budget: float | str):
    with pytest.raises(InputError, match=f"budget is {budget!r} and in gated gates decide; give 1"):
        Enhancer(exported, budget=budget)


def test_the_card_tells_of_gates(exported: Path, network: Network):
    card = open_artefact(exported).card
    per_second = 16000 / HOP
    assert card.gates
    assert card.router
    assert [level.utilization for level in card.levels] == [1.0]
    assert card.levels[0].parameters == card.parameters == parameters(network)
    plan = {site.name: torch.tensor([[[1.0] * 10 + [0.0] * 30]]) for site in network.sites}
    expected = macs_per_frame(network, plan, routed=True).item() * per_second
    assert macs_of(card, np.array([0.25]), routed=True) == pytest.approx(expected)
    assert macs_of(card, np.array([1.0]), routed=False) == pytest.approx(card.levels[0].macs_per_second)


@pytest.mark.parametrize("level", [-1, 0])
def test_macs_reported_are_macs_run(exported: Path, network: Network, tmp_path: Path, level: int):
    """By ONNX Runtime's record of what it ran in a call of one frame."""
    options = session_options()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(
        str(exported / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"audio": noise(1).numpy()[:, None], "level": np.array([level]), **no_router()}
    for name, shape in network.state_shapes().items():
        feeds[f"state.{name}"] = np.zeros((1, *shape), np.float32)
    used = session.run(["utilization"], feeds)[0]
    events = json.loads(Path(session.end_profiling()).read_text())
    with torch.no_grad():
        plan = network(noise(1)[:, None], full(network.sites) if level == 0 else None).plan
    assert used[0] == pytest.approx(utilization(plan, network.sites).mean().item(), abs=1e-6)
    assert (used[0] < 0.7) == (level == -1)
    expected = macs_per_frame(network, plan, routed=level == -1).item()
    assert sum(map(products, events)) == expected + transforms.products(CONFIG.n_fft)


def products(event: dict) -> int:
    """Multiply-accumulates of weights in one event of a profile."""
    about = event.get("args", {})
    kind = about.get("op_name")
    shapes = [
        [next(iter(shape.values())) for shape in about.get(f"{side}_type_shape", [])]
        for side in ("input", "output")
    ]
    if kind in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm"):
        return int(np.prod(shapes[0][0])) * shapes[1][0][-1]
    if kind == "Mul" and shapes[0][0][-1:] == [CONFIG.kernel]:
        return int(np.prod(shapes[0][0]))
    return 0


def test_weights_are_stored_once(exported: Path, network: Network):
    graph = onnx.load(exported / "model.onnx").graph
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    norms = sum(buffer.numel() for name, buffer in network.backbone.named_buffers() if "running" in name)
    whole = 1.02 * parameters(network) + norms + 2 * CONFIG.blocks * CONFIG.hidden
    assert stored <= whole + transforms.constants(CONFIG.n_fft)
