"""The gated mixer as one file: what PyTorch computes, at every level, in calls of one frame and of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from contract import audio, build
from sese.export.folder import export_folder
from sese.export.forms.activity import decide_frame, level_of_frame
from sese.export.forms.gated_mixer import RECUR
from sese.export.forms.spectra import rest_frame
from sese.export.forms.tracing import for_tracing
from sese.export.loops import with_loops
from sese.nn import checkpoint
from sese.nn.backbones.gated_mixer import GatedMixerConfig
from sese.nn.policies.activity import MEMORY, Activity, decide, speech_probability
from sese.nn.policies.fixed import level_plan
from sese.nn.state import fresh
from sese.runtime.artefact import ROUTER, open_artefact
from sese.runtime.enhancer import Enhancer
from sese.runtime.step import Step

CONFIG = GatedMixerConfig(
    n_fft=512,
    hop_length=256,
    bands=((4, 32), (2, 64)),
    channels=8,
    blocks=(1, 2),
    band_units=(4, 6),
    time_units=(4, 8),
    activity_units=4,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export compares with PyTorch itself: levels, changing ones, the dial's, each in both ways."""
    run = tmp_path_factory.mktemp("run")
    network = build(CONFIG)
    with torch.no_grad():  # speech in some frames of what the export is checked with, noise in all
        network.policy.outward.bias.copy_(torch.tensor([-0.1, 9.0]))
    checkpoint.save(run, "gated_mixer", CONFIG, network.state_dict())
    export_folder(run, run.parent / "gated")
    return run.parent / "gated"


def test_streams_what_the_network_computes(exported: Path) -> None:
    """From silence on, through sound with an offset, and into silence."""
    sound = audio(build(CONFIG), 60) + 0.1
    signal = torch.cat([torch.zeros(1, 1, 2560), sound, torch.zeros(1, 1, 9000)], dim=2)
    made = []
    for level, site_share in enumerate(np.cumsum(build(CONFIG).sites[0].shares)):
        with torch.no_grad():
            plan = level_plan(build(CONFIG).sites, level)
            expected = build(CONFIG).enhance_clip(signal, plan)[0, 0].numpy()
        enhanced = Enhancer(exported, budget=f"fixed:{site_share:g}").enhance(signal[0, 0].numpy(), 16000)
        np.testing.assert_allclose(enhanced, expected, atol=1e-4)
        made.append(enhanced)
    assert np.abs(made[0] - made[1]).max() > 1e-3


@pytest.mark.parametrize("frames", [1, 7])
def test_the_probability_of_speech_is_what_the_policy_computes(exported: Path, frames: int) -> None:
    network, sound = build(CONFIG), audio(build(CONFIG), 63)
    with torch.no_grad():
        network.load_state_dict(checkpoint.load(exported).state_dict())
        expected = speech_probability(network.score(sound))[0, :63].numpy()
    step, hop, given = Step(open_artefact(exported), 1), CONFIG.hop_length, []
    for at in range(0, 63, frames):
        step(sound[0, :, at * hop : (at + frames) * hop].numpy(), ROUTER)
        given.append(step.speech_probability)
    np.testing.assert_allclose(np.concatenate(given), expected, atol=1e-5)
    assert 0 <= expected.min() < expected.max() <= 1
    # A frame that has a level has no probability; others in the same call have one.
    levels = np.array([0, ROUTER, 1])
    step(np.zeros((1, 3 * hop), np.float32), levels)
    assert np.isnan(step.speech_probability).tolist() == [True, False, True]


def test_recurrences_are_loops_and_weights_are_stored_once(exported: Path) -> None:
    graph = onnx.load(exported / "model.onnx").graph
    kinds = {node.op_type for inner in graphs(graph) for node in inner.node}
    assert "Scan" in kinds
    assert RECUR not in kinds
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    # Besides the weights: the windows' look-ups, frames of both transforms, and averages of the level.
    assert stored < 3.5 * sum(p.numel() for p in build(CONFIG).parameters())


def graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """A graph and all graphs inside it."""
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [graph, *(found for body in inner for found in graphs(body))]


@pytest.mark.parametrize("level", range(CONFIG.levels))
def test_the_form_for_one_frame_equals_the_general_one(level: int) -> None:
    """Look-ups in place of windows and sums of them; products that add what is to be added."""
    backbone = build(CONFIG).backbone
    traced = for_tracing(backbone, many=False)
    generator = torch.Generator().manual_seed(level)
    x = torch.randn(1, 8, backbone.frame_samples, generator=generator)
    # The imaginary part of the lowest bin is always zero, and the look-ups rely on it.
    x.unflatten(2, (3, -1))[:, :, 2, 0] = 0
    states = [fresh(backbone.state_shapes(), 1, x) for _ in range(2)]
    for frame in x.unbind(1):
        results = [
            network(frame, level_plan(backbone.sites, level), state)
            for network, state in zip((traced, backbone), states, strict=True)
        ]
        torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=1e-5)
        states = [state for _, state in results]
        for name, value in states[1].items():
            torch.testing.assert_close(states[0][name], value, atol=1e-5, rtol=1e-5)


def test_features_for_one_frame_equal_the_general_ones() -> None:
    """Through an offset, a sudden change and digital silence: for the network, the head and the policy."""
    features = build(CONFIG).features
    traced = for_tracing(features, many=False)
    sound = audio(build(CONFIG), 30)[0, 0].unflatten(0, (-1, CONFIG.hop_length)) + 0.05
    sound[10:20] *= 30
    sound[25:] = 0
    states = [fresh(features.state_shapes(), 2, sound) for _ in range(2)]
    for frame in sound:
        both = torch.stack([frame, -0.5 * frame])
        results = [part(both, state) for part, state in zip((traced, features), states, strict=True)]
        # Compressed, rounding errors of a loud frame are large in its silent bins.
        torch.testing.assert_close(results[0][0], results[1][0], atol=1e-3, rtol=0)
        largest = float(results[1][1].abs().max())
        torch.testing.assert_close(results[0][1], results[1][1], atol=3e-6 * largest, rtol=0)
        evidence = [
            part.evidence(both, *result[:2]) for part, result in zip((traced, features), results, strict=True)
        ]
        torch.testing.assert_close(*evidence, atol=1e-4, rtol=0)
        states = [state for *_, state in results]
        for name, value in states[1].items():
            torch.testing.assert_close(states[0][name], value, atol=1e-5, rtol=1e-5)


def test_the_head_for_one_frame_equals_the_general_one() -> None:
    """With a mask; and at rest, where a gain takes the place of its cube root in all bins."""
    network = build(CONFIG)
    traced, generator = for_tracing(network.head, many=False), torch.Generator().manual_seed(0)
    mask, spectrum = (torch.randn(2, 2 * traced.bins, generator=generator) for _ in range(2))
    overlap = torch.randn(2, 1, CONFIG.hop_length, generator=generator)
    results = [head(mask, spectrum, {"overlap": overlap}) for head in (traced, network.head)]
    gain = torch.tensor([[0.05]])
    flat, _ = network.backbone.at_rest(mask, spectrum, gain, {})
    results.append(traced.scaled(spectrum, gain, {"overlap": overlap}))
    results.append(network.head(flat, spectrum, {"overlap": overlap}))
    for got, expected in (results[:2], results[2:]):
        torch.testing.assert_close(got[0], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(got[1]["overlap"], expected[1]["overlap"], atol=1e-5, rtol=1e-5)


def test_a_frame_at_rest_needs_no_transform() -> None:
    """The Nyquist frequency, which transforms leave out, is strong here."""
    network = build(CONFIG)
    features, head = network.features, network.head
    generator = torch.Generator().manual_seed(0)
    before, latest = torch.randn(2, 2, CONFIG.hop_length, generator=generator).unbind(0)
    latest[:, ::2] += 1
    overlap = torch.randn(2, 1, CONFIG.hop_length, generator=generator)
    gain = torch.tensor([0.3])
    spectrum, _ = features.analyse(latest, before)
    expected = head.scaled(spectrum.flatten(1), gain[None], {"overlap": overlap})
    got = rest_frame(features, head, before, latest, gain, {"overlap": overlap})
    torch.testing.assert_close(got[0][:, 0], expected[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(got[1]["overlap"], expected[1]["overlap"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("target", "ceiling"), [(0.0, 2), (0.0, 0), (0.3, 2)])
def test_the_dial_for_one_frame_equals_the_general_one(target: float, ceiling: int) -> None:
    """Two channels, of which the higher scores count."""
    generator = torch.Generator().manual_seed(0)
    utilizations, window = torch.tensor([0.1, 0.4, 1.0]), 50
    policy = Activity(4, 2).requires_grad_(False)
    policy.outward.weight.copy_(torch.eye(2))
    policy.outward.bias.copy_(torch.tensor([0.3, -0.2]))
    memories = [torch.zeros(1, MEMORY), torch.zeros(2, MEMORY)]
    levels = set()
    for frame in range(500):
        likely = torch.tensor([[0.0, 0.0], [-4.0, 0.0], [-4.0, -6.0], [-4.0, -6.0]][frame // 100 % 4])
        hidden = likely + torch.randn(2, 2, generator=generator)
        scores = policy.outward(hidden).amax(0, keepdim=True)
        limits = torch.tensor(target), utilizations
        made = decide(scores[None], memories[0], *limits, window, torch.tensor(ceiling))
        level, expected, memories[0] = made[0][0], made[1][0], made[2]
        awake, sure, gain, probability, memories[1] = decide_frame(policy, hidden, memories[1], window)
        assert awake.tolist() == [float(level >= 0)]
        if awake:
            assert (
                level_of_frame(sure, memories[1], *limits, torch.tensor(ceiling)).tolist() == level.tolist()
            )
        else:
            torch.testing.assert_close(gain, expected)
        torch.testing.assert_close(probability, speech_probability(scores))
        torch.testing.assert_close(memories[1].amax(0, keepdim=True), memories[0])
        levels.add(int(level))
    assert levels >= {-1, ceiling}


def test_markers_become_loops() -> None:
    nodes = [onnx.helper.make_node(RECUR, ["keep", "added", "state"], ["made"], domain="sese")]
    names = ("keep", "added", "state")
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
    output = onnx.helper.make_tensor_value_info("made", onnx.TensorProto.FLOAT, None)
    graph = with_loops(onnx.helper.make_graph(nodes, "marked", inputs, [output]))
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    rng = np.random.default_rng(0)
    keep, added, h = rng.random((5, 3, 2)), rng.normal(size=(5, 3, 2)), rng.normal(size=(3, 2))
    given = {name: value.astype(np.float32) for name, value in zip(names, (keep, added, h), strict=True)}
    (made,) = onnx.reference.ReferenceEvaluator(model).run(None, given)
    for a, b, got in zip(keep, added, made, strict=True):
        h = a * h + b
        np.testing.assert_allclose(got, h, atol=1e-6)
