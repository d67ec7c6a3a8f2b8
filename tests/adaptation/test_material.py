"""Recordings, voices, segments, teachers and the general set: each on signals whose answer is known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sese.adaptation import guard
from sese.adaptation.adaptation import _identity
from sese.adaptation.config import AdaptConfig
from sese.adaptation.distillation import Adaptation, Material, Progress, segments
from sese.adaptation.recordings import (
    Recording,
    Span,
    part,
    pieces,
    read_recordings,
    several_speakers,
)
from sese.adaptation.teacher import enhance, open_teacher
from sese.adaptation.voice import listen
from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.backbones.local_experts import LocalExpertsConfig

RATE = 16000


def voice(pitch_hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """A vowel that comes and goes, float32 [time]."""
    time = np.arange(round(seconds * rate)) / rate
    sound = sum(np.sin(2 * np.pi * pitch_hz * harmonic * time) / harmonic for harmonic in range(1, 9))
    return (0.05 * sound * (np.sin(2 * np.pi * time) > 0)).astype(np.float32)


@pytest.mark.parametrize("pitch_hz", [90.0, 130.0, 220.0, 330.0])
def test_the_pitch_of_a_vowel_is_found(pitch_hz: float) -> None:
    found = listen(voice(pitch_hz, 4.0), RATE)
    assert found.median_hz == pytest.approx(pitch_hz, rel=0.03)
    assert 0.4 < found.share < 0.6  # half the time nobody speaks


def test_noise_has_no_voice() -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    assert listen(noise, RATE).share < 0.05
    faint = 0.01 * voice(120.0, 4.0)
    assert listen(faint, RATE).share > 0.4
    assert listen(faint, RATE, noisy=noise).share == 0, "what an enhancer left of noise is no voice"
    assert listen(np.zeros(100, np.float32), RATE).share == 0


def test_voices_of_far_pitches_are_warned_of() -> None:
    one = [listen(voice(pitch, 3.0), RATE) for pitch in (110.0, 115.0, 120.0, 125.0)]
    other = [listen(voice(pitch, 3.0), RATE) for pitch in (210.0, 220.0, 230.0)]
    assert several_speakers(one) == ""
    assert "there may be several speakers" in several_speakers(one + other)


def test_recordings_are_read_at_one_rate_and_poor_ones_left_out(tmp_path: Path) -> None:
    stereo = np.stack([voice(120, 3.0, 44100), np.zeros(3 * 44100, np.float32)], axis=1)
    (tmp_path / "deeper").mkdir()
    soundfile.write(tmp_path / "deeper" / "a.flac", stereo, 44100)
    soundfile.write(tmp_path / "b.wav", voice(120, 3.0, 8000), 8000)
    soundfile.write(tmp_path / "short.wav", voice(120, 1.0), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(3 * RATE), RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    found, left_out = read_recordings(tmp_path, RATE, 2.0)
    assert [each.name for each in found] == ["b.wav", "deeper/a.flac"]
    assert [len(each.audio) for each in found] == [3 * RATE, 3 * RATE]
    expected = 0.5 * voice(120, 3.0)  # the mean of both channels
    error = found[1].audio - expected
    assert np.std(error) < 0.1 * np.std(expected)
    assert left_out == [
        "short.wav left out: 1.0 s, shorter than 2 s",
        "silent.wav left out: silent",
    ] or left_out == ["silent.wav left out: silent", "short.wav left out: 1.0 s, shorter than 2 s"]


def test_held_out_pieces_are_never_learnt_from() -> None:
    for count, seconds in ((7, 6), (2, 31), (1, 12)):
        recordings = [Recording(str(n), np.zeros(seconds * RATE, np.float32)) for n in range(count)]
        learn, held = part(recordings, RATE, 0.2, seed=1)
        assert (learn, held) == part(recordings, RATE, 0.2, seed=1)
        spans = sorted([*learn, *held], key=lambda span: (span.recording, span.begin))
        assert sum(span.samples for span in spans) == count * seconds * RATE
        for one, other in pairwise(spans):
            assert one.recording < other.recording or one.end == other.begin
        share = sum(span.samples for span in held) / (count * seconds * RATE)
        assert 0.15 < share < 0.45


def test_pieces_cover_recordings() -> None:
    recordings = [Recording("a", np.zeros(int(23.5 * RATE), np.float32))]
    assert [span.samples / RATE for span in pieces(recordings, RATE)] == [10.0, 13.5]


def test_segments_leave_pauses_out() -> None:
    target = torch.cat([torch.zeros(1000), torch.ones(1000), torch.zeros(1000)])
    found = segments([target], [Span(0, 0, 3000)], 500, 250, mean_power=1 / 3)
    assert found == [(0, begin) for begin in (750, 1000, 1250, 1500, 1750)]
    assert segments([target], [Span(0, 0, 400)], 500, 250, mean_power=1 / 3) == []


def test_recordings_without_a_loud_segment_cannot_be_adapted_to(tmp_path: Path) -> None:
    model = LocalExpertsConfig(hidden=4).build()
    silence = torch.zeros(4 * RATE)
    spans = [Span(0, 0, 2 * RATE)], [Span(0, 2 * RATE, 4 * RATE)]
    with pytest.raises(InputError, match="with speech in it to learn from"):
        Adaptation(model, [0], Material([silence], [[silence]], *spans), AdaptConfig(), tmp_path, "")


def made(folder: Path, **settings: Any) -> Adaptation:
    """A student that is to learn to be half as loud, from 8 s of a vowel in noise."""
    torch.manual_seed(0)
    clean = torch.from_numpy(voice(150, 8.0))
    noisy = clean + 0.02 * torch.randn(8 * RATE, generator=torch.Generator().manual_seed(1))
    config = AdaptConfig(
        steps=6, validate_steps=3, batch_size=2, segment_seconds=0.5, precision="32-true", **settings
    )
    spans = [Span(0, 0, 6 * RATE)], [Span(0, 6 * RATE, 8 * RATE)]
    model = LocalExpertsConfig(hidden=4).build()
    return Adaptation(model, [0], Material([noisy], [[0.5 * clean]], *spans), config, folder, "this")


def test_an_adaptation_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole")
    whole.run(lambda now: None)

    def stop(now: Progress) -> None:
        if now.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "halves").run(stop)
    half = made(tmp_path / "halves")
    half.resume()
    assert half.progress.step == 3
    half.run(lambda now: None)
    assert half.progress.history == whole.progress.history
    assert half.progress.end == whole.progress.end == "all steps done"
    for name, value in whole.student.state_dict().items():
        assert torch.equal(value, half.student.state_dict()[name])
    (tmp_path / "halves" / "last.ckpt").write_bytes(b"cut")
    with pytest.raises(InputError, match="is damaged"):
        made(tmp_path / "halves").resume()


def test_time_and_patience_end_an_adaptation(tmp_path: Path) -> None:
    late = made(tmp_path / "late").run(lambda now: None, max_minutes=1e-6)
    assert (late.end, late.step) == ("time was up", 1)
    idle = made(tmp_path / "idle", learning_rate=1e-12, patience=1).run(lambda now: None)
    assert idle.end == "no more gain on the held-out recordings"
    assert idle.step == 3


def test_an_expert_learns_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LocalExpertsConfig(hidden=4, experts=2, gate_hidden=4).build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clip = [torch.from_numpy(voice(150, 4.0))]
    spans = [Span(0, 0, 3 * RATE)], [Span(0, 3 * RATE, 4 * RATE)]
    config = AdaptConfig(steps=2, segment_seconds=0.5, batch_size=2, precision="32-true")
    Adaptation(model, [1], Material(clip, [clip, clip], *spans), config, tmp_path, "").run(lambda now: None)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed
    assert all(name.startswith("backbone.experts.1.") for name in changed), changed


def test_teachers_are_aligned_at_any_rate(tiny: Path) -> None:
    """The tiny model hands its input through, late by its lookahead."""
    teacher = open_teacher(str(tiny), LocalExpertsConfig(hidden=4).build())
    for rate in (16000, 24000, 48000):
        audio = voice(200, 1.0, rate)
        made = teacher.run(audio, rate)
        assert made.shape == audio.shape
        inner = slice(rate // 10, -rate // 10)
        assert np.std((made - audio)[inner]) < 0.02 * np.std(audio)


def test_a_teacher_of_experts_lets_its_gate_pick(tmp_path: Path) -> None:
    config = LocalExpertsConfig(hidden=4, experts=2, gate_hidden=4)
    model = config.build().eval()
    with torch.no_grad():
        model.policy.logits.weight.zero_()
        model.policy.logits.bias.copy_(torch.tensor([1.0, 0.0]))
    checkpoint.save(tmp_path, "local_experts", config, model.state_dict())
    audio = voice(150, 1.0)
    heard = open_teacher(str(tmp_path), model).run(audio, RATE)
    np.testing.assert_allclose(heard, enhance(model, audio, {"expert": 1}), atol=1e-6)


def test_a_teacher_of_other_weights_is_another_adaptation(tmp_path: Path) -> None:
    config, identities = LocalExpertsConfig(hidden=4), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        network = config.build()
        checkpoint.save(tmp_path / "net", "local_experts", config, network.state_dict())
        if not identities:
            checkpoint.save(tmp_path / "student", "local_experts", config, network.state_dict())
        teacher = open_teacher(str(tmp_path / "net"), network)
        identities.append(_identity(tmp_path / "student", [], teacher, [0], AdaptConfig()))
    assert identities[0] == identities[1] != identities[2]


def test_a_network_runs_over_long_signals_as_over_whole_ones() -> None:
    torch.manual_seed(0)
    model = LocalExpertsConfig(hidden=8).build().eval()
    audio = voice(150, 3.1)
    with torch.no_grad():
        whole = model.enhance_clip(torch.from_numpy(audio).view(1, 1, -1)).view(-1).numpy()
    parts = enhance(model, audio, {"expert": 1}, minutes=0.5 / 60)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_the_general_set_has_the_snrs_it_says() -> None:
    for rate in (RATE, 48000):
        pairs = guard.general_set(rate)
        assert pairs.noisy.shape == pairs.clean.shape == (guard.CLIPS, 4 * rate)
        noise = pairs.noisy - pairs.clean
        snr = 10 * torch.log10(pairs.clean.square().sum(1) / noise.square().sum(1))
        np.testing.assert_allclose(snr.numpy(), np.resize(guard.SNR_DB, guard.CLIPS), atol=0.01)
        assert pairs.noisy.abs().max() <= 0.991


def test_the_guard_names_the_levels_that_lose() -> None:
    before = torch.tensor([[5.0, 7.0], [8.0, 8.0]])
    rows = guard.compare(before, before + torch.tensor([[-1.5, -0.7], [-0.5, 0.1]]))
    assert [row["level"] for row in guard.harmed(rows, 1.0)] == [0]
    assert guard.harmed(rows, 1.2) == []
    broken = guard.compare(before, before * float("nan"))
    assert [row["level"] for row in guard.harmed(broken, 1000.0)] == [0, 1]


def test_weights_on_the_way_back() -> None:
    original = {"weight": torch.zeros(2), "count": torch.tensor(1)}
    adapted = {"weight": torch.ones(2), "count": torch.tensor(3)}
    made = guard.between(original, adapted, 0.25)
    assert made["weight"].tolist() == [0.25, 0.25]
    assert made["count"] == 3
