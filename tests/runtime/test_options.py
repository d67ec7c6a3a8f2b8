"""Options: what they refuse, what they stand for, and budgets by name."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from sese.core.errors import InputError
from sese.runtime.artefact import bundled_models, open_artefact
from sese.runtime.budget import Fixed, Routed, parse_budget
from sese.runtime.card import Level
from sese.runtime.options import EnhanceOptions
from sese.runtime.presets import preset_share


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", None),
        ("max_rtf", 0),
        ("max_rtf", "fast"),
        ("mix", 1.1),
        ("mix", None),
        ("max_attenuation_db", -1),
        ("band_above", "keep"),
    ],
)
def test_values_are_checked_when_they_are_given(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} is {value!r}"):
        EnhanceOptions(**{name: value})


def test_frozen_and_replaced() -> None:
    options = EnhanceOptions(0.5, max_rtf="0.25")  # type: ignore[arg-type]
    assert options.max_rtf == 0.25
    with pytest.raises(FrozenInstanceError):
        options.mix = 0.5  # type: ignore[misc]
    assert options.replaced(mix=0.5, budget=None) == EnhanceOptions(0.5, max_rtf=0.25, mix=0.5)
    assert str(options.replaced(linked=False)) == "budget=0.5, max_rtf=0.25, linked=False"


def test_what_needs_the_model(tiny: Path) -> None:
    card = open_artefact(tiny).card
    EnhanceOptions("fixed:0.5", max_mmacs=0.125).check(card)
    with pytest.raises(InputError, match=r"budget is 'fixed:0\.3'"):
        EnhanceOptions("fixed:0.3").check(card)
    with pytest.raises(InputError, match=r"max_mmacs is 0\.1"):
        EnhanceOptions(max_mmacs=0.1).check(card)
    with pytest.raises(InputError, match="max_rtf"):
        EnhanceOptions(max_rtf=0.5, linked=False).check(card, channels=2)
    EnhanceOptions(max_rtf=0.5, linked=False).check(card)


def test_presets_of_the_tiny_model(tiny: Path) -> None:
    """Without quality of every level the balanced one lies in the middle."""
    card = open_artefact(tiny).card
    for preset, level in (("fastest", 0), ("balanced", 1), ("best", 3)):
        assert parse_budget(card, preset) == Fixed(level)
    quality = {"fixed:0.125": 1.0, "0.25": 1.2, "fixed:0.5": 1.9, "1": 2.0}
    told = replace(card, quality={name: {"pesq": value} for name, value in quality.items()})
    assert parse_budget(told, "balanced") == Fixed(2)
    assert preset_share(replace(card, levels=(Level(1.0, 1e6, 1),)), "fastest") == 1


@pytest.mark.parametrize(
    ("model", "shares"),
    [
        ("demucs-slim-small", (0.125, 0.5, 1)),
        ("sese-2", (0.06, 0.33, 1)),
        ("conv-fsenet-dyncp", (1, 1, 1)),
    ],
)
def test_presets_of_bundled_models(model: str, shares: tuple[float, ...]) -> None:
    card = open_artefact(model).card
    assert tuple(preset_share(card, word) for word in ("fastest", "balanced", "best")) == shares


@pytest.mark.parametrize("model", bundled_models())
def test_every_model_takes_every_preset(model: str) -> None:
    card = open_artefact(model).card
    assert all(
        isinstance(parse_budget(card, word), Fixed | Routed) for word in ("fastest", "balanced", "best")
    )
