"""Speaker embeddings, groups, mixtures of experts gated by them, and who picks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from adaptation.conftest import RATE, voice
from cli.conftest import Run, sese  # noqa: F401
from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.nn import checkpoint
from sese.nn.backbones.local_experts import LocalExpertsConfig
from sese.speakers import assembly, autoencoder, embedding, groups
from sese.speakers.autoencoder import AutoencoderConfig, SpeechAutoencoder
from sese.speakers.clips import SpeakerDataConfig, speaker_clips, spoken
from sese.speakers.embedding import SpeakerNet, SpeakerNetConfig, pair_loss
from sese.speakers.saved import save
from sese.speakers.verification import equal_error_rate, verify
from sese.training.experts import read_classes

CONFIGS = Path(__file__).parents[2] / "configs" / "speakers"
SMALL = SpeakerNetConfig(bands=32, hidden=8, layers=2)


def net(seed: int = 0) -> SpeakerNet:
    torch.manual_seed(seed)
    return SpeakerNet(SMALL).eval()


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


def generalist() -> tuple[LocalExpertsConfig, dict[str, torch.Tensor]]:
    torch.manual_seed(2)
    config = LocalExpertsConfig(hidden=6, experts=1)
    return config, config.build().state_dict()


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


@pytest.fixture
def pairs(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    for user in range(2):
        for number in range(2):
            clean = voice(user, number, 1.0)
            for side, audio in (
                ("clean", clean),
                ("noisy", clean + 0.05 * generator.standard_normal(len(clean))),
            ):
                path = tmp_path / f"user{user}" / side / f"{number}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, audio, RATE)
    return [tmp_path / "user0", tmp_path / "user1"]


def test_from_a_corpus_to_a_choice(
    corpus: Path,
    cache: Path,
    tmp_path: Path,
    pairs: list[Path],
    sese: Run,  # noqa: F811
) -> None:
    """Every command, on a corpus of low and high voices, which the embedding learns to tell."""
    run, data = tmp_path / "embedding", f"data.train=[{corpus}]"
    small = [
        "data.mix.seconds=1",
        "data.held_out=0.2",
        "training.batch_size=16",
        "training.validation_clips=16",
    ]
    settings = [
        data,
        *small,
        "model.bands=64",
        "model.hidden=8",
        "training.steps=40",
        "training.validate_steps=20",
    ]
    settings += ["data.mix.snr_db=[5,10]", "data.mix.equalise=0", "training.learning_rate=0.02"]
    recipe = CONFIGS / "embedding.yaml"
    assert sese("speakers", "train", recipe, *settings, "--run-dir", run).code == 0
    stopped = tmp_path / "stopped"
    assert sese("speakers", "train", recipe, *settings, "max_minutes=0", "--run-dir", stopped).code == 0
    assert sese("speakers", "train", recipe, *settings, "--run-dir", stopped).code == 2
    assert sese("speakers", "train", stopped, "--resume").code == 0
    one, other = (load_file(each / "last" / "model.safetensors") for each in (run, stopped))
    for name, values in one.items():
        assert torch.equal(values, other[name]), name
    facts = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert facts[-1]["val/loss"] < min(0.69, facts[0]["val/loss"])

    ran = sese(
        "speakers", "verify", run, corpus, "--clips", 40, "--seconds", 1, "--snr", 10, "-o", tmp_path / "v"
    )
    assert ran.code == 0, ran.err
    (row,) = json.loads((tmp_path / "v" / "verification.json").read_text())["rows"]
    assert row["speakers"] <= 10
    assert row["eer"] < 0.45  # low and high voices alone give 0.3
    assert row["low"] <= row["eer"] <= row["high"]

    ran = sese("speakers", "group", run, corpus, "-k", 2, "-o", tmp_path / "groups", "--assign", corpus)
    assert ran.code == 0, ran.err
    table = read_classes(tmp_path / "groups" / "groups-2.csv")
    assert "unknown" not in table
    held = groups.load(tmp_path / "groups" / "groups-2.json")
    means = groups.speaker_embeddings(embedding.load(run), spoken([corpus], RATE, str(cache)))
    assert set(table) == set(means) == set(held.members)
    for name, mean in means.items():
        assert int(held.nearest(mean[None])[0]) == held.members[name] == int(table[name])

    ae = tmp_path / "autoencoder"
    settings = [data, *small, "model.hidden=32", "model.code=8", "training.steps=20"]
    ran = sese("speakers", "train", CONFIGS / "autoencoder.yaml", *settings, "--run-dir", ae)
    assert ran.code == 0, ran.err
    facts = [json.loads(line) for line in (ae / "metrics.jsonl").read_text().splitlines()]
    assert facts[-1]["val/loss"] < 1

    config, weights = generalist()
    checkpoint.save(tmp_path / "plain" / "best", "local_experts", config, weights)
    centres = tmp_path / "groups" / "groups-2.json"
    mixture = tmp_path / "mixture"
    ran = sese("speakers", "assemble", tmp_path / "plain", run, centres, "-o", mixture)
    assert ran.code == 0, ran.err
    for stage, recipe in (
        ("", "experts_64.yaml"),
        ("-gate", "experts_64_gate.yaml"),
        ("-joint", "experts_64_joint.yaml"),
    ):
        settings = [
            data,
            f"data.validation=[{corpus}]",
            "data.validation_clips=2",
            "data.validation_seconds=1",
        ]
        settings += [f"training.experts.table={tmp_path}/groups/groups-2.csv", "data.mix.seconds=0.5"]
        settings += [f"training.initial={mixture}", "training.steps=2", "training.validate_steps=2"]
        settings += ["model.hidden=6", "model.gate_hidden=8", "model.gate_bands=64", "training.batch_size=4"]
        if stage == "":
            ran = sese("train", CONFIGS / recipe, *settings, "--run-dir", tmp_path / "same")
            assert ran.code == 2
            assert "in the training speech too" in ran.err
        settings[1] = f"data.validation=[{other_corpus(corpus, tmp_path)}]"
        ran = sese("train", CONFIGS / recipe, *settings, "--run-dir", tmp_path / f"run{stage}")
        assert ran.code == 0, ran.err
        mixture = tmp_path / f"run{stage}" / "last"
    before, after = (
        load_file(each / "model.safetensors")
        for each in (tmp_path / "mixture", tmp_path / "run-gate" / "last")
    )
    for name in after:
        if name.startswith("policy.recurrent"):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["policy.logits.weight"], after["policy.logits.weight"])

    ran = sese(
        *("speakers", "select", mixture, *pairs, "--autoencoder", ae, "--beside", tmp_path / "plain"),
        *("--seconds", 0.5, "-o", tmp_path / "selected"),
    )
    assert ran.code == 0, ran.err
    result = json.loads((tmp_path / "selected" / "selection.json").read_text())
    assert (len(result["rows"]), result["unit"], result["experts"]) == (4, "folders", 2)
    for row in result["rows"]:
        assert row["scores"]["oracle"] == max(row["experts"])
        assert row["scores"]["chance"] == pytest.approx(np.mean(row["experts"]))
        assert row["scores"]["autoencoder"] == row["experts"][row["picked"]["autoencoder"]]
    assert result["summary"]["plain"]["gain"]["mean"] == 0
    costs = result["costs"]
    assert costs["gate"]["stored"] == sum(p.numel() for p in checkpoint.load(mixture).parameters())
    assert costs["gate"]["mmacs_per_second"] > costs["plain"]["mmacs_per_second"]


def test_one_speaker_joins_the_groups_of_others(corpus: Path, cache: Path, tmp_path: Path, sese: Run) -> None:  # noqa: F811
    save(tmp_path / "net", net())
    path = tmp_path / "one" / "clean" / "made" / "alone" / "v.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, voice(20, 1, 1.7), RATE)
    group = ("speakers", "group", tmp_path / "net", "-k", 2, "-o", tmp_path / "groups")
    ran = sese(*group, corpus, "--assign", tmp_path / "one")
    assert ran.code == 0, ran.err
    assert "alone" in read_classes(tmp_path / "groups" / "groups-2.csv")
    assert "tells no two speakers apart" in sese(*group, tmp_path / "one").err


def other_corpus(corpus: Path, tmp_path: Path) -> Path:
    """Speakers and noises of other names and lengths, whose speakers the table lists."""
    root = tmp_path / "validation"
    table = tmp_path / "groups" / "groups-2.csv"
    if not root.exists():
        (root / "noise" / "hum").mkdir(parents=True)
        soundfile.write(root / "noise" / "hum" / "hum.wav", voice(3, 5, 1.5), RATE)
        for speaker in (20, 21):
            path = root / "clean" / "made" / f"s{speaker}" / "v.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, voice(speaker, 1, 1.7), RATE)
        with table.open("a") as file:
            file.write("s20,0\ns21,1\n")
    return root


def test_bad_input_is_one_line_and_exit_code_2(corpus: Path, cache: Path, tmp_path: Path, sese: Run) -> None:  # noqa: F811
    saved, recipe = tmp_path / "net", CONFIGS / "embedding.yaml"
    save(saved, net())
    config, weights = generalist()
    checkpoint.save(tmp_path / "plain", "local_experts", config, weights)
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "noise").mkdir()
    for arguments, word in (
        (("train", recipe), "no speech"),
        (("train", recipe, "system=age"), "system is 'age'"),
        (("train", recipe, "model.bands=100"), "bands that divide the hop"),
        (("train", recipe, "training.batch_size=3"), "use an even number"),
        (("train", tmp_path, "--resume"), "does not exist"),
        (("verify", tmp_path / "plain", corpus), "holds no network that is a speaker embedding"),
        (("verify", saved, corpus, "--clips", 1), "--clips is 1"),
        (("verify", saved, corpus, "--snr", "nan"), "--snr is nan"),
        (("train", recipe, "max_minutes=nan"), "give a number of minutes"),
        (("verify", tmp_path / "nowhere", corpus), "does not exist"),
        (("group", saved, corpus, "-k", 11, "-o", tmp_path / "g"), "got 11 for 10 speakers"),
        (("group", saved, tmp_path / "noise", "-o", tmp_path / "g"), "no speech"),
        (
            ("assemble", tmp_path / "plain", saved, tmp_path / "none.json", "-o", tmp_path / "m"),
            "holds no groups",
        ),
        (("select", tmp_path / "plain", corpus), "no experts to pick from"),
    ):
        ran = sese("speakers", *arguments)
        assert ran.code == 2, (arguments, ran)
        assert ran.err.count("\n") == 1, ran.err
        assert word in ran.err
    banks = SpeakerDataConfig(train=(str(corpus),)).banks(RATE)
    clips = speaker_clips(banks, MixConfig(seconds=1.0), RATE, 0)
    with pytest.raises(InputError, match="two speakers"):
        verify(net(), clips, 2, [10.0])
