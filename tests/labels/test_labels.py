"""Networks that label speech: their clips, their training, and their compression."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from command_line import Run
from sese.compression import packed
from sese.compression.labelling import Labelling, layers_of
from sese.compression.layers import run
from sese.core.errors import InputError
from sese.labels.data import LabelDataConfig, LabelledClips, active, frame_snr, read_sexes
from sese.labels.training import accuracy_of
from sese.nn.label_network import LabelNet, LabelNetConfig, load, mel_filters, save

RATE = 16000


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Ten voices, low ones of men and high ones of women, with pauses; noises; a table of the sexes."""
    root, rows = tmp_path / "corpus", []
    time = np.arange(2 * RATE) / RATE
    generator = np.random.default_rng(0)
    for speaker in range(10):
        sex = "F" if speaker % 2 else "M"
        pitch = (220 if sex == "F" else 110) * (1 + 0.02 * speaker)
        voice = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic for harmonic in range(1, 12))
        path = root / "clean" / "made" / f"s{speaker}" / "0.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 * voice * (np.sin(5 * time + speaker) > -0.3), RATE)
        rows.append({"path": f"made/s{speaker}/0.wav", "sex": sex if speaker else ""})
    for number in range(10):
        path = root / "noise" / "hiss" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.05 * generator.standard_normal(2 * RATE), RATE)
    with (root / "sexes.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["path", "sex"])
        table.writeheader()
        table.writerows(rows)
    return root


def config(corpus: Path, cache: Path, **values: object) -> LabelDataConfig:
    values = {"held_out": 0.3, "seconds": 1.0, "cache_dir": str(cache)} | values
    return LabelDataConfig((str(corpus),), str(corpus / "sexes.csv"), **values)  # type: ignore[arg-type]


def test_held_out_speakers_and_noises_are_never_trained_on(corpus: Path, tmp_path: Path) -> None:
    data = config(corpus, tmp_path / "cache")
    for task in ("voice_activity", "speaker_sex"):
        parts = [
            LabelledClips(task, data, LabelNetConfig(), 3, part) for part in ("train", "held_out", "all")
        ]
        voices = [set(each.mixer.sampler.speech.paths) for each in parts]
        noises = [set(each.mixer.sampler.noise.paths) for each in parts]
        for train, held_out, everything in (voices, noises):
            assert train
            assert held_out
            assert not train & held_out
            assert train | held_out == everything
        assert len(voices[2]) == (10 if task == "voice_activity" else 9)


def test_labels_are_true(corpus: Path, tmp_path: Path) -> None:
    data = config(corpus, tmp_path / "cache", snr_db=(40.0, 40.0))
    net = LabelNetConfig()
    made = LabelledClips("speaker_sex", data, net, 0)
    clips = made(range(20))
    for audio, target in zip(clips.audio, clips.target, strict=True):
        power = torch.fft.rfft(audio).abs()
        low = power[80:140].max() > 4 * power[190:210].max()  # 1 s: a bin a hertz; men's voices start at 110
        assert bool(target[0]) != bool(low)
        assert len(set(target.tolist())) == 1
    again = made([7])
    assert torch.equal(again.audio[0], clips.audio[7])
    spoken = LabelledClips("voice_activity", data, net, 0)(range(20))
    power = spoken.audio.unfold(1, net.n_fft, net.hop_length).square().mean(2)
    assert spoken.target.shape == power.shape
    loud = power > 0.05 * power.amax(1, keepdim=True)
    assert (loud == spoken.target.bool()).float().mean() > 0.9
    assert 0.2 < spoken.target.mean() < 0.9


def test_active_frames() -> None:
    net = LabelNetConfig()
    clean = torch.zeros(1, 8000)
    clean[0, 3000:5000] = 0.1
    frames = active(clean, net)[0]
    touched = [max(0, 256 * frame) < 5000 and 256 * frame + 512 > 3000 for frame in range(len(frames))]
    assert frames.bool().tolist() == touched
    assert not active(torch.zeros(1, 8000), net).any()


def test_snr_of_frames() -> None:
    net, generator = LabelNetConfig(), torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(1, 16000, generator=generator)
    clean = noise.roll(1000, 1) * torch.repeat_interleave(torch.tensor([0.0, 1.0, 3.1623, 100.0]), 4000)
    found = frame_snr(clean, noise, net)[0]
    assert found.shape == (1 + (16000 - 512) // 256,)
    for part, decibels in enumerate((-20.0, 0.0, 10.0, 20.0)):
        within = found[part * 4000 // 256 + 1 : (part + 1) * 4000 // 256 - 2]
        assert 10 * within.mean().item() == pytest.approx(decibels, abs=0.5)
    assert not frame_snr(torch.zeros(1, 2000), torch.zeros(1, 2000), net).isnan().any()


def test_every_band_hears_something_near_its_middle() -> None:
    filters = mel_filters(LabelNetConfig())
    assert (filters.max(0) > 0).all()
    middles = filters.argmax(0)
    assert (np.diff(middles) >= 0).all()
    assert middles[0] <= 4
    assert middles[-1] >= 230


def test_tables_are_checked(corpus: Path, tmp_path: Path) -> None:
    data = config(corpus, tmp_path / "cache")
    clips = LabelledClips("voice_activity", data, LabelNetConfig(), 0, "all")
    bank = clips.mixer.sampler.speech
    assert np.isfinite(read_sexes(corpus / "sexes.csv", bank)).sum() == 9
    with pytest.raises(InputError, match="give a CSV table"):
        read_sexes(tmp_path / "none.csv", bank)
    (tmp_path / "wrong.csv").write_text("file,sex\na,f\n")
    with pytest.raises(InputError, match="path and sex are needed"):
        read_sexes(tmp_path / "wrong.csv", bank)
    (tmp_path / "one.csv").write_text("path,sex\nmade/s1/0.wav,f\n")
    with pytest.raises(InputError, match="both sexes"):
        read_sexes(tmp_path / "one.csv", bank)


def test_some_are_left_to_train_on(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"with 10 speaker\(s\) in all, none is left .* smaller"):
        LabelledClips("voice_activity", config(corpus, tmp_path, held_out=0.99), LabelNetConfig(), 0)
    for path in (corpus / "noise" / "hiss").glob("[1-9].wav"):
        path.unlink()
    with pytest.raises(InputError, match=r"with 1 recording of noise\(s\) .* give two or more"):
        LabelledClips("voice_activity", config(corpus, tmp_path), LabelNetConfig(), 0)


def test_accuracy() -> None:
    scores = torch.tensor([[1.0, -1.0, -3.0], [2.0, 2.0, -1.0]])
    target = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert accuracy_of(scores, target, "voice_activity").tolist() == pytest.approx([2 / 3, 2 / 3])
    assert accuracy_of(scores, torch.ones(2, 3), "speaker_sex").tolist() == [0.0, 1.0]


@pytest.mark.parametrize("task", ["voice_activity", "speaker_sex", "frame_snr"])
def test_train_resume_compress(task: str, corpus: Path, tmp_path: Path, sese: Run) -> None:
    """A run that was stopped ends with the weights of one that was not; 8 bits then lose little."""
    recipe = Path(__file__).parents[2] / "src" / "sese" / "configs" / "labels" / f"{task}.yaml"
    settings = [f"data.train=[{corpus}]", f"data.labels={corpus}/sexes.csv", "data.seconds=1.0"]
    settings += [f"data.cache_dir={tmp_path}/cache", "data.held_out=0.3", "model.units=12", "model.layers=1"]
    settings += ["training.steps=24", "training.validate_steps=8", "training.batch_size=8"]
    settings += ["training.validation_clips=16", "training.learning_rate=0.01"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert sese("train", recipe, *settings, "--run-dir", whole).code == 0
    assert sese("train", recipe, *settings, "max_minutes=0", "--run-dir", stopped).code == 0
    assert sese("train", recipe, *settings, "--run-dir", stopped).code == 2
    assert sese("train", stopped, "--resume").code == 0
    one, other = (load_file(each / "last" / "model.safetensors") for each in (whole, stopped))
    for name, values in one.items():
        assert torch.equal(values, other[name]), name
    facts = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert facts[-1]["val/loss"] < (1.5 if task == "frame_snr" else 0.69)
    assert facts[-1]["val/loss"] < facts[0]["val/loss"]

    out = tmp_path / "out"
    ran = sese(
        *("compress", whole, corpus, "-o", out, "--bits", "8,2", "--limit", 16, "--seconds", 1),
        *("--test", corpus, "--test-limit", 12, "--test-seconds", 1, "--json"),
    )
    assert ran.code == 0, ran.err
    in_float, eight, two = json.loads(ran.out)["networks"]
    assert abs(eight["error"] - in_float["error"]) < 0.05
    assert two["bytes"] < 0.75 * eight["bytes"] < in_float["bytes"]
    assert eight["bytes"] == (out / "8-bit" / "weights.int").stat().st_size
    assert eight["test"]["accuracy"]["count"] == 12
    # The chain in float is the network; the folder holds the weights of the packed file.
    _, net = load(whole / "best")
    audio = 0.1 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, x = net(audio), net.features(audio).numpy()
    np.testing.assert_allclose(run(layers_of(net), x)[..., 0], expected.numpy(), atol=1e-4)
    chain = packed.read(out / "8-bit" / "weights.int")
    assert np.abs(chain(x)[..., 0] - expected.numpy()).mean() < 0.2 * expected.std().item() + 0.05
    assert isinstance(load(out / "8-bit")[1], LabelNet)


def test_clips_that_are_labelled_alike_measure_no_error(corpus: Path, tmp_path: Path) -> None:
    data, net = config(corpus, tmp_path / "cache"), LabelNet(LabelNetConfig(units=4, layers=1))
    save(tmp_path / "net", "speaker_sex", net.config, net.state_dict())
    with pytest.raises(InputError, match=r"all 1 clip.* are labelled alike \(speaker_sex\)"):
        Labelling(tmp_path / "net", data, 0, "all", [corpus], 1)


def test_bad_input_is_one_line_and_exit_code_2(corpus: Path, tmp_path: Path, sese: Run) -> None:
    recipe = Path(__file__).parents[2] / "src" / "sese" / "configs" / "labels" / "speaker_sex.yaml"
    train = f"data.train=[{corpus}]"
    for arguments, word in (
        ((recipe,), "no speech"),
        ((recipe, train), "give a CSV table"),
        ((recipe, train, "task=age"), "task is 'age'"),
        ((recipe, train, "data.held_out=1"), "data.held_out is 1.0"),
        ((recipe, train, "model.units=0"), "model.units is 0"),
        ((recipe, train, "model.width=3"), "unknown key 'model.width'"),
        ((tmp_path, "--resume"), "holds no run"),
    ):
        ran = sese("train", *arguments, f"data.cache_dir={tmp_path}/cache", "--run-dir", tmp_path / "run")
        assert ran.code == 2, (arguments, ran)
        assert ran.err.count("\n") == 1, ran.err
        assert word in ran.err
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text('{"system": "labels", "task": "voice_activity"}')
    ran = sese("compress", folder, corpus, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "config.yaml" in ran.err
