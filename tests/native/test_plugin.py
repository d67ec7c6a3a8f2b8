"""The LADSPA plugin: as the library, at a fixed delay, without allocation or locks in the audio callback."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from native.building import run
from native.test_library import opened
from runtime.tiny_model import GAINS, metadata, write_model
from sese import EnhanceOptions
from sese.runtime.artefact import find_model
from sese.runtime.stream import Stream

RATE = 16000
TINY_LATENCY = metadata()["latency_samples"]


@dataclass(frozen=True)
class Plugin:
    """The built plugin, in a small host of the tests."""

    built: Path
    folder: Path

    @property
    def path(self) -> Path:
        """File of the plugin."""
        return self.built / "native" / "ladspa" / "sese_ladspa.so"

    def __call__(
        self,
        audio: np.ndarray,
        model: Path,
        block: int,
        *words: str,
        under: tuple[str, ...] = (),
        rate: int = RATE,
    ) -> tuple[np.ndarray, dict[str, int]]:
        """Return what the plugin makes of ``[channel, time]``, and what it and the guard counted."""
        audio.T.tofile(self.folder / "in.f32")
        label = "sese" if len(audio) == 1 else "sese_stereo"
        command = [
            *under,
            self.built / "host",
            self.path,
            label,
            str(rate),
            str(block),
            self.folder / "in.f32",
        ]
        said = run([*command, self.folder / "out.f32", *words], SESE_MODEL=str(model))
        made = np.fromfile(self.folder / "out.f32", np.float32).reshape(-1, len(audio)).T
        assert made.shape == audio.shape
        return made, {name: int(value) for name, value in re.findall(r"(\w+) (-?\d+)\n", said)}


@pytest.fixture
def plugin(built: Path, tmp_path: Path) -> Plugin:
    if not (built / "host").exists():
        pytest.skip("ladspa-sdk is not installed")
    return Plugin(built, tmp_path)


@pytest.fixture
def model(tiny: Path) -> Path:
    """Model whose output is its input times the gain of the level."""
    return tiny / "model.onnx"


def noise(count: int, channels: int = 1) -> np.ndarray:
    """Return noise ``[channel, time]``."""
    return (0.1 * np.random.default_rng(0).standard_normal((channels, count))).astype(np.float32)


def delayed(audio: np.ndarray, latency: int) -> np.ndarray:
    """Return the audio as it is after a delay, as long as before."""
    return np.pad(audio, ((0, 0), (latency, 0)))[:, : audio.shape[1]]


@pytest.mark.parametrize(
    ("rate", "channels", "block", "controls", "options"),
    [
        (16000, 1, 512, "Budget=1", {"budget": 1.0}),
        (48000, 2, 1024, "Budget=0", {"budget": "auto"}),
        (
            44100,
            1,
            333,
            "Budget=0.4 Mix=0.7 Maximum=12",
            {"budget": 0.4, "mix": 0.7, "max_attenuation_db": 12},
        ),
        (48000, 1, 6000, "Budget=0.01", {"budget": "fastest"}),
    ],
)
def test_as_python(
    plugin: Plugin, speech: np.ndarray, rate: int, channels: int, block: int, controls: str, options: dict
) -> None:
    audio = np.ascontiguousarray(speech[:channels, :24000])
    made, said = plugin(audio, find_model("sese-2"), block, "Wait=1", *controls.split(), rate=rate)
    stream = Stream(opened("sese-2").artefact, EnhanceOptions(**options), rate, channels)
    expected = stream.feed(audio)[:, : audio.shape[1] - said["latency"]]
    assert said["latency"] == stream.latency_samples
    assert said["Underruns"] == 0
    np.testing.assert_allclose(made[:, said["latency"] :], expected, rtol=0, atol=5e-5)
    assert not made[:, : said["latency"]].any()


def test_the_callback_allocates_and_locks_nothing(plugin: Plugin, model: Path) -> None:
    """In real time it does not wait either. A preloaded guard counts what the callback's thread calls."""
    guarded = ("env", f"LD_PRELOAD={plugin.built / 'libguard.so'}")
    counts = ("guard_allocations", "guard_locks", "guard_waits")
    for words, each in [((), (0, 0, 0)), (("Budget=0.5", "Bypass=1"), (0, 0, 0)), (("spoil=1",), (2, 1, 0))]:
        _, said = plugin(noise(20000), model, 500, *words, under=guarded)
        assert tuple(said[name] for name in counts) == tuple(40 * count for count in each), words
    _, said = plugin(noise(20000), model, 500, "Wait=1", under=guarded)
    assert (said["guard_allocations"], said["guard_locks"]) == (0, 0)
    assert said["guard_waits"] > 0


def test_the_delay_holds_while_the_model_is_late(plugin: Plugin, model: Path) -> None:
    """In a host that runs ahead, what is not ready in time is the delayed input, and nothing shifts."""
    audio, block = noise(64000), 200
    made, said = plugin(audio, model, block, "Budget=0.125", "wait_from=200")
    buffer = RATE * 30 // 1000
    assert said["latency"] == TINY_LATENCY + buffer
    assert said["Underruns"] > 0
    past = delayed(audio, said["latency"])
    heard = np.abs(past) > 0.01
    share = made[heard] / past[heard]
    assert share.min() > GAINS[0] - 1e-4  # enhanced
    assert share.max() < 1 + 1e-4  # or as it came, or on the way from one to the other
    settled = slice(200 * block + 4000, None)  # since it waits
    np.testing.assert_allclose(made[:, settled], GAINS[0] * past[:, settled], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("buffer", "block", "expected"), [(30, 64, 480), (50, 64, 800), (30, 1024, 1104)])
def test_the_delay_is_stated(plugin: Plugin, model: Path, buffer: int, block: int, expected: int) -> None:
    """It is the model's and the buffer's, which is longer than a block; bypass keeps it."""
    audio = noise(20000)
    made, said = plugin(audio, model, block, f"Buffer={buffer}", "Bypass=1")
    assert said["latency"] == TINY_LATENCY + expected
    np.testing.assert_array_equal(made, delayed(audio, said["latency"]))


def test_the_delay_grows_with_the_callbacks(plugin: Plugin, model: Path) -> None:
    """A host may change the length of callbacks; one that is longer than the buffer extends it."""
    audio = noise(20000)
    made, said = plugin(audio, model, 200, "Bypass=1", "then=2000")
    assert said["latency"] == TINY_LATENCY + 2000 + RATE * 5 // 1000
    np.testing.assert_array_equal(made[:, :10000], delayed(audio, TINY_LATENCY + 480)[:, :10000])
    np.testing.assert_array_equal(made[:, 10000:], delayed(audio, said["latency"])[:, 10000:])
    assert said["Underruns"] > 0


def test_after_a_failure_the_model_starts_again(plugin: Plugin, model: Path) -> None:
    """Samples that make the model fail are played as they came, and what follows is enhanced."""
    audio = noise(20000)
    audio[0, 5000] = 1e30
    audio[0, 3000] = np.nan  # is silence
    made, said = plugin(audio, model, 250, "Budget=0.125", "Wait=1")
    past = delayed(np.nan_to_num(audio), TINY_LATENCY)
    assert said["Underruns"] > 0
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[:, :4800], GAINS[0] * past[:, :4800], rtol=0, atol=1e-6)
    assert made[0, 5000 + TINY_LATENCY] == np.float32(1e30)
    np.testing.assert_allclose(made[:, 6000:], GAINS[0] * past[:, 6000:], rtol=0, atol=1e-6)


def test_in_applyplugin(plugin: Plugin, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of LADSPA's own kit gives the file that the library gives, in 16 bits."""
    if shutil.which("applyplugin") is None:
        pytest.skip("ladspa-sdk is not installed")
    monkeypatch.setenv("SESE_MODEL", str(find_model("sese-2")))
    soundfile.write(plugin.folder / "in.wav", speech[0], RATE, subtype="PCM_16")
    heard, _ = soundfile.read(plugin.folder / "in.wav", dtype="float32")
    controls = ["0.33", "1", "100", "0", "30", "1"]  # budget, mix, attenuation, bypass, buffer, wait
    run(["applyplugin", plugin.folder / "in.wav", plugin.folder / "out.wav", plugin.path, "sese", *controls])
    written, _ = soundfile.read(plugin.folder / "out.wav", dtype="float32")
    expected = opened("sese-2").stream(RATE, budget=0.33).feed(heard)
    assert len(written) == len(heard)
    assert not written[:512].any()
    np.testing.assert_allclose(
        written[512:][: len(expected)], expected[: len(heard) - 512], rtol=0, atol=1.5 / 32768
    )


def test_what_hosts_are_told(plugin: Plugin) -> None:
    if shutil.which("analyseplugin") is None:
        pytest.skip("ladspa-sdk is not installed")
    said = run(["analyseplugin", plugin.path])
    assert 'Plugin Label: "sese"' in said
    assert 'Plugin Label: "sese_stereo"' in said
    assert said.count("Has activate() Function: Yes") == 2
    for port in (
        "Budget (0: automatic)",
        "Mix",
        "Maximum attenuation (dB)",
        "Bypass",
        "Buffer (ms)",
        "latency",
    ):
        assert said.count(f'"{port}"') == 2, said


def test_memory(plugin: Plugin, tmp_path: Path) -> None:
    """Valgrind finds no error and no leak in the library and the plugin."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    model = write_model(tmp_path / "router" / "model.onnx", facts=metadata(router=True))
    suppressed = Path(__file__).parent / "valgrind.supp"
    checks = ("--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect")
    under = ("valgrind", "-q", *checks, f"--suppressions={suppressed}")
    audio = noise(12000, channels=2)
    audio[0, 3000] = 1e30  # the model fails and starts again
    _, said = plugin(audio, model, 480, "Wait=1", "Budget=0", under=under, rate=48000)
    assert said["Underruns"] > 0
