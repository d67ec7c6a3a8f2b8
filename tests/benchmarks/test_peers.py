"""Peers of benchmarks/standing.py: tiny networks of both interfaces, whose output is their input, late."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper

from sese.core.errors import InputError
from sese.evaluation import timing

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
RATE = 16_000
SPECTRUM = (1, 257, 1, 2)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("peers")


def write_peer(
    path: Path,
    heard: tuple[int, ...],
    made: tuple[int, ...] | None = None,
    *,
    states: bool = True,
    kind: int = TensorProto.FLOAT,
    state_made: tuple[int, ...] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a network whose output is its first input, cut to `made` at the front, a frame late with states.

    The frame before comes out of the first state; a second state counts frames and adds nothing.
    """
    made = made or heard
    value = helper.make_tensor_value_info
    inputs, outputs = [value("in", kind, heard)], [value("out", TensorProto.FLOAT, made)]
    sizes = onnx.numpy_helper.from_array(np.array([made[-1]], np.int64), "size")
    start = onnx.numpy_helper.from_array(np.array([0], np.int64), "start")
    axis = onnx.numpy_helper.from_array(np.array([len(made) - 1], np.int64), "axis")
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
    source = "before" if states else "in"
    nodes = [helper.make_node("Slice", [source, "start", "size", "axis"], ["out"])]
    if states:
        inputs += [value("before", TensorProto.FLOAT, heard), value("count", TensorProto.FLOAT, (1,))]
        outputs += [value("next", TensorProto.FLOAT, state_made or heard)]
        outputs += [value("counted", TensorProto.FLOAT, (1,))]
        nodes.append(helper.make_node("Identity", ["in"], ["next"]))
        nodes.append(helper.make_node("Add", ["count", "one"], ["counted"]))
    if kind != TensorProto.FLOAT:
        nodes[0] = helper.make_node("Cast", ["in"], ["out"], to=TensorProto.FLOAT)
    graph = helper.make_graph(nodes, "peer", inputs, outputs, [sizes, start, axis, one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path


CASES = {  # arguments of write_peer, options, delay
    "spectrum": ({"heard": SPECTRUM, "states": False}, "", 256),
    "spectrum, a frame late": ({"heard": SPECTRUM}, ",window=hann", 512),
    "spectrum, short hop": ({"heard": SPECTRUM, "states": False}, ",hop_length=128,window=hann", 384),
    "spectrum, odd hop": ({"heard": SPECTRUM, "states": False}, ",n_fft=512,hop_length=100", 412),
    "spectrum, told": (
        {"heard": SPECTRUM, "states": False, "metadata": {"hop_length": "128", "window_type": "hann"}},
        "",
        384,
    ),
    "audio": ({"heard": (1, 512), "made": (1, 256), "states": False}, "", 256),
    "audio, a hop in": ({"heard": (1, 1, 160)}, "", 160),
    "audio, in time": ({"heard": (1, 160), "states": False}, "", 0),
}


@pytest.mark.parametrize("case", CASES)
def test_output_is_aligned_with_the_input(peers: ModuleType, tmp_path: Path, case: str) -> None:
    network, options, delay = CASES[case]
    peer = peers.read_peer(f"It={write_peer(tmp_path / 'peer.onnx', **network)}{options}")
    assert peer.delay == delay
    assert peer.latency_ms == 1000 * (peer.hop_length + delay) / RATE
    audio = 0.1 * np.random.default_rng(0).standard_normal(4321).astype(np.float32)
    enhancer = peers.Enhancer(peer)
    for _ in range(2):  # the second signal meets fresh states
        made = enhancer.enhance(audio, RATE)
        assert made.shape == audio.shape
        np.testing.assert_allclose(made, audio, atol=1e-5)


def test_a_delay_that_is_given_is_not_measured(peers: ModuleType, tmp_path: Path) -> None:
    peer = peers.read_peer(f"It={write_peer(tmp_path / 'peer.onnx', SPECTRUM)},delay=7")
    assert (peer.size, peer.hop_length, peer.window, peer.delay) == (512, 256, "hann_sqrt", 7)


def test_times_are_per_second_of_audio_whatever_the_hop(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        timing, "time_frames", lambda streams, audio, hop, rounds: np.full((1, rounds), 0.001)
    )
    monkeypatch.setattr(timing, "FILE_SECONDS", 1)
    peer = peers.read_peer(f"It={write_peer(tmp_path / 'peer.onnx', (1, 160), states=False)},delay=0")
    factors = peers.timer(peer)()[""]
    assert factors["stream"] == pytest.approx(0.1)  # 1 ms for 10 ms
    assert 0 < factors["file"] < 1


REFUSED = {  # what write_peer is given, options, what is said
    "states": ({"heard": SPECTRUM, "state_made": (1, 5)}, "", "states"),
    "type": ({"heard": (1, 160), "kind": TensorProto.INT64, "states": False}, "", "tensor.int64"),
    "signal": ({"heard": (1, 2, 160), "states": False}, "", "signal is"),
    "longer": ({"heard": (1, 1), "states": False}, "", "makes 1 samples"),
    "bins": ({"heard": SPECTRUM}, ",n_fft=400", "257 bins"),
    "window": ({"heard": SPECTRUM}, ",window=kaiser", "'kaiser'; choose from"),
    "overlap": ({"heard": SPECTRUM}, ",hop_length=512", "leaves gaps"),
    "option": ({"heard": SPECTRUM}, ",hop=512", "the option 'hop'"),
    "number": ({"heard": SPECTRUM}, ",hop_length=-1", "'-1'; give a whole number"),
    "audio window": ({"heard": (1, 160)}, ",window=hann", "takes audio"),
    "audio hop": ({"heard": (1, 160)}, ",hop_length=80", "hop_length=80, but the file has 160"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_of_no_use_is_told(peers: ModuleType, tmp_path: Path, case: str) -> None:
    network, options, said = REFUSED[case]
    path = write_peer(tmp_path / "peer.onnx", **network)
    with pytest.raises(InputError, match=said):
        peers.read_peer(f"It={path}{options}")


def test_what_is_no_network_is_told(peers: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "peer.onnx").write_text("no network")
    for text, said in (
        (f"It={tmp_path / 'peer.onnx'}", "cannot be opened as ONNX"),
        (f"It={tmp_path / 'none.onnx'}", "cannot be opened as ONNX"),
        ("peer.onnx", "give NAME=PATH"),
        ("=peer.onnx", "give NAME=PATH"),
    ):
        with pytest.raises(InputError, match=said):
            peers.read_peer(text)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["standing.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module("standing").main()
    return int(stopped.value.code or 0)


def test_the_report_compares_models_with_peers(
    peers: ModuleType,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    for side in ("clean", "noisy"):
        (tmp_path / "set" / side).mkdir(parents=True)
        soundfile.write(tmp_path / "set" / side / "0.wav", 0.1 * rng.standard_normal(RATE // 2), RATE)
    slow = write_peer(tmp_path / "slow.onnx", SPECTRUM)
    late = write_peer(tmp_path / "late.onnx", (1, 256))
    common = (tmp_path / "set", "--metrics", "si_sdr", "--jobs", 1, "--peer", f"A={slow}")
    options = ("--model", tiny, "--peer", f"B={late}", "--rounds", 1, "-o", tmp_path / "report")
    assert run(monkeypatch, *common, *options, "--reference", "B") == 0
    found = json.loads((tmp_path / "report" / "standing.json").read_text())
    scores = {name: means["mean"] for name, means in found["scores"]["si_sdr"].items()}
    assert scores["A"] == pytest.approx(scores["noisy"], abs=1e-3)
    assert scores["B"] == pytest.approx(scores["noisy"], abs=1e-3)
    costs = {cost["system"]: cost for cost in found["costs"]}
    assert costs["A"]["stream_share"] > 0
    assert costs["A"]["latency_ms"] == 48.0
    assert "stream_share" not in costs["B"]
    assert costs["tiny fixed:1"]["stream_share"] > 0
    text = (tmp_path / "report" / "standing.md").read_text()
    assert "streaming, of B's time" in text
    assert "### Where B is reached" in text
    assert "slow.onnx, spectrum, 512 samples a frame, hop 256, window hann_sqrt; delay 32 ms" in text
    capsys.readouterr()
    for wrong, said in (
        (("--reference", "C"), "--reference: 'C'"),
        (("--peer", f"A={late}"), "A is the name of 2 systems"),
        (("--peer", f"noisy={late}"), "noisy is the name of 2 systems"),
    ):
        assert run(monkeypatch, *common, *wrong, "-o", tmp_path / "other") == 2
        assert said in capsys.readouterr().err
