"""Every training method is registered once, and a new one needs nothing but its file and that line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

import sese.training.methods
from sese.data.mixing import Mixture
from sese.training.methods import METHODS, SETTINGS
from sese.training.methods.method import Method
from sese.training.task import EnhancementTask
from training.tiny_run import config

FOLDER = Path(sese.training.methods.__file__).parent
SHARED = {"__init__", "method", "levels", "experts"}
"""Files of the folder that several methods share."""


def test_each_file_is_a_method():
    assert {path.stem for path in FOLDER.glob("*.py")} - SHARED == set(METHODS)


def test_methods_that_share_a_section_agree_on_it():
    for method in METHODS.values():
        assert all(SETTINGS[name] is kind for name, kind in method.settings.items())


def test_a_new_method_trains_by_its_own_functions(monkeypatch: pytest.MonkeyPatch):
    def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
        return {"lowest": task.model.enhance_levels(batch.noisy, [0])[0].square().mean()}

    def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
        return means["val/loss/0"]

    monkeypatch.setitem(METHODS, "lowest", Method(losses, score))
    task = EnhancementTask(config("training.method=lowest"))
    logged: dict[str, Tensor] = {}
    monkeypatch.setattr(task, "log_dict", lambda values: logged.update(values))
    monkeypatch.setattr(task, "log", lambda *_: None)
    noisy = 0.1 * torch.randn(2, 1, 4000, generator=Generator().manual_seed(0))
    task.training_step(Mixture(noisy, noisy, torch.zeros(2)), 0).backward()
    assert set(logged) == {"train/lowest"}
    assert any(p.grad is not None and p.grad.any() for p in task.model.parameters())
