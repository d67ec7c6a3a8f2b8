"""FTF-Net with dynamic parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.ftf_net import FTFNet
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.systems.common import check_router, check_window, level_frames, router_of


@dataclass(frozen=True)
class FTFNetConfig:
    """FTF-Net as a dynamically slimmable network; the defaults are the published size.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        channels: behind each convolution of the encoder.
        order: of the blocks: ``F`` along frequency, ``T`` along time.
        groups, heads: that each level keeps of grouped GRUs and of attention.
        widths: share of a convolution's output channels that each level keeps.
        window: frames that attention along time sees, this one included.
        level_seconds: time constant of the running level.
        router_channels: channels of the router that picks the levels; 0 has no router.
    """

    description: ClassVar[str] = "Causal dynamically slimmable FTF-Net that removes noise from speech."

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    channels: tuple[int, ...] = (16, 32, 64)
    order: str = "FTF"
    groups: tuple[int, ...] = (2, 4)
    heads: tuple[int, ...] = (2, 4)
    widths: tuple[float, ...] = (0.5, 1.0)
    window: int = 63
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        for name in ("channels", "groups", "heads", "widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        at_least(self, 1, "model", "sample_rate", "hop_length")
        above_zero(self, "model", "level_seconds")
        check_window(self)
        if not self.channels or min(self.channels) < 1:
            raise InputError(f"model.channels is {list(self.channels)}; give a number from 1 for each layer")
        if self.hop_length % 2 ** len(self.channels):
            raise InputError(
                f"model.hop_length is {self.hop_length}; {len(self.channels)} layers halve it as often, so "
                f"use a multiple of {2 ** len(self.channels)}"
            )
        if not self.order or set(self.order) - {"F", "T"}:
            raise InputError(f"model.order is '{self.order}'; use the letters F and T")
        for name in ("groups", "heads"):
            sizes = getattr(self, name)
            if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
                raise InputError(f"model.{name} is {list(sizes)}; give numbers from 1 on, growing")
            if len(sizes) != self.levels:
                raise InputError(
                    f"model.{name} is {list(sizes)}; give a number for each of {self.levels} levels"
                )
            if self.channels[-1] % sizes[-1]:
                raise InputError(
                    f"model.{name} is {list(sizes)}; the last must divide {self.channels[-1]} channels"
                )
        widths = self.widths
        if len(widths) != self.levels or list(widths) != sorted(widths) or widths[0] <= 0 or widths[-1] != 1:
            raise InputError(
                f"model.widths is {list(widths)}; give a share above 0 for each of {self.levels} levels, "
                "none below the one before, the last 1"
            )
        if self.window < 2:
            raise InputError(f"model.window is {self.window}; use 2 frames or more")
        check_router(self)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.groups)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        features = SpectralFeatures(
            self.n_fft, self.hop_length, level_frames(self, self.hop_length), min(32, self.hop_length)
        )
        backbone = FTFNet(
            features.bins, self.channels, self.order, self.groups, self.heads, self.widths, self.window
        )
        head = MaskHead(self.n_fft, self.hop_length)
        router = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)
