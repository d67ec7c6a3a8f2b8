"""nsNet2 (arXiv 2008.06412) and Dynamic nsNet2 (arXiv 2308.16678)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import at_least
from sese.core.errors import InputError
from sese.nn.backbones.nsnet2 import LAYERS, NsNet2, Split
from sese.nn.enhancer import Enhancer
from sese.nn.features.log_power import LogPowerFeatures
from sese.nn.heads.gain import GainHead
from sese.nn.systems.common import check_router, check_window, level_frames, router_of


@dataclass(frozen=True)
class NsNet2Config:
    """nsNet2 with early exits; the widths are the published ones. `exits: [fc3]` is nsNet2 itself.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        hidden, wide, exits, split, copy_share: see `NsNet2`.
        level_seconds: time constant of the running level; 0 takes log powers as they are, as published.
        router_channels: channels of the router that picks the exits; 0 has no router.
    """

    description: ClassVar[str] = "Causal recurrent network with early exits that removes noise from speech."

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    hidden: int = 400
    wide: int = 600
    exits: tuple[str, ...] = ("fc1", "gru1", "gru2", "fc3")
    split: Split = "none"
    copy_share: float = 0.5
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        exits = (self.exits,) if isinstance(self.exits, str) else tuple(self.exits)
        object.__setattr__(self, "exits", exits)
        at_least(self, 1, "model", "sample_rate", "hop_length", "hidden", "wide")
        check_router(self)
        check_window(self, 64)
        if exits != tuple(name for name in LAYERS if name in exits) or exits[-1:] != LAYERS[-1:]:
            raise InputError(f"model.exits is {list(exits)}; name some of {list(LAYERS)} in order, fc3 last")
        if self.split not in ("none", "separate", "joined"):
            raise InputError(f"model.split is {self.split!r}; choose from none, separate, joined")
        if not 0 < self.copy_share <= 1:
            raise InputError(f"model.copy_share is {self.copy_share}; use a share above 0, up to 1")
        at_least(self, 0, "model", "level_seconds")
        costs = self._backbone().macs()[1]["depth"]
        if min(costs) <= 0:
            raise InputError(
                f"model.copy_share is {self.copy_share}; exit '{exits[costs.index(min(costs)) - 1]}' with "
                "its copy costs no less than the next; use narrower copies, or leave that exit out"
            )

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.exits)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        rate, hop = self.sample_rate, self.hop_length
        frames = level_frames(self, hop) if self.level_seconds else 0
        features, head = LogPowerFeatures(self.n_fft, hop, frames), GainHead(self.n_fft, hop)
        router = router_of(self, features)
        return Enhancer(features, self._backbone(), head, rate, hop, head.lookahead_samples, router)

    def _backbone(self) -> NsNet2:
        bins = self.n_fft // 2 + 1
        return NsNet2(bins, self.hidden, self.wide, self.exits, self.split, self.copy_share)
