"""Speaker embeddings, groups, mixtures of experts gated by them, and who picks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from adaptation.conftest import RATE, voice
from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.nn import checkpoint
from sese.speakers import assembly, autoencoder, groups
from sese.speakers.autoencoder import AutoencoderConfig, SpeechAutoencoder
from sese.speakers.clips import SpeakerDataConfig, speaker_clips, spoken
from sese.speakers.embedding import SpeakerNet, SpeakerNetConfig, pair_loss
from sese.speakers.verification import equal_error_rate
from sese.training.methods.experts import read_classes
from speakers.networks import generalist, net


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sese"


def test_clips_come_in_pairs_of_one_known_speaker(corpus: Path, cache: Path) -> None:
    banks = SpeakerDataConfig(train=(str(corpus),), cache_dir=str(cache)).banks(RATE)
    assert "unknown" not in banks.speech.group_names
    mix = MixConfig(seconds=1.0, silence=1.0, conversation=1.0)  # which have no place here
    parts = [speaker_clips(banks, mix, RATE, 3, part, 0.3) for part in ("train", "held_out")]
    speakers = [set(part.speech.group_names) for part in parts]
    assert speakers[0] | speakers[1] == {f"s{number}" for number in range(10)}
    assert not speakers[0] & speakers[1]
    assert len(speakers[1]) == 3
    mixture, who = parts[0](range(40))
    assert mixture.clean.abs().amax((1, 2)).min() > 0
    assert torch.equal(who[0::2], who[1::2])
    assert len(set(who.tolist())) > 3
    heard = [frozenset(path.parent.name for path in _paths(parts[0], number)) for number in range(40)]
    assert all(len(names) == 1 for names in heard)
    assert [next(iter(names)) for names in heard] == [parts[0].speech.group_names[one] for one in who]
    again, _ = parts[0]([7])
    assert torch.equal(again.noisy[0], mixture.noisy[7])


def _paths(clips, number: int) -> list[Path]:
    return [clips.speech.paths[recording] for recording in clips.recordings(number)]


def test_pairs_of_one_speaker_weigh_half() -> None:
    together, apart = torch.tensor([[2.0, 0.0]] * 2), torch.tensor([[0.0, 3.0]] * 3)
    embeddings = torch.cat([together, apart])
    speakers = torch.tensor([0, 0, 1, 1, 1])
    # One pair has the product 4, three have 9, and six of two speakers have 0.
    of_one = np.mean(np.log1p(np.exp([-4.0, -9.0, -9.0, -9.0])))
    assert pair_loss(embeddings, speakers).item() == pytest.approx(0.5 * of_one + 0.5 * np.log(2), abs=1e-6)


def test_equal_error_rate() -> None:
    assert equal_error_rate([0.9, 0.8, 0.2, 0.1], [True, True, False, False]) == 0.0
    assert equal_error_rate([0.1, 0.2, 0.8, 0.9], [True, True, False, False]) == 1.0
    assert equal_error_rate([1.0] * 4, [True, True, False, False]) == pytest.approx(0.5)
    # Two of ten of each kind lie on the wrong side.
    same = [True] * 10 + [False] * 10
    scores = [*range(10, 18), 1, 2, *range(-8, 0), 8, 9]
    assert equal_error_rate(scores, same) == pytest.approx(0.2)
    assert equal_error_rate([3, 2, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1]) == 0.0
    assert np.isnan(equal_error_rate([1.0, 2.0], [True, True]))


def test_recordings_of_any_length_embed_as_they_do_alone(corpus: Path, cache: Path) -> None:
    bank = spoken([corpus], RATE, str(cache))
    bank = type(bank)(**{**bank.__dict__, "lengths": bank.lengths - 1700 * np.arange(len(bank))})
    network = net()
    made = groups.utterance_embeddings(network, bank)
    short = bank.lengths < groups.SHORTEST_S * RATE
    assert short.any()
    assert np.isnan(made[short]).all()
    for recording in (0, 3, 11):
        with torch.no_grad():
            alone = network(torch.from_numpy(bank.audio(recording))[None])[0].numpy()
        np.testing.assert_allclose(made[recording], alone, atol=1e-5)


def test_k_means_finds_what_lies_together(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    middles = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 6.0]])
    of = {f"p{n:02}": n % 7 % 3 for n in range(30)}
    points = {name: middles[at] + 0.3 * generator.standard_normal(2) for name, at in of.items()}
    found = groups.group(points, 3)
    assert len({(of[name], found.members[name]) for name in of}) == 3
    sizes = np.bincount(list(found.members.values()))
    assert list(sizes) == sorted(sizes, reverse=True)
    again = groups.group(dict(reversed(points.items())), 3)
    assert again.members == found.members
    table, centres = groups.save(tmp_path, found)
    with table.open(newline="") as file:
        assert next(csv.reader(file)) == ["speaker", "class"]
    assert read_classes(table) == {name: str(number) for name, number in found.members.items()}
    held = groups.load(centres)
    np.testing.assert_array_equal(held.nearest(np.stack(list(points.values()))), list(found.members.values()))
    # As many groups as there are different points: each holds one.
    every = groups.group({str(n): np.array([float(n)]) for n in range(4)}, 4)
    assert sorted(every.members.values()) == [0, 1, 2, 3]
    with pytest.raises(InputError, match="have embeddings that differ"):
        groups.group({str(n): np.zeros(2) for n in range(5)}, 2)
    for count in (1, 31):
        with pytest.raises(InputError, match="give 2 or more, and no more than speakers"):
            groups.group(points, count)


def test_the_gate_is_the_embedding(tmp_path: Path) -> None:
    """The logits of a mixture's gate are those of the nearest centre, and every expert is the generalist."""
    network, (config, weights) = net(), generalist()
    centres = np.random.default_rng(0).standard_normal((3, 8)) * 0.1
    found = groups.Groups(centres, {"a": 0, "b": 1, "c": 2})
    checkpoint.save(tmp_path / "generalist", "local_experts", config, weights)
    made = assembly.write(tmp_path / "generalist", network, found, tmp_path / "mixture")
    assert (made.experts, made.gate_hidden, made.gate_bands) == (3, 8, 32)
    model = checkpoint.load(tmp_path / "mixture")
    audio = torch.from_numpy(np.stack([voice(n, 0, 1.0) for n in range(4)]))
    with torch.no_grad():
        states = network.frames(audio)
        scores = model.score(audio[:, None])[:, : states.shape[1]]
        first = states[:, 0].numpy()
        alone = checkpoint.load(tmp_path / "generalist").enhance_clip(audio[:, None])
        for level in range(3):
            torch.testing.assert_close(model.enhance_clip(audio[:, None], {"expert": level + 1}), alone)
    distances = np.square(first[:, None] - centres[None]).sum(2)
    expected = np.square(first).sum(1, keepdims=True) - distances
    np.testing.assert_allclose(scores[:, 0].numpy(), expected, atol=1e-4)
    # The running mean forgets by a time constant of 10 s; over a second it is nearly the mean.
    means = states.numpy().mean(1)
    np.testing.assert_array_equal(scores[:, -1].argmax(1).numpy(), found.nearest(means))
    kept = (tmp_path / "generalist" / checkpoint.WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="generalist exists and is not an empty folder"):
        assembly.write(tmp_path / "generalist", network, found, tmp_path / "generalist")
    assert (tmp_path / "generalist" / checkpoint.WEIGHTS).read_bytes() == kept
    with pytest.raises(InputError, match="give 1, or as many"):
        assembly.assemble(made, model.state_dict(), network, groups.Groups(centres[:2], {}))
    with pytest.raises(InputError, match="give the groups that were made with it"):
        assembly.assemble(config, weights, network, groups.Groups(centres[:, :4], {}))
    other = SpeakerNet(SpeakerNetConfig(bands=32, hidden=8, level_seconds=1.0))
    with pytest.raises(InputError, match=r"level_seconds 2\.0 and the embedding 1.0"):
        assembly.assemble(config, weights, other, found)


def test_an_autoencoder_hears_the_beginning_alone() -> None:
    torch.manual_seed(0)
    network = SpeechAutoencoder(AutoencoderConfig(hidden=16, code=4))
    clips = 0.1 * torch.randn(2, 3 * RATE)
    changed = clips.clone()
    changed[:, RATE:] = 0.0
    one, other = (autoencoder.errors(network, [audio, 2 * audio], 1.0) for audio in (clips, changed))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one[:, 0], one[:, 1])  # the level decides nothing
    assert autoencoder.errors(network, [clips[:, :100]], 1.0).shape == (2, 1)
