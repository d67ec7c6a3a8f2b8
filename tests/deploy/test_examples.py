"""The programs in C++ and JavaScript give what Python gives, and refuse what they cannot do."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from deploy.conftest import Command
from deploy.programs import JAVASCRIPT, printed
from runtime.tiny_model import metadata, write_model
from sese import Enhancer, load
from sese.runtime.artefact import bundled_models, find_model

TOLERANCE = 1e-4
RATE = 16000  # of the recordings, and of the bundled models


@cache
def opened(model: str) -> Enhancer:
    return load(model)


def enhanced(command: Command, model: str, audio: np.ndarray, folder: Path, *options: str) -> np.ndarray:
    """Return the output of a program for ``[channel, time]``; check that it reports every frame."""
    soundfile.write(folder / "in.wav", audio.T, RATE, subtype="FLOAT")
    said = printed([*command, find_model(model), folder / "in.wav", folder / "out.wav", *options])
    assert said.frames == audio.shape[1] // opened(model).card.hop_length
    assert 0 < said.median <= said.p99
    written, rate = soundfile.read(folder / "out.wav", dtype="float32", always_2d=True)
    assert rate == RATE
    return written.T


@pytest.mark.parametrize("model", bundled_models())
@pytest.mark.parametrize("level", [0, -1])
def test_a_level(program: Command, model: str, level: int, speech: np.ndarray, tmp_path: Path) -> None:
    levels = opened(model).card.levels
    index = range(len(levels))[level]
    expected = opened(model).enhance(speech, RATE, budget=f"fixed:{levels[index].utilization}")
    written = enhanced(program, model, speech, tmp_path, "--level", str(index))
    np.testing.assert_allclose(written, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("model", "budget", "levels"),
    [
        ("demucs-slim-small", "auto", None),
        ("demucs-slim-small", "0.3", {0.25}),
        ("demucs-slim-small", "0.125", {0.125}),
        ("demucs-slim-small", "0.999", {0.5}),
        ("sese-2", "0.5", {0.0, 0.33}),
        ("sese-2", "0.125", {0.06}),
    ],
)
def test_a_budget(
    program: Command, model: str, budget: str, levels: set[float] | None, speech: np.ndarray, tmp_path: Path
) -> None:
    """A number runs one level; the router, and a model that rests, decide on each frame."""
    audio = np.concatenate([speech[:1], np.zeros((1, RATE // 2), np.float32)], axis=1)
    stream = opened(model).stream(RATE, budget="auto" if budget == "auto" else float(budget))
    expected = np.concatenate([stream.feed(audio), stream.flush()], axis=1)
    ran = {round(float(used), 6) for used in stream.trace}
    assert len(ran) > 1 if levels is None else ran == levels
    written = enhanced(program, model, audio, tmp_path, "--budget", budget)
    np.testing.assert_allclose(written, expected, rtol=0, atol=TOLERANCE)


def test_the_ceiling(program: Command, speech: np.ndarray, tmp_path: Path) -> None:
    card = opened("demucs-slim-small").card
    limit = card.levels[1].macs_per_second / 1e6
    expected = opened("demucs-slim-small").enhance(speech, RATE, budget="auto", max_mmacs=limit)
    written = enhanced(program, "demucs-slim-small", speech, tmp_path, "--budget", "auto", "--ceiling", "1")
    np.testing.assert_allclose(written, expected, rtol=0, atol=TOLERANCE)


@pytest.fixture
def experts(tmp_path: Path) -> Path:
    """A model whose gate picks the second of four experts."""
    levels = [{"utilization": 0.25, "macs_per_second": 1e6, "parameters": 1000}] * 4
    facts = metadata(router=True, alternatives=True, levels=levels)
    return write_model(tmp_path / "model" / "model.onnx", routed=1, facts=facts).parent


def test_everything_is_what_the_gates_decide(
    program: Command, experts: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    """Within a budget of 1, the default, gates pick the channels, and a gate the expert."""
    for model, options in (("conv-fsenet-dyncp", ()), (str(experts), ("--budget", "1"))):
        expected = opened(model).enhance(speech[:1], RATE)
        written = enhanced(program, model, speech[:1], tmp_path, *options)
        np.testing.assert_allclose(written, expected, rtol=0, atol=TOLERANCE)


def test_any_pieces(pieces: Command, speech: np.ndarray, tmp_path: Path) -> None:
    """Chunks of any length, signal after signal, streams side by side: always the same samples."""
    audio = speech[0, :16001]
    (tmp_path / "in.f32").write_bytes(audio.tobytes())
    command = [*pieces, find_model("demucs-slim-small"), tmp_path / "in.f32", tmp_path / "out.f32"]
    subprocess.run([str(word) for word in command], check=True)
    made = np.fromfile(tmp_path / "out.f32", np.float32).reshape(4, -1)
    expected = opened("demucs-slim-small").enhance(audio, RATE, budget="fixed:0.25")
    np.testing.assert_allclose(made, [expected] * 4, rtol=0, atol=TOLERANCE)


def test_the_probability_of_speech_in_javascript(nodejs: str, speech: np.ndarray, tmp_path: Path) -> None:
    hop = opened("sese-2").card.hop_length
    heard = speech[:1, : 100 * hop]
    stream = opened("sese-2").stream()
    stream.budget = "auto"
    stream.feed(heard[0])
    (tmp_path / "in.f32").write_bytes(heard.tobytes())
    code = f"""
import {{ readFileSync }} from 'node:fs';
const {{ Model }} = await import({JAVASCRIPT.joinpath("sese.js").as_uri()!r});
const bytes = readFileSync({str(tmp_path / "in.f32")!r});
const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const two = [{str(find_model("sese-2"))!r}, 'automatic'];
const one = [{str(find_model("demucs-slim-small"))!r}, 'within'];
for (const [path, rule] of [two, one]) {{
  const model = await Model.open(path);
  const stream = model.stream({{ rule: model[rule](1) }});
  const heard = [];
  for (let at = 0; at < samples.length; at += {hop}) {{
    await stream.feed([samples.subarray(at, at + {hop})]);
    heard.push(stream.speechProbability);
  }}
  console.log(heard.join(' '));
}}
"""
    done = subprocess.run(
        [nodejs, "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    with_it, without = (np.array(line.split(), float) for line in done.stdout.splitlines())
    np.testing.assert_allclose(with_it, stream.speech_probability, atol=1e-4)
    assert np.ptp(with_it) > 0.1
    assert np.isnan(without).all()


def test_sixteen_bits(program: Command, speech: np.ndarray, tmp_path: Path) -> None:
    """A 16-bit file becomes one, at full scale without an overflow; one shorter than a frame too."""
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    for audio in (8 * speech[0, :4000], speech[0, :50]):
        soundfile.write(source, np.clip(audio, -1, 1), RATE, subtype="PCM_16")
        printed([*program, find_model("demucs-slim-small"), source, target])
        assert soundfile.info(target).subtype == "PCM_16"
        heard, _ = soundfile.read(source, dtype="float32")
        written, _ = soundfile.read(target, dtype="float32")
        expected = np.clip(opened("demucs-slim-small").enhance(heard, RATE), -1, 1)
        np.testing.assert_allclose(written, expected, rtol=0, atol=TOLERANCE)


def test_another_rate(built: Path, speech: np.ndarray, tmp_path: Path) -> None:
    """The program in C++ takes files at any rate; the short filters hear silence behind the end."""
    audio = np.repeat(speech[:1], 3, axis=1)  # as a signal at 48 kHz
    soundfile.write(tmp_path / "in.wav", audio.T, 48000, subtype="FLOAT")
    program = built / "native" / "sese_enhance"
    printed([program, find_model("sese-2"), tmp_path / "in.wav", tmp_path / "out.wav"])
    written, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    stream = opened("sese-2").stream(48000)
    expected = np.concatenate([stream.feed(audio[0]), stream.flush()])
    assert len(written) == len(expected)
    settled = slice(0, -4800)
    np.testing.assert_allclose(written[settled], expected[settled], rtol=0, atol=TOLERANCE)


def test_refused(program: Command, tiny: Path, experts: Path, speech: np.ndarray, tmp_path: Path) -> None:
    model = tiny / "model.onnx"
    good, other, target = tmp_path / "good.wav", tmp_path / "other.wav", tmp_path / "out.wav"
    soundfile.write(good, speech[0, :1600], RATE)
    soundfile.write(other, speech[0, :1600], 44100)
    write_model(tmp_path / "bare.onnx")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    in_javascript = len(program) > 1  # where files have the rate of the model
    for arguments, said in [
        *([([model, other, target], "44100 Hz")] if in_javascript else []),
        ([model, good, good], "name another output"),
        ([model, tmp_path / "none.wav", target], "none.wav"),
        ([tmp_path / "none.onnx", good, target], "none.onnx"),
        ([tmp_path / "bare.onnx", good, target], "metadata"),
        ([model, good, target, "--level", "9"], "no level 9"),
        ([model, good, target, "--level", "x"], "level"),
        ([model, good, target, "--budget", "2"], "budget"),
        ([model, good, target, "--budget", "auto"], "router"),
        ([model, good, target, "--budget", "0.1"], "the lowest level"),
        ([experts / "model.onnx", good, target, "--budget", "0.5"], "at no other budget than 1"),
        ([model, good], "usage"),
        ([model, good, target, "--quick"], "--quick"),
    ]:
        ran = subprocess.run([str(word) for word in [*program, *arguments]], capture_output=True, text=True)
        assert ran.returncode == 2, ran
        assert "error: " in ran.stderr
        assert said in ran.stderr
        assert ran.stdout == ""
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
