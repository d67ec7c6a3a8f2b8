"""Hold the options for enhancing in one object, which the public functions build and all others take."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from sese.core.errors import InputError
from sese.runtime.band_above import CHOICES, AboveChoice
from sese.runtime.budget import Budget, highest_level, parse_budget
from sese.runtime.card import Card
from sese.runtime.deadline import require_max_rtf

RECOGNISER_DB = 12.0
"""Limit of the attenuation for speech recognisers. They suffer where enhancement takes weak speech along with
the noise. `docs/guides/agents.md` has the measurements."""


@dataclass(frozen=True)
class EnhanceOptions:
    """Options for enhancing a signal, checked when the object is created.

    Whether a budget or a limit suits a certain model is checked by `check`, which needs the model's card.

    Args:
        budget: Who decides how much of the model runs in each frame.

            - A number, from the share of compute of the model's lowest level to 1: the highest level within
              it always runs. A model that rests runs the highest level whose mean, rests included, stays
              within it, and below two thirds of the second level its lowest level alone, without rests. 1
              always runs everything.
            - ``"fastest"``, ``"balanced"``, ``"best"``: the lowest level, a middle level that gives much
              quality for its time, or 1.
            - ``"auto"``: the router of the model decides freely.
            - ``"fixed:0.25"``: the level with this share of compute always runs; ``"fixed:2"`` the second
              expert, in a model whose levels are experts of equal cost.
            - ``"threshold"``, ``"threshold:DB"``: a running estimate of the SNR decides, see
              `sese.runtime.threshold`. More dB use more compute.
        max_mmacs: Highest cost of a frame's level, in million MACs per second of one channel. None for no
            limit.
        max_rtf: Longest time that the model may take for a frame, as a multiple of the frame's duration,
            above 0. While frames are late, higher levels are left out, see `sese.runtime.deadline`. None
            for no limit.
        mix: Share of the enhanced audio in the output, from 0 (the input) to 1, aligned to the sample.
        max_attenuation_db: Strongest attenuation of anything, in dB, 0 or more. None for no limit.
        band_above: Treatment of frequencies above the model's band. ``"follow"`` keeps speech there and
            attenuates noise as the model does below; ``"drop"`` removes everything.
        linked: True: all channels have one level in each frame, decided from all of them. False: each
            channel is enhanced as if it were alone.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> import sese
        >>> options = sese.EnhanceOptions(budget=0.3, max_attenuation_db=12)
        >>> round(options.wet, 3)  # limited attenuation adds a share of the input
        0.749
    """

    budget: Budget = 1.0
    max_mmacs: float | None = None
    max_rtf: float | None = None
    mix: float = 1.0
    max_attenuation_db: float | None = None
    band_above: AboveChoice = "follow"
    linked: bool = True

    def __post_init__(self) -> None:
        if self.budget is None or isinstance(self.budget, bool):
            raise InputError(f"budget is {self.budget!r}; give a number up to 1, or a word such as 'auto'")
        object.__setattr__(self, "max_rtf", require_max_rtf(self.max_rtf))
        if not _is_number(self.mix) or not 0 <= self.mix <= 1:
            raise InputError(f"mix is {self.mix!r}; give 0 (the input) to 1 (the enhanced audio)")
        limit = self.max_attenuation_db
        if limit is not None and (not _is_number(limit) or not limit >= 0):
            raise InputError(f"max_attenuation_db is {limit!r}; give a number of dB, 0 or more")
        if self.band_above not in CHOICES:
            raise InputError(f"band_above is {self.band_above!r}; give 'follow' or 'drop'")

    @classmethod
    def for_recogniser(cls, **options: Any) -> EnhanceOptions:
        """Return options for audio that a speech recogniser hears: attenuation is limited to `RECOGNISER_DB`.

        Args:
            options: Values as for the class; a limit among them takes the place of that one.

        Example:
            >>> import sese
            >>> sese.EnhanceOptions.for_recogniser(budget="auto").max_attenuation_db
            12.0
        """
        return cls(**({"max_attenuation_db": RECOGNISER_DB} | options))

    @property
    def wet(self) -> float:
        """Share of the enhanced signal in the output, in [0, 1].

        Limiting the attenuation to D dB means to add back ``10 ** (-D / 20)`` of what was removed.
        """
        if self.max_attenuation_db is None:
            return float(self.mix)
        return float(self.mix) * (1 - 10 ** (-float(self.max_attenuation_db) / 20))

    def check(self, card: Card, channels: int = 1) -> None:
        """Check that a model can run with these options.

        Args:
            card: Facts about the model.
            channels: Number of channels of the signal.

        Raises:
            InputError: The model has no such budget, its lowest level costs more than `max_mmacs`, or
                channels that are not linked have `max_rtf`.
        """
        parse_budget(card, self.budget)
        highest_level(card, self.max_mmacs)
        if self.max_rtf is not None and not self.linked and channels > 1:
            raise InputError(
                "max_rtf (--max-rtf) needs linked channels; use linked=True (--linked), or leave it out"
            )

    def replaced(self, **changes: Any) -> EnhanceOptions:
        """Return these options with some values replaced; None leaves a value as it is."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def __str__(self) -> str:
        """Return the options that differ from the defaults, as arguments."""
        changed = [f for f in fields(self) if f.name == "budget" or getattr(self, f.name) != f.default]
        return ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in changed)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)
