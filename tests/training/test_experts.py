"""Experts: classes of mixtures, and the three stages of their training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.data.mixing import Mixer, Mixture
from sese.data.synthetic import synthetic_banks
from sese.nn.policies.fixed import level_plan
from sese.training.config import read
from sese.training.methods.experts import ExpertsConfig, classifier, listed, nearest, read_classes
from sese.training.run import train
from sese.training.task import EnhancementTask
from training.tiny_run import SMALLER

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs" / "local_experts"
TINY = (
    *SMALLER,
    "data.synthetic=true",
    "model.n_fft=128",
    "model.hop_length=64",
    "model.hidden=6",
    "model.experts=2",
    "training.experts.snr_db=[0, 10]",
)
GATE = ("model.gate_hidden=4", "model.gate_bands=8")

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")


def task(levels: str, *overrides: str) -> EnhancementTask:
    torch.manual_seed(0)
    config = read(CONFIGS / "snr.yaml", [*TINY, *GATE, f"training.method={levels}", *overrides])
    return EnhancementTask(config)


def batch(labels: list[float]) -> Mixture:
    generator = torch.Generator().manual_seed(1)
    clean = 0.1 * torch.randn(len(labels), 1, 2048, generator=generator)
    noise = 0.05 * torch.randn(len(labels), 1, 2048, generator=generator)
    return Mixture(clean + noise, clean, torch.zeros(len(labels)), torch.tensor(labels))


def touched(training: EnhancementTask) -> set[str]:
    """Parts that a step gave gradients: experts by number, and the gate."""
    named = training.model.named_parameters()
    with_gradient = [name for name, p in named if p.grad is not None and p.grad.any()]
    return {name.split(".")[0 if name.startswith("policy") else 2] for name in with_gradient}


def test_a_row_trains_the_expert_of_its_class():
    training = task("specialists")
    training.training_step(batch([1.0, 1.0, 1.0]), 0).backward()
    assert touched(training) == {"1"}


def test_specialists_learn_as_each_would_alone():
    training, mixture = task("specialists"), batch([0.0, 1.0, 0.0])
    loss = training.training_step(mixture, 0)
    alone = []
    for row, label in enumerate((0, 1, 0)):
        one = [part[row : row + 1] for part in mixture[:2]]
        estimate = training.model.enhance_clip(one[0], level_plan(training.model.sites, label))
        alone.append(training.losses(estimate, one[1], one[0])["si_sdr"])
    torch.testing.assert_close(loss, torch.stack(alone).mean(), atol=1e-5, rtol=1e-4)


def test_gating_trains_the_gate_alone_and_mixture_trains_all():
    training = task("gating", "training.train_only=policy")
    training.training_step(batch([0.0, 1.0]), 0).backward()
    assert touched(training) == {"policy"}
    training = task("mixture")
    training.training_step(batch([0.0, 1.0]), 0).backward()
    assert touched(training) == {"policy", "0", "1"}


def test_a_sharp_mixture_is_what_the_gate_picks():
    training, mixture = task("mixture"), batch([0.0, 1.0])
    with torch.no_grad():
        training.model.policy.logits.bias += torch.tensor([50.0, 0.0])
    loss = training.training_step(mixture, 0)
    picked = training.model.enhance_clip(mixture.noisy)
    expected = training.losses(picked, mixture.clean, mixture.noisy)["si_sdr"]
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("sharpness", "first", "at", "value"),
    [
        ("soft", 1.0, 5000, 1.0),
        ("growing", 1.0, 100, 1.0023**100),
        ("growing", 1.0, 1010, 10.0),
        ("growing", 1.0, 10**9, 10.0),
        ("sigmoid", 5.0335, 500, 7.5),
        ("sine", 7.086, 200, 2.322),
        ("sine", 7.086, 970, 10.0),
        ("sharp", 10.0, 0, 10.0),
    ],
)
def test_sharpness_follows_the_published_schedules(sharpness, first: float, at: int, value: float):
    config = ExpertsConfig(sharpness=sharpness)
    assert config.sharpness_at(0) == pytest.approx(first, abs=0.02)
    assert config.sharpness_at(at) == pytest.approx(value, abs=0.02)
    quick = ExpertsConfig(sharpness=sharpness, pace=4.0)
    assert quick.sharpness_at(at) == config.sharpness_at(4 * at)


def test_classes_by_snr_are_the_nearest_centres():
    snr = torch.tensor([-float("inf"), -4.0, -2.4, 3.0, 7.4, 7.6, 60.0])
    assert nearest(snr, (-5.0, 0.0, 5.0, 10.0)).tolist() == [0, 0, 1, 2, 2, 3, 3]


def test_classes_by_speaker_follow_the_table(tmp_path: Path):
    speech, noise = (synthetic_banks(16000, seed=1).speech, synthetic_banks(16000, seed=1).noise)
    names = speech.group_names
    table = tmp_path / "sex.csv"
    table.write_text("speaker,class\n" + "".join(f"{n},{'MF'[i % 2]}\n" for i, n in enumerate(names[1:])))
    config = ExpertsConfig("speakers", table=str(table))
    kept = listed(config, speech, 2)
    assert len(kept) == len(speech) - 1
    assert kept.group_names == names[1:]
    mixture = Mixer(MixConfig(seconds=0.1, reverb=0.0), kept, noise)(range(30))
    labelled = classifier(config, kept)(mixture)
    kinds = [read_classes(table)[kept.group_names[speaker]] for speaker in mixture.speaker.tolist()]
    assert set(kinds) == {"F", "M"}
    assert labelled.label.tolist() == [float(kind == "M") for kind in kinds]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,class\na,b\n", "needs speaker and class"),
        ("speaker,class\na,\n", "line 2: a cell is empty"),
        ("speaker,class\na,x\na,y\n", "line 3: a has two classes"),
        ("speaker,class\nnobody,x\nnoone,y\n", "lists none of the"),
        ("speaker,class\nspeech0,x\n", "1 classes and model.experts is 2"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str):
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        listed(ExpertsConfig("speakers", table=str(table)), synthetic_banks(16000, seed=1).speech, 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.experts=1"], "use system local_experts with model.experts of 2 or more"),
        (["training.method=gating"], "has no gate; set model.gate_hidden"),
        (["model.experts=3"], "makes 2 classes and model.experts is 3"),
        (["training.experts.classes=none"], "makes 0 classes"),
        (["training.experts.classes=speakers"], "name a CSV file"),
        (["training.experts.snr_db=[5, 0]"], "centres in dB, growing"),
        (["training.experts.pace=0"], "pace is 0"),
    ],
)
def test_configurations_that_train_no_experts_are_refused(overrides: list[str], message: str):
    with pytest.raises(InputError, match=message):
        read(CONFIGS / "snr.yaml", [*TINY, *overrides])


def test_the_three_stages_run_one_after_the_other(tmp_path: Path):
    runs = [tmp_path / name for name in ("specialists", "gate", "joint")]
    assert train(read(CONFIGS / "snr.yaml", TINY), runs[0])
    second = [*TINY, *GATE, f"training.initial={runs[0] / 'best'}", "training.batch_size=8"]
    assert train(read(CONFIGS / "snr_gate.yaml", second), runs[1])
    third = [*TINY, *GATE, f"training.initial={runs[1] / 'best'}"]
    assert train(read(CONFIGS / "snr_joint.yaml", third), runs[2])
    scores = [[json.loads(line) for line in (run / "metrics.jsonl").open()] for run in runs]
    assert any("val/loss/matched" in line for line in scores[0])
    assert any(0 <= line.get("val/accuracy", -1) <= 1 for line in scores[1])
    assert any(line.get("train/sharpness", 0) > 1 for line in scores[2])
