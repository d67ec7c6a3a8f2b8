"""List the readers under attack, each with intact files to begin with and a way to read a damaged one.

A target may end well or raise `InputError`. Anything else is a finding.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import soundfile

from sese.core.errors import InputError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "src" / "sese" / "configs"
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
        dear: how many cases of the others a case costs.
        base: the seed that most changes begin from, where the others are hostile already.
    """

    seeds: Callable[[], dict[str, bytes]]
    run: Callable[[Path, Path], None]
    dear: int = 1
    base: str | None = None


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
    """Scan a corpus and decode it, as a training does."""
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


@cache
def _networks() -> Path:
    """A folder for each kind of small network on disk, each with its configuration and its weights."""
    import torch

    from sese.nn import checkpoint
    from sese.nn import label_network as labels
    from sese.nn.backbones.bitwise import BitwiseConfig
    from sese.nn.backbones.boosted_hashing import BoostedHashingConfig
    from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
    from sese.nn.backbones.gated_mixer import GatedMixerConfig
    from sese.nn.backbones.local_experts import LocalExpertsConfig
    from sese.nn.backbones.nsnet2 import NsNet2Config
    from sese.nn.backbones.spectral_mixer import SpectralMixerConfig
    from sese.predictor.design import Design
    from sese.quality import network as quality
    from sese.speakers import saved
    from sese.speakers.autoencoder import AutoencoderConfig, SpeechAutoencoder
    from sese.speakers.embedding import SpeakerNet, SpeakerNetConfig

    torch.manual_seed(0)
    made = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, made)
    small = {"n_fft": 64, "hop_length": 32}
    systems = {
        "bitwise": BitwiseConfig(**small, hidden=40, sparsity=0.5),
        "boosted_hashing": BoostedHashingConfig(**small, bits=(8, 20), frames=200, neighbours=5),
        "conv_fsenet": ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2, router_channels=12),
        "gated_mixer": GatedMixerConfig(
            **small, bands=((4, 8),), channels=8, blocks=(1, 2), band_units=(4, 8), time_units=(4, 8)
        ),
        "local_experts": LocalExpertsConfig(**small, hidden=6, experts=3),
        "nsnet2": NsNet2Config(hidden=24, wide=36, router_channels=5),
        "spectral_mixer": SpectralMixerConfig(
            channels=8, band_units=(4, 4, 6, 8), time_units=(4, 5, 6, 8), channel_units=(3, 4, 6, 8)
        ),
    }
    for name, config in systems.items():
        checkpoint.save(made / name, name, config, config.build().state_dict())
    saved.save(made / "embedding", SpeakerNet(SpeakerNetConfig(hidden=8)))
    saved.save(made / "autoencoder", SpeechAutoencoder(AutoencoderConfig(hidden=8, code=4)))
    labeller = labels.LabelNetConfig(units=6)
    labels.save(made / "labels", "voice_activity", labeller, labels.LabelNet(labeller).state_dict())
    design = Design(seconds=1.0, bands=16, channels=(4, 4, 4, 4), hidden=(4, 4))
    weights = quality.QualityNetwork(design).state_dict()
    quality.save(made / "quality", design, weights)
    return made


def _weights_seeds() -> dict[str, bytes]:
    return {f"{path.parent.name}-{path.name}": path.read_bytes() for path in _networks().glob("*/*.*")}


def _load_weights(path: Path, out: Path) -> None:
    """Open a folder of which one file was changed."""
    import torch

    from sese.nn import checkpoint
    from sese.nn import label_network as labels
    from sese.quality import network as quality
    from sese.speakers import autoencoder, embedding

    kind, _, name = path.name.partition("-")
    for file in (_networks() / kind).iterdir():
        if file.name != name:
            os.link(file, out / file.name)
    os.link(path, out / name)
    if kind == "labels":
        labels.is_label_net(out)
        labels.load(out)
    elif kind == "quality":
        quality.load(out)
    elif kind in ("embedding", "autoencoder"):
        {"embedding": embedding, "autoencoder": autoencoder}[kind].load(out)
    else:
        model = checkpoint.load(out)
        with torch.no_grad():
            model.enhance_clip(torch.zeros(1, 1, 4 * model.hop_length))


def _packed_seeds() -> dict[str, bytes]:
    """Return files as `sese export` and `sese compress` write them beside the ONNX file."""
    from sese.compression import layers, packed
    from sese.compression.calibration import Calibration
    from sese.compression.operators import quantise
    from sese.export.packed import save_packed
    from sese.nn import checkpoint

    seeds = {"predictor.npz": (PRETRAINED / "quality-bam" / "predictor.npz").read_bytes()}
    for kind in ("bitwise", "boosted_hashing"):
        folder = _networks() / kind
        save_packed(checkpoint.load(folder), folder.parent)
        seeds[f"{kind}.npz"] = (folder.parent / "packed.npz").read_bytes()
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-0.6, 0.6, shape).astype(np.float32)

    gru = layers.GRU("gru", draw(1, 6, 24), draw(1, 8, 24), draw(1, 24), draw(1, 24))
    chain = (gru, layers.Dense("out", draw(8, 2), draw(2), "sigmoid"))
    calibration = Calibration(chain, draw(4, 10, 6))
    widths = dict.fromkeys(calibration.genes, 8)
    seeds["weights.int"] = packed.to_bytes(quantise(chain, calibration.quantisers(widths)))
    return seeds


def _run_packed(path: Path, out: Path) -> None:
    from sese.bits import bitwise, hashing
    from sese.compression import packed
    from sese.core import compiled
    from sese.predictor.packed import load
    from sese.predictor.predictor import predicted_pesq

    audio = _tone()[:, 0]
    if path.name == "predictor.npz":
        predicted_pesq(audio, load(path))
    elif path.name == "weights.int":
        packed.read(path)
    elif path.name == "bitwise.npz":
        for arithmetic in ("numpy", "c") if compiled.compiler() else ("numpy",):
            model = bitwise.PackedEnhancer(path, arithmetic)
            model.enhance(audio[:512], model.sample_rate)
    else:
        enhancer = hashing.HashEnhancer(path)
        enhancer.enhance(audio[:512], enhancer.sample_rate)


def _record_seeds() -> dict[str, bytes]:
    """Return files that one command writes and another reads."""
    row = {
        "input": "/a.wav",
        "output": "/b.wav",
        "status": "done",
        "model": "m 1",
        "budget": 1.0,
        "error": None,
    }
    groups = {"embedding": "e", "centres": [[0.0, 1.0], [1.0, 0.0]], "members": {"a": 0, "b": 1}}
    labels = io.BytesIO()
    np.save(labels, np.zeros(64, np.float32))
    sweep = {"config": "debug.yaml", "seeds": [0, 1], "set": {"training.steps": 3}}
    sweep["runs"] = {
        "a": {"grid": {"training.batch_size": [1, 2]}},
        "b": {"set": {"training.initial": "{a-1}"}},
    }
    evaluated = {"bits": "88", "error": 0.1, "bytes": 100, "signal_bytes": 10}
    return {
        "manifest.jsonl": b"\n".join([json.dumps(row).encode()] * 3) + b"\n",
        "evaluation.json": _evaluation(),
        "groups-2.json": json.dumps(groups).encode(),
        "manifest.csv": b"file,snr_db,speaker\na.wav,5.0,x\nb.wav,0.0,y\n",
        "classes.csv": b"speaker,class\na,one\nb,two\n",
        "sexes.csv": b"path,sex\na.wav,f\nb.wav,m\n",
        "labels.npy": labels.getvalue(),
        "sweep.yaml": json.dumps(sweep).encode(),
        "evaluations.jsonl": b'{"h": 1}\n' + b"\n".join([json.dumps(evaluated).encode()] * 3) + b"\n",
        "scores.jsonl": b'{"key": "a", "scores": {"x": [1.0]}}\n' * 3,
        "bank.json": json.dumps({"kept": [0], "lengths": [4000], "problems": []}).encode(),
        "last.ckpt": _checkpoint(),
    }


def _evaluation() -> bytes:
    """Return the JSON of `sese evaluate --json` for two files."""
    from sese.evaluation import report
    from sese.evaluation.pairs import find_pairs
    from sese.evaluation.suite import evaluate

    with tempfile.TemporaryDirectory() as folder:
        for place in ("clean", "noisy"):
            Path(folder, place).mkdir()
            for name in ("a.wav", "b.wav"):
                soundfile.write(Path(folder, place, name), _tone(), RATE)
        pairs = find_pairs(folder)
        return report.to_json(evaluate(MODEL, pairs, [0.5, 1.0], metrics=["si_sdr"])).encode()


def _checkpoint() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"step": 3, "net": {"weight": torch.zeros(3, 4)}, "best": 0.5}, file)
    return file.getvalue()


def _read_record(path: Path, out: Path) -> None:
    """By the command's own reader."""
    from sese.compression import search, study
    from sese.data import bank, corpora
    from sese.evaluation import pairs, pareto, pareto_report
    from sese.export import folder
    from sese.folders.inputs import Job
    from sese.folders.manifest import SETTINGS, Manifest
    from sese.labels.data import read_sexes
    from sese.quality.sources import speakers_of
    from sese.speakers import groups
    from sese.training import run_folder, sweep
    from sese.training.methods import experts

    name = path.name
    copy = out / name
    shutil.copyfile(path, copy)
    if name == "manifest.jsonl":
        with Manifest(copy) as manifest:
            manifest.changed([Job(Path("/a.wav"), Path("/b.wav"))], dict.fromkeys(SETTINGS))
    elif name == "evaluation.json":
        folder.read_quality(path)
        pareto_report.to_markdown(pareto.compare([pareto.read_evaluation(str(path))] * 2))
    elif name == "groups-2.json":
        groups.load(path)
    elif name == "manifest.csv":
        speakers_of(path)
        pairs._read_snrs(path)
    elif name == "classes.csv":
        experts.read_classes(path)
    elif name == "sexes.csv":
        speech = mock.MagicMock(paths=(Path("a.wav"), Path("b.wav")))
        speech.__len__.return_value = 2
        read_sexes(path, speech)
    elif name == "labels.npy":
        _pool(copy)
    elif name == "sweep.yaml":
        for base in ("debug.yaml", "base.yaml"):
            shutil.copyfile(CONFIGS / base, out / base)
        for run in sweep.plan(copy, out / "runs"):
            assert run.folder.resolve().is_relative_to((out / "runs").resolve()), run.folder
    elif name == "evaluations.jsonl":
        evaluator = search.Evaluator.__new__(search.Evaluator)
        evaluator._head, evaluator.genes = {"h": 1}, ("a", "b")
        copy.write_bytes(b"\n".join([b'{"h": 1, "genes": ["a", "b"]}', *path.read_bytes().split(b"\n")[1:]]))
        evaluator._open(copy)
    elif name == "scores.jsonl":
        study._kept_scores(path)
    elif name == "bank.json":
        soundfile.write(out / "a.wav", _tone(), RATE)
        found = corpora.scan(out, role="speech").speech
        bank.load_bank(found, RATE, out / "cache")
        kept = next((out / "cache").glob("*.json"))
        shutil.copyfile(path, kept)
        loaded = bank.load_bank(found, RATE, out / "cache")
        assert len(loaded.samples)
    else:
        with run_folder.restoring(copy) as held:
            float(held["best"])


def _pool(path: Path) -> None:
    """Labels of a pool that were kept."""
    import torch

    from sese.data import labelled_pool

    with mock.patch.object(labelled_pool, "mixtures_hash", return_value="x"):
        (path.parent / "labels").mkdir()
        path.rename(path.parent / "labels" / "n-x.npy")

        def mixer(indices: range) -> SimpleNamespace:
            return SimpleNamespace(noisy=torch.zeros(len(indices), 1, 4))

        labelled_pool.label_pool(mixer, 70, "n", lambda noisy: noisy[:, 0, 0], path.parent, lambda text: None)


def _config_seeds() -> dict[str, bytes]:
    seeds = {}
    for path in (*sorted(CONFIGS.glob("*.yaml")), *sorted(CONFIGS.glob("*/*.yaml"))):
        folder = path.parent.relative_to(CONFIGS).as_posix()
        if folder != "sweeps":  # bases by their names, which are known from everywhere
            text = re.sub(
                r"^base: (.+)\.yaml$",
                lambda found, folder=folder: f"base: {os.path.normpath(f'{folder}/{found[1]}')}",
                path.read_text(),
                flags=re.MULTILINE,
            )
            seeds[f"{folder}-{path.stem}.yaml"] = text.encode()
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
    from sese.adaptation import config as adaptation
    from sese.labels import training as labels
    from sese.quality import config as quality
    from sese.speakers import training as speakers
    from sese.training.config import read
    from sese.training.config_file import dump

    kind = path.name.partition("-")[0]
    readers = {
        "adaptation": adaptation.read,
        "labels": labels.read,
        "quality": quality.read,
        "speakers": speakers.read,
    }
    dump(readers.get(kind, read)(path))


def _stdin_seeds() -> dict[str, bytes]:
    """Audio, and in the name the options that it is piped in with."""
    seeds = _pcm_seeds()
    made = {
        "--format s16le --rate 16000.raw": seeds["stream.s16le"],
        "--format f32le --rate 44100 --channels 2 --budget auto --out-format wav.raw": seeds["stream.f32le"],
        "--format s24le --rate 8000 --channels 7.raw": seeds["stream.s16le"],
        "--max-rtf 0.5 --latency low --json.wav": seeds["stream.wav"],
    }
    return made | {".wav": seeds["stream.wav"]}


def _pipe(path: Path, out: Path) -> None:
    """Through `sese stream`, as a user would."""
    words = [
        sys.executable,
        "-m",
        "sese.cli.main",
        "stream",
        "--model",
        MODEL,
        *path.stem.lstrip(".").split(),
    ]
    if path.name == ".wav":
        words = words[:6]
    with path.open("rb") as file, (out / "enhanced").open("wb") as made:
        done = subprocess.run(words, stdin=file, stdout=made, stderr=subprocess.PIPE, check=False, timeout=50)
    told = done.stderr.decode()
    assert "Traceback" not in told, told
    assert not set(told) & set(map(chr, (*range(10), *range(11, 32), 127))), told
    if done.returncode == 2:
        raise InputError(told)
    assert done.returncode == 0, f"exit code {done.returncode}: {told}"


TARGETS = {
    "enhance": Target(_audio_seeds, _enhance),
    "corpus": Target(_audio_seeds, _describe),
    "stream": Target(_pcm_seeds, _stream),
    "stdin": Target(_stdin_seeds, _pipe, dear=40),
    "model": Target(_model_seeds, _open_model, base="model.onnx"),
    "weights": Target(_weights_seeds, _load_weights),
    "packed": Target(_packed_seeds, _run_packed),
    "record": Target(_record_seeds, _read_record),
    "config": Target(_config_seeds, _read_config),
}
"""By name."""
