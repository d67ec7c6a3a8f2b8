"""A mean that the router holds: soon, and for as long as the signal lasts, whatever it is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.runtime.artefact import Artefact, bundled_models, open_artefact
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import Pilot

ROOT = Path(__file__).parents[2]
RATE = 16000
SETTLED_SECONDS = 2


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small network with a router, with random weights."""
    import torch

    from sese.export.folder import export_folder
    from sese.nn import checkpoint
    from sese.nn.backbones.demucs import DemucsConfig

    config = DemucsConfig(
        channels=4, depth=4, oversampling=1, factors=(0.25, 0.5, 1.0), groups=2, layers=1, router_channels=4
    )
    torch.manual_seed(0)
    trained, exported = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("models") / "routed"
    checkpoint.save(trained, "demucs", config, config.build().state_dict())
    export_folder(trained, exported)
    return exported


def model(name: str, request: pytest.FixtureRequest) -> Artefact:
    """The untrained model, or a bundled one; skips those without a router, which gates are not."""
    opened = open_artefact(request.getfixturevalue("untrained") if name == "untrained" else name)
    if not opened.card.router or opened.card.gates:
        pytest.skip(f"{name} has no router")
    return opened


def mean_of(artefact: Artefact, target: float) -> float | str:
    """The budget that keeps a mean: a number where a model rests, else one that the router is to hold."""
    return target if artefact.card.rests else f"held:{target}"


def speech() -> np.ndarray:
    """``[1, time]``, 32 s: speech that is easy, then hard, then easy again."""
    parts = []
    for name, gains in (("playground", (0.05, 4.0)), ("dryer", (4.0, 0.05))):
        clean, _ = soundfile.read(ROOT / "tests" / "pretrained" / f"{name}_clean.flac", dtype="float32")
        noisy, _ = soundfile.read(ROOT / "examples" / f"{name}.wav", dtype="float32")
        parts += [clean + gain * (noisy - clean) for gain in gains]
    audio = np.concatenate(parts)[None]
    return (audio / max(1.0, float(np.abs(audio).max()))).astype(np.float32)


def levels_of(artefact: Artefact) -> set[np.float32]:
    """Return the shares that a frame may use: those of the levels, and 0 where a model rests."""
    levels = {np.float32(level.utilization) for level in artefact.card.levels}
    return levels | {np.float32(0)} if artefact.card.rests else levels


def frames_of(artefact: Artefact, audio: np.ndarray) -> np.ndarray:
    return audio[:, : audio.shape[1] // artefact.card.hop_length * artefact.card.hop_length]


@pytest.mark.parametrize("target", [0.3, 0.5])
@pytest.mark.parametrize("name", ["untrained", *bundled_models()])
def test_held(name: str, target: float, request: pytest.FixtureRequest) -> None:
    artefact = model(name, request)
    if artefact.card.levels[0].utilization >= target:
        pytest.skip(f"{name} has nothing below {target}")
    pilot = Pilot(artefact, 1, EnhanceOptions(mean_of(artefact, target)))
    pilot(frames_of(artefact, speech()))
    mean = np.cumsum(pilot.trace) / np.arange(1, len(pilot.trace) + 1)
    settled = mean[SETTLED_SECONDS * RATE // artefact.card.hop_length :]
    assert len(settled) * artefact.card.hop_length / RATE > 29
    if artefact.card.rests:  # a dial stays within, and does not use up what the rests leave
        assert settled.max() < 1.05 * target
    else:
        assert np.abs(settled / target - 1).max() < 0.05
    assert set(pilot.trace) <= levels_of(artefact)


@pytest.mark.parametrize("name", ["untrained", *bundled_models()])
def test_chunks_change_nothing(name: str, request: pytest.FixtureRequest) -> None:
    artefact = model(name, request)
    audio = frames_of(artefact, speech()[:, 6 * RATE : 10 * RATE])
    whole, parts = (Pilot(artefact, 1, EnhanceOptions(mean_of(artefact, 0.5))) for _ in range(2))
    hop = artefact.card.hop_length
    expected = whole(audio)
    sizes = [1, 1, 2, 5, 100] * 10
    cuts = np.minimum(np.cumsum([0, *sizes]) * hop, audio.shape[1])
    pieces = np.concatenate([parts(audio[:, a:b]) for a, b in pairwise(cuts)], axis=1)
    np.testing.assert_array_equal(parts.trace, whole.trace)
    np.testing.assert_allclose(pieces, expected, atol=1e-4)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("name", ["untrained", *bundled_models()])
def test_never_above_the_ceiling(name: str, free: bool, request: pytest.FixtureRequest) -> None:
    artefact = model(name, request)
    levels = artefact.card.levels
    budget = "auto" if free else mean_of(artefact, 0.5)
    pilot = Pilot(artefact, 1, EnhanceOptions(budget, levels[1].macs_per_second / 1e6))
    pilot(frames_of(artefact, speech()[:, : 10 * RATE]))
    assert pilot.trace.max() <= levels[1].utilization


@pytest.mark.parametrize("name", ["untrained", *bundled_models()])
def test_one_decision_for_all_channels(name: str, request: pytest.FixtureRequest) -> None:
    artefact = model(name, request)
    audio = frames_of(artefact, speech()[:, : 4 * RATE])
    pilot = Pilot(artefact, 2, EnhanceOptions(mean_of(artefact, 0.5)))
    enhanced = pilot(np.concatenate([audio, audio]))
    np.testing.assert_allclose(enhanced[0], enhanced[1], atol=1e-5)
    assert set(pilot.trace) <= levels_of(artefact)
