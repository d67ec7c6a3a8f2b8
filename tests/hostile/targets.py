"""What is attacked, each with whole files to begin with and a way to read one that is not.

A target may end well or raise `InputError`. Anything else is a finding.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
PRETRAINED = ROOT / "src" / "sese" / "pretrained"
MODEL = "nsnet2-dynamic"
"""The quickest of the bundled ones."""

RATE = 16000


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        seeds: makes whole files, by name.
        run: reads the file at a path, and may write into the folder beside it, ``out``.
    """

    seeds: Callable[[], dict[str, bytes]]
    run: Callable[[Path, Path], None]


def _tone(seconds: float = 0.25, channels: int = 1) -> np.ndarray:
    """float32 (time, channel)."""
    time = np.arange(round(seconds * RATE))[:, None] / RATE
    return (0.2 * np.sin(2 * np.pi * 300 * time * np.arange(1, channels + 1))).astype(np.float32)


def _audio_seeds() -> dict[str, bytes]:
    forms = [
        ("WAV", "PCM_16", 1),
        ("WAV", "PCM_24", 2),
        ("WAV", "FLOAT", 2),
        ("WAV", "ULAW", 1),
        ("WAVEX", "PCM_16", 3),
        ("FLAC", "PCM_16", 2),
        ("OGG", "VORBIS", 1),
        ("OGG", "OPUS", 2),
        ("AIFF", "PCM_16", 1),
        ("W64", "PCM_16", 1),
        ("RF64", "PCM_16", 2),
        ("MP3", "MPEG_LAYER_III", 1),
        ("CAF", "PCM_16", 1),
        ("AU", "PCM_16", 1),
    ]
    names = {"WAVEX": "wav", "RF64": "wav", "OGG": "ogg"}
    seeds = {}
    for form, subtype, channels in forms:
        file = io.BytesIO()
        soundfile.write(file, _tone(channels=channels), RATE, format=form, subtype=subtype)
        seeds[f"{form}-{subtype}.{names.get(form, form.lower())}"] = file.getvalue()
    return seeds


@cache
def _enhancer() -> Any:
    import sese

    return sese.load(MODEL)


def _enhance(path: Path, out: Path) -> None:
    _enhancer().enhance_file(path, out / f"enhanced{path.suffix}")


def _describe(path: Path, out: Path) -> None:
    """What a training does with a corpus: look into it, decode it."""
    from sese.data.bank import load_bank
    from sese.data.corpora import scan

    load_bank(scan(path.parent, role="speech").speech, RATE, cache_dir=out)


def _pcm_seeds() -> dict[str, bytes]:
    wave = io.BytesIO()
    soundfile.write(wave, _tone(), RATE, format="WAV", subtype="PCM_16")
    raw = (_tone() * 32767).astype("<i2").tobytes()
    return {"stream.wav": wave.getvalue(), "stream.s16le": raw, "stream.f32le": _tone().tobytes()}


def _stream(path: Path, out: Path) -> None:
    """Raw samples or WAV through a pipe."""
    from sese.live.pipe import Input, enhance_pipe, read_layout
    from sese.live.signals import StopSignals

    form = None if path.suffix == ".wav" else path.suffix[1:]
    with path.open("rb") as file, (out / "enhanced").open("wb") as written, StopSignals() as stop:
        source = Input(file.fileno(), stop)
        rate, channels = (None, None) if form is None else (RATE, 1)
        layout, start = read_layout(source, form, rate, channels, None)
        enhance_pipe(
            source, written.fileno(), layout, start, _enhancer().stream(layout.sample_rate, layout.channels)
        )


def _model_seeds() -> dict[str, bytes]:
    """The file as it is, and with what only somebody who means harm would write."""
    import onnx

    whole = (PRETRAINED / MODEL / "model.onnx").read_bytes()
    seeds = {"model.onnx": whole}

    def change(name: str, edit: Callable[[onnx.ModelProto], None]) -> None:
        proto = onnx.load_from_string(whole)
        edit(proto)
        seeds[f"{name}.onnx"] = proto.SerializeToString()

    def facts(**values: object) -> Callable[[onnx.ModelProto], None]:
        def edit(proto: onnx.ModelProto) -> None:
            for entry in proto.metadata_props:
                if entry.key == "sese":
                    entry.value = json.dumps(json.loads(entry.value) | values)

        return edit

    def outside(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "../../../../../../etc/passwd"), ("offset", "0"), ("length", "64")):
            tensor.external_data.add(key=key, value=value)

    def operator(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].op_type = "Loop"

    def domain(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].domain = "com.example"

    def huge(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].dims[:] = [2**40, 2**20]

    def huge_state(proto: onnx.ModelProto) -> None:
        for value in proto.graph.input:
            if value.name.startswith("state."):
                value.type.tensor_type.shape.dim[1].dim_value = 2**40

    for edit in (outside, operator, domain, huge, huge_state):
        change(edit.__name__, edit)
    change("hop", facts(hop_length=2**40))
    change("rate", facts(sample_rate=2**62))
    change("lookahead", facts(lookahead_samples=2**60))
    change("name", facts(name="../../../escaped\x1b[31m", description="x" * 10**6))
    change("levels", facts(levels=[{"utilization": 1.0, "macs_per_second": "NaN", "parameters": -1}]))
    change("nothing", facts(levels=[]))
    return seeds


def _open_model(path: Path, out: Path) -> None:
    """Open a file as a model, and enhance with it."""
    import sese

    enhancer = sese.load(path)
    enhancer.enhance(_tone()[:, 0], RATE)


def _weights_seeds() -> dict[str, bytes]:
    folder = PRETRAINED / MODEL
    return {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}


def _load_weights(path: Path, out: Path) -> None:
    """Open a folder of which one file was changed."""
    from sese.nn import checkpoint

    for name in ("config.json", "model.safetensors"):
        if not path.name.startswith(name):
            shutil.copyfile(PRETRAINED / MODEL / name, out / name)
    os.link(path, out / path.name)
    checkpoint.load(out)


def _predictor_seeds() -> dict[str, bytes]:
    return {"predictor.npz": (PRETRAINED / "quality-bam" / "predictor.npz").read_bytes()}


def _predict(path: Path, out: Path) -> None:
    from sese.quality.packed import load
    from sese.quality.predictor import predicted_pesq

    predicted_pesq(_tone()[:, 0], load(path))


def _config_seeds() -> dict[str, bytes]:
    seeds = {
        f"{path.stem}.yaml": path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))[:40]
    }
    layers = ["&a [x,x,x,x,x,x,x,x,x]"]  # 9 ** 9 words, once they are written out
    layers += [f"&{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    for key in ("training", "name", "seed", "base", "system"):
        seeds[f"bomb_{key}.yaml"] = f"{key}: [{', '.join(layers)}]\n".encode()
    seeds["bomb_losses.yaml"] = f"training: {{losses: [{', '.join(layers)}]}}\n".encode()
    seeds["bomb_keys.yaml"] = f"? [{', '.join(layers)}]\n: 1\n".encode()
    seeds["object.yaml"] = b"!!python/object/apply:os.system ['echo owned > owned']\n"
    seeds["path.yaml"] = b"base: ../../../../etc/passwd\n"
    seeds["deep.yaml"] = b"training: " + b"[" * 5000
    seeds["words.yaml"] = b"training: {stepz: 3}\n"
    seeds["many.yaml"] = b"model: {hidden: 99999999999999999999}\nsystem: nsnet2\n"
    seeds["wide.yaml"] = b"model: {hidden: 2000000000}\nsystem: nsnet2\n"
    return seeds


def _read_config(path: Path, out: Path) -> None:
    from sese.training.config import read
    from sese.training.config_file import dump

    for base in (ROOT / "configs").glob("*.yaml"):
        if not (path.parent / base.name).exists():
            shutil.copyfile(base, path.parent / base.name)
    dump(read(path))


TARGETS = {
    "enhance": Target(_audio_seeds, _enhance),
    "corpus": Target(_audio_seeds, _describe),
    "stream": Target(_pcm_seeds, _stream),
    "model": Target(_model_seeds, _open_model),
    "weights": Target(_weights_seeds, _load_weights),
    "predictor": Target(_predictor_seeds, _predict),
    "config": Target(_config_seeds, _read_config),
}
"""By name."""
