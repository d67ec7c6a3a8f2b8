"""Conversations: turns and pauses in the share asked for, silence where there is to be none."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from data.tiny import RATE, sound, write
from sese.core.errors import InputError
from sese.data.bank import Bank, load_bank
from sese.data.conversations import Conversations
from sese.data.corpora import scan
from sese.data.mixing import MixConfig, Mixer

TALK = replace(MixConfig(seconds=12.0, snr_db=(10.0, 10.0)).without_augmentation(), conversation=1.0)
FADE = 80  # samples, 5 ms


@pytest.fixture(scope="module")
def talkers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, Bank]:
    """Speech of three talkers with silence around it and recordings of 0.4 to 20 s, and noise."""
    root = tmp_path_factory.mktemp("talkers")
    rng = np.random.default_rng(0)
    for talker, lengths in (("ann", (20.0, 2.0)), ("bob", (4.0, 7.0)), ("cy", (0.4, 0.5, 0.3))):
        for number, seconds in enumerate(lengths):
            speech = sound(seconds, int(rng.integers(1000)))
            speech *= np.repeat(rng.choice([1.0, 0.01], -(-len(speech) // 3200), p=[0.8, 0.2]), 3200)[
                : len(speech)
            ]
            speech[:400] = speech[-400:] = 0.1  # begins and ends with what is loud
            silence = np.zeros(4000)
            path = root / f"clean/src/{talker}/u{number}.wav"
            write(path, np.concatenate([silence, 0.1 ** rng.integers(0, 2) * speech, silence]))
    write(root / "noise/hum/long.wav", sound(15.0, 1))
    found, cache = scan(root), tmp_path_factory.mktemp("cache")
    return load_bank(found.speech, RATE, cache), load_bank(found.noise, RATE, cache)


def inside(spec, time: int) -> np.ndarray:
    """Which samples lie in turns."""
    where = np.zeros(time, bool)
    for turn in spec.turns:
        where[max(turn.begin, 0) : turn.end] = True
    return where


@pytest.mark.parametrize("activity", [0.2, 0.4, 0.7])
def test_the_share_of_speech_is_that_asked_for(talkers, activity: float):
    mixer = Mixer(replace(TALK, activity=activity), *talkers, seed=1)
    shares = [inside(mixer.sampler(i), TALK.time).mean() for i in range(200)]
    assert np.mean(shares) == pytest.approx(activity, abs=0.04)


def test_turns_take_turns_with_pauses_of_one_to_ten_seconds(talkers):
    speech = talkers[0]
    mixer = Mixer(replace(TALK, seconds=60.0), *talkers, seed=2)
    counts = set()
    for spec in map(mixer.sampler, range(60)):
        speakers = [speech.groups[[piece.recording for piece in turn.pieces]] for turn in spec.turns]
        assert all(len(set(each)) == 1 for each in speakers)
        first = [int(each[0]) for each in speakers]
        counts.add(len(set(first)))
        if len(set(first)) == 2:
            assert all(a != b for a, b in pairwise(first))
        assert all(RATE <= later.begin - turn.end <= 10 * RATE for turn, later in pairwise(spec.turns))
        for turn in spec.turns:
            for piece, later in pairwise(turn.pieces):
                assert 0.1 * RATE <= later.begin - piece.begin - piece.length <= 0.6 * RATE
    assert counts == {1, 2}


def test_there_is_speech_in_turns_alone_and_it_begins_and_ends_them(talkers):
    mixer = Mixer(TALK, *talkers, seed=3)
    clean = mixer(range(24)).clean[:, 0].numpy()
    for row, audio in enumerate(clean):
        spec = mixer.sampler(row)
        assert spec.turns  # 12 s are longer than any pause
        assert not audio[~inside(spec, TALK.time)].any()
        for turn in spec.turns:
            whole = np.square(audio[max(turn.begin, 0) : turn.end]).mean()
            edges = [slice(turn.begin, turn.begin + 320)] if turn.begin >= 0 else []
            edges += [slice(turn.end - 320, turn.end)] if turn.end <= TALK.time else []
            for edge in edges:
                assert np.square(audio[edge]).mean() > 1e-4 * whole


def test_talkers_differ_by_up_to_twenty_decibels(talkers):
    config = replace(TALK, seconds=20.0, level_dbfs=(-30.0, -30.0))
    mixer = Mixer(config, *talkers, seed=4)
    differences = []
    for row, audio in enumerate(mixer(range(20)).clean[:, 0].numpy()):
        levels: dict[int, list[float]] = {}
        for turn in mixer.sampler(row).turns:
            piece = turn.pieces[0]
            if turn.begin >= 0 and turn.end <= config.time and piece.length > 0.5 * RATE:
                frames = audio[piece.begin :][: piece.length // 320 * 320].reshape(-1, 320)
                level = 10 * np.log10(np.square(frames).mean(1).max())
                levels.setdefault(int(talkers[0].groups[piece.recording]), []).append(level)
        for each in levels.values():
            assert np.ptp(each) < 4  # of one talker, whatever the recordings' levels are
        if len(levels) == 2:
            one, other = (np.mean(each) for each in levels.values())
            differences.append(abs(one - other))
    assert len(differences) > 5
    assert max(differences) < 23
    assert max(differences) > 10


def test_noise_is_silent_in_its_stretch_and_there_else(talkers):
    mixer = Mixer(TALK, *talkers, seed=5)
    mixture = mixer(range(60))
    noise = (mixture.noisy - mixture.clean)[:, 0].numpy()
    without_noise = [mixer.sampler(row).no_noise for row in range(60)]
    assert 10 <= sum(each is not None for each in without_noise) <= 30
    for row, part in enumerate(without_noise):
        there = np.ones(TALK.time, bool)
        if part is not None:
            first, length = part
            assert length == TALK.time // 2
            assert 0 <= first <= TALK.time - length
            assert np.abs(noise[row, first : first + length]).max() < 1e-6
            there[max(first - FADE, 0) : first + length + FADE] = False
        frames = noise[row][: TALK.time // 320 * 320].reshape(-1, 320)
        power = np.square(frames).mean(1)[there[: len(frames) * 320].reshape(-1, 320).all(1)]
        assert power.min() > 0.2 * power.mean()
        # The SNR is that of active speech over the part with noise.
        assert mixture.snr_db[row] <= 10.01


def test_seeds_repeat_and_differ(talkers):
    one, same, other = (Mixer(TALK, *talkers, seed=seed) for seed in (6, 6, 7))
    assert [one.sampler(i) for i in range(8)] == [same.sampler(i) for i in range(8)]
    assert one.sampler(3) != other.sampler(3)
    whole = one(range(4))
    for i in range(4):
        torch.testing.assert_close(same([i]).noisy[0], whole.noisy[i], atol=1e-6, rtol=0)


def test_a_short_clip_has_the_first_part_of_a_long_one(talkers):
    short, long = (Mixer(replace(TALK, seconds=seconds), *talkers, seed=8).sampler for seconds in (4.0, 12.0))
    silent = 0
    for i in range(40):
        time = 4 * RATE
        np.testing.assert_array_equal(inside(short(i), time), inside(long(i), 12 * RATE)[:time])
        silent += not short(i).turns
    assert 0 < silent < 30


def test_a_conversation_leaves_the_speech_without_it_alone(talkers):
    mixed = Mixer(replace(TALK, seconds=2.0, conversation=0.5), *talkers, seed=9)
    without = Mixer(replace(TALK, seconds=2.0, conversation=0.0), *talkers, seed=9)
    a, b = mixed(range(16)), without(range(16))
    same = [row for row in range(16) if mixed.sampler(row).turns is None]
    assert 2 < len(same) < 14
    for before, after in zip(b[:2], a[:2], strict=True):
        torch.testing.assert_close(after[same], before[same], rtol=0, atol=0)


def test_recordings_of_silence_and_of_less_than_a_frame_do_no_harm(tmp_path: Path, talkers):
    write(tmp_path / "clean/src/ann/silent.wav", np.zeros(RATE))
    write(tmp_path / "clean/src/bob/tick.wav", sound(0.015, 3))
    bank = load_bank(scan(tmp_path).speech, RATE, tmp_path / "cache")
    mixture = Mixer(TALK, bank, talkers[1], seed=1)(range(6))
    assert all(torch.isfinite(side).all() for side in mixture[:2])


@pytest.mark.parametrize("activity", [0.0, 0.95, float("nan")])
def test_a_share_out_of_range_is_told(activity: float):
    with pytest.raises(InputError, match="mix activity: got"):
        MixConfig(activity=activity)


def test_a_long_recording_is_cut_where_it_is_quiet(talkers):
    speech = talkers[0]
    draw = Conversations(speech, Mixer(TALK, *talkers, seed=0).sampler.speech_sampler, 0.4)
    longest = int(np.argmax(speech.lengths))
    for where in (0.0, 0.3, 0.999):
        first, length = draw.cut(longest, 2 * RATE, where)
        assert length == pytest.approx(2 * RATE, abs=0.9 * RATE)
        assert first >= 4000 - 320
        assert first + length <= speech.lengths[longest]
