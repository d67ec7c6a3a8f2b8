from __future__ import annotations

from pathlib import Path

import pytest

from sese.core.errors import InputError
from sese.data.mixing import MixConfig
from sese.nn.backbones.demucs import DemucsConfig
from sese.training.config import DataConfig, RunConfig, TrainingConfig, parse, read
from sese.training.config_file import dump, read_values

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
OTHERS = {"above", "adaptation", "labels", "quality", "speakers", "sweeps"}
"""Families that other functions read."""

TRAININGS = [
    path
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if path.parent.name not in OTHERS and not path.stem.startswith("common")
]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_read_and_build(path: Path):
    config = read(path)
    assert config.model.build().sites
    assert config.seed == 2036


def test_an_empty_file_is_the_defaults(tmp_path: Path):
    config = read(write(tmp_path / "run.yaml", ""))
    assert config == RunConfig(model=DemucsConfig())
    assert (config.data, config.training) == (DataConfig(), TrainingConfig())


def test_files_build_on_a_base(tmp_path: Path):
    write(tmp_path / "far.yaml", "seed: 5\ntraining: {steps: 7, batch_size: 3}")
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "near.yaml", "base: ../far.yaml\ntraining: {steps: 8}\nname: near")
    config = read(write(tmp_path / "run.yaml", "base: sub/near.yaml\ndata: {mix: {seconds: 2}}"))
    assert (config.name, config.seed) == ("near", 5)
    assert (config.training.steps, config.training.batch_size) == (8, 3)
    assert config.data.mix == MixConfig(seconds=2.0)


def test_losses_replace_those_of_the_base(tmp_path: Path):
    write(tmp_path / "base.yaml", "training: {losses: {l1: 1.0, si_sdr: 1.0}}")
    config = read(
        write(tmp_path / "run.yaml", "base: base.yaml\ntraining: {losses: {compressed_complex: 2.0}}")
    )
    assert config.training.losses == {"compressed_complex": 2.0}


def test_overrides_have_the_last_word(tmp_path: Path):
    path = write(tmp_path / "run.yaml", "training: {steps: 7}\nmodel: {channels: 8}")
    config = read(
        path,
        [
            "training.steps=9",
            "training.learning_rate=1e-3",
            "model.depth=4",
            "model.factors=[0.5, 1]",
            "data.train=[/a, /b=c]",
            "data.noise=/n",
            "training.losses={l1: 1, si_sdr: 0.5}",
            "data.synthetic=true",
        ],
    )
    assert (config.training.steps, config.training.learning_rate) == (9, 0.001)
    assert config.model == DemucsConfig(channels=8, depth=4, factors=(0.5, 1.0))
    assert (config.data.train, config.data.noise) == (("/a", "/b=c"), ("/n",))
    assert config.training.losses == {"l1": 1, "si_sdr": 0.5}
    assert config.data.synthetic is True


def test_written_and_read_is_the_same(tmp_path: Path):
    config = parse(
        {
            "name": "x",
            "model": {"channels": 8, "factors": [0.25, 1]},
            "data": {"train": ["/a"], "mix": {"snr_db": [-3, 3]}},
            "training": {
                "losses": {"si_sdr": 0.1},
                "betas": [0.8, 0.9],
                "random_level": {"shares": [0.5, 0.5]},
            },
        }
    )
    assert read(write(tmp_path / "run.yaml", dump(config))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hue: red", "unknown key 'hue'"),
        ("training: {hue: red}", r"unknown key 'training\.hue'.*batch_size"),
        ("model: {hue: red}", r"unknown key 'model\.hue'"),
        ("data: {mix: {hue: red}}", r"unknown key 'data\.mix\.hue'"),
        ("system: nonesuch", "system is 'nonesuch'; choose from .*demucs"),
        ("training: {method: some}", r"training\.method is 'some'; choose from \['activity'"),
        ("training: {steps: 0}", r"training\.steps is 0; use 1 or more"),
        ("training: {steps: 1.5}", r"training\.steps is 1\.5; expected int"),
        ("training: {steps: true}", r"training\.steps is True; expected int"),
        ("training: {batch_size: many}", r"training\.batch_size is 'many'; expected int"),
        ("training: {learning_rate: fast}", r"training\.learning_rate is 'fast'; expected a number"),
        ("training: {distill: 1.5}", r"training\.distill is 1\.5"),
        ("training: {ema_decay: 2}", r"training\.ema_decay is 2\.0; use a number from 0 to 1"),
        ("training: {betas: [1.5, 0.9]}", r"training\.betas is \[1\.5, 0\.9\]"),
        (
            "training: {random_level: {shares: [-1, 1, 0.5, 0.5]}}",
            r"training\.random_level\.shares is .*0 or more",
        ),
        ("training: {threads: -1}", r"training\.threads is -1; use 0 or more"),
        (
            "training: {experts: {classes: snr}}",
            r"training\.experts is in use, and training\.method is 'all_levels'",
        ),
        ("data: {mix: {seconds: 0.05}}", r"data\.mix\.seconds is 0\.05; the losses need 1025 samples"),
        ("data: {validation_seconds: 0.03}", r"data\.validation_seconds is 0\.03"),
        ("{data: {pesq_clips: 1}, model: {sample_rate: 48000}}", "48000 Hz; PESQ hears at 16000"),
        ("training: {losses: {l7: 1}}", r"training\.losses names \['l7'\]; choose from .*'l1'"),
        ("training: {losses: {}}", r"training\.losses names \[\]"),
        ("training: 5", "training is 5; expected a section"),
        ("data: {synthetic: 1}", r"data\.synthetic is 1; expected bool"),
        ("data: {train: [1]}", r"data\.train is 1; expected str"),
        ("data: {mix: {reverb: 2}}", "mix reverb: got 2"),
        ("model: {oversampling: 3}", r"model\.oversampling is 3"),
        ("model: {factors: [0.5]}", r"model\.factors is \[0\.5\]"),
        ("name: 5", "name is 5; expected str"),
        ("- 1", r"run\.yaml holds a list"),
        ("a: [", r"run\.yaml cannot be read as YAML"),
        ("base: other.yaml", r"other\.yaml does not exist"),
    ],
)
def test_refused_files(tmp_path: Path, text: str, message: str):
    path = write(tmp_path / "run.yaml", text)
    with pytest.raises(InputError, match=message) as refused:
        read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps", "override 'training.steps' has no '='"),
        ("training.steps.x=1", "'steps' is a value, not a section"),
        ("training.stepz=1", r"unknown key 'training\.stepz'"),
        ("nowhere.else=1", "unknown key 'nowhere'"),
    ],
)
def test_refused_overrides(tmp_path: Path, override: str, message: str):
    path = write(tmp_path / "run.yaml", "training: {steps: 7}")
    with pytest.raises(InputError, match=message):
        read(path, [override])


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.yaml does not exist"):
        read(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        read(tmp_path)


@pytest.mark.parametrize(
    "override",
    [
        "data.train=",
        "data.mix.snr_db=[1]",
        "model.groups=0",
        "model.channels=0",
        "model.stride=0",
        "model.layers=0",
        "model.level_seconds=0",
        "model.factors=[[1]]",
        "seed=-1",
        "system=[demucs]",
        "training.betas=[0.9]",
        "training.learning_rate=-1",
        "training={method: random_level, random_level: {shares: [0.5, 0.5]}}",
        "training.random_level.shares=[1, 1, 1, 1]",
        "training.losses=5",
        "training.losses={l1: much}",
        "training.losses={l1: 0}",
        "training.steps=[",
    ],
)
def test_overrides_that_should_be_refused(tmp_path: Path, override: str):
    with pytest.raises(InputError):
        read(write(tmp_path / "run.yaml", ""), [override])


@pytest.mark.parametrize("base", ["run.yaml", "[1]"])
def test_bases_that_should_be_refused(tmp_path: Path, base: str):
    with pytest.raises(InputError, match=r"run\.yaml"):
        read(write(tmp_path / "run.yaml", f"base: {base}"))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("sese2/base", "give sese_2/base, "),
        ("sese_2/bsae", "give sese_2/base, "),
        ("sese_2", "give sese_2/activity, sese_2/base, sese_2/perceptual, sese_2/wild, a configuration file"),
        ("sese_1/base", "^sese_1/base does not exist; give spectral_mixer/base, its new name, [^\\n]+$"),
        ("here/sese_1/router.yaml", "give spectral_mixer/router, its new name, "),
        ("sese_1", "give spectral_mixer/base, spectral_mixer/level_switching, "),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(given: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        read_values(Path(given))
