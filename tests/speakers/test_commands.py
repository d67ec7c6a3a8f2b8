"""The commands of `sese speakers`, from a corpus of low and high voices to a choice among experts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from adaptation.conftest import RATE, voice
from command_line import Run, exit_code
from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.nn import checkpoint
from sese.speakers import embedding, groups
from sese.speakers.clips import SpeakerDataConfig, speaker_clips, spoken
from sese.speakers.saved import save
from sese.speakers.verification import verify
from sese.training.methods.experts import read_classes
from speakers.networks import CONFIGS, generalist, net

SMALL = ["data.mix.seconds=1", "data.held_out=0.2", "training.batch_size=16", "training.validation_clips=16"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for the results of all commands, with the cache of decoded audio in `cache`."""
    folder = tmp_path_factory.mktemp("speakers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def training(corpus: Path) -> list[object]:
    """Return the arguments that train a small embedding."""
    settings = ["model.bands=64", "model.hidden=8", "training.steps=40", "training.validate_steps=20"]
    settings += ["data.mix.snr_db=[5,10]", "data.mix.equalise=0", "training.learning_rate=0.02"]
    return ["speakers", "train", CONFIGS / "embedding.yaml", f"data.train=[{corpus}]", *SMALL, *settings]


@pytest.fixture(scope="module")
def trained(work: Path, training: list[object]) -> Path:
    """Return the run of a small embedding."""
    assert exit_code(*training, "--run-dir", work / "embedding") == 0
    return work / "embedding"


@pytest.fixture(scope="module")
def grouped(work: Path, corpus: Path, trained: Path) -> Path:
    """Return the folder with two groups of the speakers."""
    group = ("speakers", "group", trained, corpus, "-k", 2, "-o", work / "groups", "--assign", corpus)
    assert exit_code(*group) == 0
    return work / "groups"


@pytest.fixture(scope="module")
def autoencoder(work: Path, corpus: Path) -> Path:
    """Return the run of a small autoencoder."""
    settings = ["model.hidden=32", "model.code=8", "training.steps=20", "--run-dir", work / "autoencoder"]
    train = ("speakers", "train", CONFIGS / "autoencoder.yaml", f"data.train=[{corpus}]", *SMALL, *settings)
    assert exit_code(*train) == 0
    return work / "autoencoder"


@pytest.fixture(scope="module")
def plain(work: Path) -> Path:
    """Return the folder of a network without experts."""
    config, weights = generalist()
    checkpoint.save(work / "plain" / "best", "local_experts", config, weights)
    return work / "plain"


@pytest.fixture(scope="module")
def assembled(work: Path, plain: Path, trained: Path, grouped: Path) -> Path:
    """Return the folder of a mixture of experts whose gate is the embedding."""
    centres = grouped / "groups-2.json"
    assert exit_code("speakers", "assemble", plain, trained, centres, "-o", work / "mixture") == 0
    return work / "mixture"


@pytest.fixture(scope="module")
def others(work: Path, grouped: Path) -> Path:
    """Return a corpus of speakers and noises of other names and lengths, whose speakers the table lists."""
    root = work / "validation"
    (root / "noise" / "hum").mkdir(parents=True)
    soundfile.write(root / "noise" / "hum" / "hum.wav", voice(3, 5, 1.5), RATE)
    for speaker in (20, 21):
        path = root / "clean" / "made" / f"s{speaker}" / "v.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, voice(speaker, 1, 1.7), RATE)
    with (work / "classes.csv").open("w") as file:
        file.write((grouped / "groups-2.csv").read_text() + "s20,0\ns21,1\n")
    return root


def experts_training(stage: str, initial: Path, corpus: Path, validation: Path, work: Path) -> list[object]:
    """Return the arguments that train a stage of the mixture for two steps."""
    data = [f"data.train=[{corpus}]", f"data.validation=[{validation}]", "data.mix.seconds=0.5"]
    data += ["data.validation_clips=2", "data.validation_seconds=1"]
    data += [f"training.experts.table={work}/classes.csv", f"training.initial={initial}"]
    sizes = ["model.hidden=6", "model.gate_hidden=8", "model.gate_bands=64", "training.batch_size=4"]
    steps = ["training.steps=2", "training.validate_steps=2"]
    return ["train", CONFIGS / f"experts{stage}.yaml", *data, *sizes, *steps]


@pytest.fixture(scope="module")
def stages(work: Path, corpus: Path, assembled: Path, others: Path) -> dict[str, Path]:
    """Return the networks after training the experts, then the gate, then both."""
    network, networks = assembled, {}
    for stage in ("", "_gate", "_joint"):
        run = work / f"run{stage}"
        train = experts_training(stage, network, corpus, others, work)
        assert exit_code(*train, "--run-dir", run) == 0, stage
        networks[stage] = network = run / "last"
    return networks


@pytest.fixture
def pairs(tmp_path: Path) -> list[Path]:
    """Return folders of clean and noisy recordings of two users."""
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


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_embedding_learns_to_tell_voices(trained: Path) -> None:
    losses = [row["val/loss"] for row in metrics(trained)]
    assert losses[-1] < min(0.69, losses[0])


def test_a_stopped_training_resumes_to_the_same_weights(
    trained: Path, training: list[object], tmp_path: Path, sese: Run
) -> None:
    stopped = tmp_path / "stopped"
    assert sese(*training, "max_minutes=0", "--run-dir", stopped).code == 0
    assert sese(*training, "--run-dir", stopped).code == 2
    assert sese("speakers", "train", stopped, "--resume").code == 0
    one, other = (load_file(run / "last" / "model.safetensors") for run in (trained, stopped))
    for name, values in one.items():
        assert torch.equal(values, other[name]), name


def test_verify_tells_low_from_high_voices(trained: Path, corpus: Path, tmp_path: Path, sese: Run) -> None:
    verification = ("--clips", 40, "--seconds", 1, "--snr", 10, "-o", tmp_path)
    ran = sese("speakers", "verify", trained, corpus, *verification)
    assert ran.code == 0, ran.err
    (row,) = json.loads((tmp_path / "verification.json").read_text())["rows"]
    assert row["speakers"] <= 10
    assert row["eer"] < 0.45  # low and high voices alone give 0.3
    assert row["low"] <= row["eer"] <= row["high"]


def test_group_assigns_known_speakers_to_the_nearest_centre(
    trained: Path, grouped: Path, corpus: Path, work: Path
) -> None:
    table = read_classes(grouped / "groups-2.csv")
    assert "unknown" not in table
    found = groups.load(grouped / "groups-2.json")
    speech = spoken([corpus], RATE, str(work / "cache" / "sese"))
    means = groups.speaker_embeddings(embedding.load(trained), speech)
    assert set(table) == set(means) == set(found.members)
    for name, mean in means.items():
        assert int(found.nearest(mean[None])[0]) == found.members[name] == int(table[name])


def test_the_autoencoder_learns(autoencoder: Path) -> None:
    assert metrics(autoencoder)[-1]["val/loss"] < 1


def test_speakers_in_training_and_validation_are_refused(
    assembled: Path, others: Path, corpus: Path, work: Path, tmp_path: Path, sese: Run
) -> None:
    ran = sese(*experts_training("", assembled, corpus, corpus, work), "--run-dir", tmp_path / "same")
    assert ran.code == 2
    assert "in the training speech too" in ran.err


def test_the_embedding_in_the_gate_stays_frozen(assembled: Path, stages: dict[str, Path]) -> None:
    before, after = (load_file(each / "model.safetensors") for each in (assembled, stages["_gate"]))
    for name in after:
        if name.startswith("policy.recurrent"):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["policy.logits.weight"], after["policy.logits.weight"])


def test_select_compares_who_picks(
    stages: dict[str, Path], pairs: list[Path], autoencoder: Path, plain: Path, tmp_path: Path, sese: Run
) -> None:
    network, options = stages["_joint"], ("--autoencoder", autoencoder, "--beside", plain, "--seconds", 0.5)
    ran = sese("speakers", "select", network, *pairs, *options, "-o", tmp_path / "selected")
    assert ran.code == 0, ran.err
    result = json.loads((tmp_path / "selected" / "selection.json").read_text())
    assert (len(result["rows"]), result["unit"], result["experts"]) == (4, "folders", 2)
    for row in result["rows"]:
        assert row["scores"]["oracle"] == max(row["experts"])
        assert row["scores"]["chance"] == pytest.approx(np.mean(row["experts"]))
        assert row["scores"]["autoencoder"] == row["experts"][row["picked"]["autoencoder"]]
    assert result["summary"]["plain"]["gain"]["mean"] == 0
    costs = result["costs"]
    assert costs["gate"]["stored"] == sum(p.numel() for p in checkpoint.load(network).parameters())
    assert costs["gate"]["mmacs_per_second"] > costs["plain"]["mmacs_per_second"]


def test_one_speaker_joins_the_groups_of_others(work: Path, corpus: Path, tmp_path: Path, sese: Run) -> None:
    save(tmp_path / "net", net())
    path = tmp_path / "one" / "clean" / "made" / "alone" / "v.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, voice(20, 1, 1.7), RATE)
    group = ("speakers", "group", tmp_path / "net", "-k", 2, "-o", tmp_path / "groups")
    ran = sese(*group, corpus, "--assign", tmp_path / "one")
    assert ran.code == 0, ran.err
    assert "alone" in read_classes(tmp_path / "groups" / "groups-2.csv")
    assert "tells no two speakers apart" in sese(*group, tmp_path / "one").err


def test_bad_input_is_one_line_and_exit_code_2(work: Path, corpus: Path, tmp_path: Path, sese: Run) -> None:
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
        (("train", tmp_path, "--resume"), "holds no run (no config.yaml)"),
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
