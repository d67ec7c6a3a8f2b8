"""Files in the format of GTCRN: what PyTorch computes, from spectra, and the same through sherpa-onnx."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import sese as package
from command_line import Run
from contract import build
from sese.core.errors import InputError
from sese.export.forms.tracing import for_tracing
from sese.export.gtcrn_format import export_gtcrn, read_choice, run_gtcrn
from sese.export.on_spectra import on_spectra
from sese.nn import checkpoint
from sese.nn.backbones.cold_diffusion import ColdDiffusionConfig
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.backbones.ftf_net import FTFNetConfig
from sese.nn.backbones.gated_mixer import GatedMixerConfig
from sese.nn.backbones.nsnet2 import NsNet2Config
from sese.nn.backbones.registry import SYSTEMS
from sese.nn.backbones.spectral_mixer import SpectralMixerConfig
from sese.nn.features.level import SILENCE, audible
from sese.nn.policies.activity import NOISE, SPEECH, THRESHOLDS
from sese.nn.policies.fixed import level_plan
from sese.nn.state import fresh
from sese.runtime.artefact import bundled_models, open_artefact
from sese.runtime.budget import Routed

Audio = NDArray[np.float32]
ROOT = Path(__file__).parents[2]
RATE = 16000
EQUAL = 1e-3
"""Largest difference of a sample through sherpa-onnx."""

MIXER = GatedMixerConfig(
    n_fft=512,
    hop_length=256,
    bands=((4, 32), (2, 64)),
    channels=8,
    blocks=(1, 1, 1),
    band_units=(4, 5, 6),
    time_units=(4, 6, 8),
    activity_units=4,
)
"""A network that rests."""


def saved(folder: Path, config: Any) -> Path:
    """Write a network with random weights, and return its folder."""
    system = next(name for name, kind in SYSTEMS.items() if isinstance(config, kind))
    network = build(config)
    if isinstance(config, GatedMixerConfig):
        with torch.no_grad():  # speech in few frames, so that some rest, and noise in all
            scores = network.score(torch.from_numpy(recording()[:40000]).view(1, 1, -1))[0, 30:, SPEECH]
            network.policy.outward.bias[SPEECH] += THRESHOLDS[SPEECH] - scores.quantile(0.97)
            network.policy.outward.bias[NOISE] = 9.0
    checkpoint.save(folder, system, config, network.state_dict())
    return folder


def recording(name: str = "playground") -> Audio:
    return soundfile.read(ROOT / "examples" / f"{name}.wav", dtype="float32")[0]


def denoisers(path: Path) -> tuple[Any, Any]:
    """Open a file by sherpa-onnx, for whole recordings and for streams."""
    sherpa = pytest.importorskip("sherpa_onnx")
    if not hasattr(sherpa, "OnlineSpeechDenoiser"):
        pytest.skip("this sherpa-onnx has no denoiser of streams")
    model = sherpa.OfflineSpeechDenoiserModelConfig(
        gtcrn=sherpa.OfflineSpeechDenoiserGtcrnModelConfig(model=str(path))
    )
    whole = sherpa.OfflineSpeechDenoiser(sherpa.OfflineSpeechDenoiserConfig(model=model))
    return whole, sherpa.OnlineSpeechDenoiser(sherpa.OnlineSpeechDenoiserConfig(model=model))


def streamed(denoiser: Any, audio: Audio, sizes: list[int]) -> Audio:
    """Enhance in chunks of these sizes, in turn."""
    made, at, turn = [], 0, itertools.cycle(sizes)
    while at < len(audio):
        size = next(turn)
        made += denoiser.run(audio[at : at + size], RATE).samples
        at += size
    return np.array([*made, *denoiser.flush().samples], np.float32)


def compare(path: Path, audio: Audio, expected: Audio) -> None:
    """Compare sherpa-onnx, whole and in chunks of several sizes, with what is expected of a recording."""
    whole, stream = denoisers(path)
    made = np.array(whole.run(audio, RATE).samples, np.float32)
    # It leaves out what follows the last whole frame, and mirrors the recording at its end.
    assert len(made) == len(audio) // 256 * 256
    np.testing.assert_allclose(made[:-256], expected[: len(made) - 256], atol=EQUAL)
    for sizes in ([len(audio)], [1, 255, 256, 257, 4000], [160]):
        np.testing.assert_allclose(streamed(stream, audio, sizes), expected, atol=EQUAL)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("mixer"), MIXER)


@pytest.fixture(scope="module")
def dial(source: Path) -> Path:
    """A file with the dial inside; the export compares it with PyTorch."""
    export_gtcrn(source, source / "auto.onnx", "auto")
    return source / "auto.onnx"


def test_the_dial_rests_inside_sherpa(source: Path, dial: Path) -> None:
    model, audio = checkpoint.load(source), recording()[:40000]
    audio = np.concatenate([np.zeros(3000, np.float32), audio, np.zeros(9000, np.float32), audio[:9000]])
    with torch.no_grad():
        done = model.run_clip(torch.from_numpy(audio).view(1, 1, -1))
    ran = next(iter(done.plan.values()))
    assert isinstance(ran, torch.Tensor)
    shares = ran.flatten(2).sum(2) > 0
    assert 0.05 < shares.float().mean() < 0.95
    compare(dial, audio, done.audio[0, 0].numpy())


def test_a_recording_that_begins_with_sound(source: Path, dial: Path) -> None:
    """Where sherpa-onnx mirrors the recording to fill the first window."""
    audio = 10 * recording()[20000:30000]
    with torch.no_grad():
        expected = checkpoint.load(source).enhance_clip(torch.from_numpy(audio).view(1, 1, -1))
    compare(dial, audio, expected[0, 0].numpy())


def test_metadata_and_names_are_those_of_the_format(dial: Path) -> None:
    proto = onnx.load(dial)
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert {
        "model_type": "gtcrn",
        "version": "1",
        "sample_rate": "16000",
        "n_fft": "512",
        "hop_length": "256",
        "window_length": "512",
        "window_type": "hann_sqrt",
    }.items() <= facts.items()
    caches = ["conv_cache", "tra_cache", "inter_cache"]
    session = onnxruntime.InferenceSession(dial, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["mix", *caches]
    assert [value.name for value in session.get_outputs()] == [
        "enh",
        *(f"{cache}_out" for cache in caches),
    ]
    shapes = [[1, 257, 1, 2], *([int(n) for n in facts[f"{cache}_shape"].split(",")] for cache in caches)]
    assert [value.shape for value in session.get_inputs()] == shapes
    assert [value.shape for value in session.get_outputs()] == shapes


def test_a_level_has_its_own_weights_alone(source: Path) -> None:
    model = checkpoint.load(source)
    audio = recording()[:20000]
    made = {}
    for level, share in enumerate(np.cumsum(model.sites[0].shares)):
        path = source / f"{level}.onnx"
        export_gtcrn(source, path, f"fixed:{share:g}")
        made[level] = path.stat().st_size
        with torch.no_grad():
            plan = level_plan(model.sites, level)
            expected = model.enhance_clip(torch.from_numpy(audio).view(1, 1, -1), plan)[0, 0].numpy()
        compare(path, audio, expected)
    assert made[0] < made[1] < made[2]


def slow(*values: Any) -> Any:
    """Return a case that runs with the slow tests: each export takes many seconds."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("config", "budget"),
    [
        (NsNet2Config(**NsNet2Config.small, router_channels=4), "held"),
        (ConvFSENetConfig(**ConvFSENetConfig.small), 1),  # a Hann window
        slow(SpectralMixerConfig(**SpectralMixerConfig.small, router_channels=4), "auto"),
        slow(SpectralMixerConfig(**SpectralMixerConfig.small, router_channels=4), "lowest"),
        slow(FTFNetConfig(**FTFNetConfig.small), "lowest"),
        slow(ColdDiffusionConfig(**ColdDiffusionConfig.small), "lowest"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_other_networks_on_spectra(config: Any, budget: Any, tmp_path: Path) -> None:
    """The export compares with PyTorch; sherpa-onnx runs the file with its own transforms."""
    source, path = saved(tmp_path / "run", config), tmp_path / "model.onnx"
    model = checkpoint.load(source)
    shares = np.cumsum(model.sites[0].shares)
    words = {"lowest": f"fixed:{shares[0]:g}", "held": f"held:{shares[:2].mean()}"}
    export_gtcrn(source, path, words.get(budget, budget))
    audio = recording()[: 40 * 256]
    expected = run_gtcrn(path, audio)[model.hop_length :]
    _, stream = denoisers(path)
    np.testing.assert_allclose(streamed(stream, audio, [1000])[: len(expected)], expected, atol=EQUAL)


@pytest.mark.parametrize("name", bundled_models())
def test_a_number_is_exported_as_its_level(name: str) -> None:
    card = open_artefact(name).card
    if card.rests or card.gates:
        assert read_choice(card, "auto") == Routed(0.0)
        return
    for level in card.levels:
        assert read_choice(card, level.utilization) == read_choice(card, f"fixed:{level.utilization:g}")


class TestOnSpectra:
    @pytest.mark.parametrize(
        "signal",
        [
            pytest.param(lambda n, rng: rng.standard_normal(n) * 0.1 + 0.2, id="offset"),
            pytest.param(lambda n, rng: np.round(rng.uniform(-1, 1, n)) / 32768, id="one bit"),
            pytest.param(lambda n, rng: np.arange(n) % 997 == 400, id="clicks"),
            pytest.param(lambda n, rng: rng.standard_normal(n) * (np.arange(n) // 3000 % 2), id="gated"),
            pytest.param(lambda n, rng: rng.standard_normal(n) * 2.0 ** -(np.arange(n) // 1000), id="fading"),
        ],
    )
    def test_features_are_those_of_samples(self, signal: Any) -> None:
        """Offsets and digital silence are found in spectra as in samples."""
        model = build(MIXER)
        hop, frames = 256, 60
        audio = signal(frames * hop, np.random.default_rng(0)).astype(np.float32)
        audio[audio.size // 2 :][: 5 * hop] = 0
        with torch.no_grad():
            given = torch.from_numpy(audio)[None]
            expected, _, _ = model.features(given, fresh(model.features.state_shapes(), 1, given))
        expected = expected.view(frames, -1)
        features = for_tracing(on_spectra(model, "mixer"), many=False).features
        state = fresh(features.state_shapes(), 1, given)
        window = np.sqrt(0.5 - 0.5 * np.cos(np.arange(512) * np.pi / 256))
        past = np.zeros(hop)
        for new, wanted in zip(audio.reshape(frames, hop), expected, strict=True):
            spectrum = np.fft.rfft(np.concatenate([past, new]) * window)
            values = np.stack([spectrum.real, spectrum.imag], axis=1).reshape(1, -1).astype(np.float32)
            got, _, state = features(torch.from_numpy(values), state)
            torch.testing.assert_close(got[0], wanted, atol=1e-2, rtol=1e-2)
            past = new

    def test_silence_after_sound_and_one_bit_after_sound(self) -> None:
        """Rounding errors of a loud hop before are no sound, and the smallest sound after it is."""
        features = for_tracing(on_spectra(build(MIXER), "mixer"), many=False).features
        rng = np.random.default_rng(0)
        window = np.sqrt(0.5 - 0.5 * np.cos(np.arange(512) * np.pi / 256))
        for quiet in (0.0, 1 / 32768):
            loud = rng.uniform(-1, 1, 256) * 0.3
            frame = np.concatenate([loud, quiet * rng.choice([-1, 1], 256)]) * window
            spectrum = np.fft.rfft(frame)
            values = np.stack([spectrum.real, spectrum.imag], axis=1).reshape(1, -1).astype(np.float32)
            given = torch.from_numpy(values)
            _, _, state = features(given, fresh(features.state_shapes(), 1, given))
            assert (state["level"][0, 1].max() > 0) == (quiet > SILENCE)
        assert audible(torch.full((1, 1, 4), 1e-6)).item() == 1


@pytest.mark.parametrize(
    ("model", "budget", "error"),
    [
        ("demucs-slim-small", "1", "works on samples"),
        ("bloom-net", "1", "works on samples"),
        ("conv-fsenet-dyncp", "1", "has gates"),
        ("sese-2", "threshold", "cannot hold"),
        ("sese-2", "0.01", "give a number from"),
        ("nowhere", "1", "does not exist"),
    ],
)
def test_what_the_format_cannot_express(
    sese: Run, tmp_path: Path, model: str, budget: str, error: str
) -> None:
    path = tmp_path / "model.onnx"
    ran = sese("export", model, "--format", "gtcrn", "--budget", budget, "-o", path)
    assert ran.code == 2
    assert error in ran.err
    assert ran.err.count("\n") == 1
    assert not path.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "onnx"],
        ["--budget", "auto"],
        ["--format", "gtcrn", "--quantize", "int8"],
        ["--format", "gtcrn", "-o", "folder"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(sese: Run, words: list[str]) -> None:
    ran = sese("export", "sese-2", "-o", "m.onnx", *words)
    assert ran.code == 2
    assert ran.err.count("\n") == 1


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(InputError, match="--force"):
        export_gtcrn(Path("sese-2"), tmp_path / "model.onnx", 1)
    assert (tmp_path / "model.onnx").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["fixed:0.06", "fixed:0.33", "fixed:1", "auto", 0.3])
@pytest.mark.parametrize("name", ["sese-2"])
def test_bundled_models_on_recordings(name: str, budget: float | str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_gtcrn(Path(name), path, budget)
    for example in ("dryer", "playground"):
        audio = recording(example)
        audio = np.concatenate([audio, np.zeros(20000, np.float32), audio[:50000]])
        expected = package.load(name, budget=budget).enhance(audio, RATE)
        compare(path, audio, np.asarray(expected))


@pytest.mark.slow
def test_the_program_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It enhances a recording with a file that the command of the page has made."""
    pytest.importorskip("sherpa_onnx")
    page = (ROOT / "docs" / "guides" / "exporting.md").read_text()
    (program,) = re.findall(r'```python title="denoise.py"\n(.*?)```', page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    soundfile.write("talk.wav", recording(), RATE)
    export_gtcrn(Path("sese-2"), Path("sese-2.onnx"), "auto")
    exec(program, {})
    made, rate = soundfile.read("clean.wav", dtype="float32")
    expected = package.load("sese-2", budget="auto").enhance(recording(), RATE)
    assert rate == RATE
    np.testing.assert_allclose(made, expected, atol=EQUAL)
