"""The public surface: what `import sese` offers, its examples, and its types."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sese
from sese.core.errors import InputError

MODULES = ("sese", "sese.runtime.enhancer", "sese.runtime.options", "sese.runtime.stream")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert done.failed == 0
    assert done.attempted > 0


def test_everything_is_there_and_described() -> None:
    for name in sese.__all__:
        assert name in dir(sese)
        if name != "__version__":
            assert inspect.getdoc(getattr(sese, name)), name


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(sese.__file__).with_name("py.typed").exists()


def test_models() -> None:
    names = sese.models()
    assert names[0] == "sese-2"
    assert names[1:] == sorted(names[1:])
    assert "demucs-slim-small" in names


def test_representations(tiny: Path) -> None:
    enhancer = sese.load(tiny, "fixed:0.5", max_rtf=2)
    path = str(tiny / "model.onnx")
    assert repr(enhancer) == f"Enhancer({path!r}, budget='fixed:0.5', max_rtf=2.0)"
    stream = enhancer.stream(48000, 2, mix=0.5)
    stream.budget = 0.25
    words = f"Stream({path!r}, budget=0.25, max_rtf=2.0, mix=0.5, sample_rate=48000, channels=2, "
    assert repr(stream) == f"{words}latency_samples={stream.latency_samples})"
    assert repr(sese.load("sese-2")) == "Enhancer('sese-2', budget=1.0)"


def test_options_of_an_enhancer(tiny: Path) -> None:
    enhancer = sese.load(tiny, options=sese.EnhanceOptions(0.125, mix=0.5))
    assert (enhancer.budget, enhancer.options.mix) == (0.125, 0.5)
    ones = np.ones(4000)
    np.testing.assert_allclose(enhancer.enhance(ones, 16000), 0.625, atol=1e-6)
    np.testing.assert_allclose(enhancer.enhance(ones, 16000, mix=1), 0.25, atol=1e-6)
    assert sese.load(tiny, 0.25, options=enhancer.options).options == sese.EnhanceOptions(0.25, mix=0.5)


def test_stereo_as_soundfile_reads_it(tiny: Path, tmp_path: Path) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (1000, 2)).astype(np.float32)
    enhanced = sese.enhance(audio, 16000, model=tiny, channels_last=True)
    assert enhanced.shape == audio.shape
    np.testing.assert_allclose(enhanced, audio, atol=1e-6)
    soundfile.write(tmp_path / "out.wav", enhanced, 16000)


@pytest.mark.parametrize("shape", [(30, 2), (48000, 2), (6, 1)])
def test_time_first_is_not_taken_for_channels(tiny: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"pass audio\.T, or channels_last=True"):
        sese.enhance(np.zeros(shape), 16000, model=tiny)


def test_channels_that_are_meant(tiny: Path) -> None:
    audio = np.zeros((30, 2))
    assert sese.enhance(audio, 16000, model=tiny, channels_last=False).shape == (30, 2)
    with pytest.raises(InputError, match="90 channels"):
        sese.enhance(np.zeros((90, 2)), 16000, model=tiny, channels_last=False)
    with pytest.raises(InputError, match=r"pass audio\.T"):
        sese.load(tiny).stream(channels=2).feed(np.zeros((100, 2)))


def test_a_file(tiny: Path, noisy: Path, tmp_path: Path) -> None:
    report = sese.enhance_file(noisy, tmp_path / "out.wav", model=tiny, options=sese.EnhanceOptions(0.25))
    assert report.utilization == 0.25
    assert report.seconds == 0.5
    with pytest.raises(sese.InputError, match="exists"):
        sese.enhance_file(noisy, tmp_path / "out.wav", model=tiny)
