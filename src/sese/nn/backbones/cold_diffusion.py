"""Modified cold diffusion (Kim and Kristjansson, ICASSP 2024): noise is removed step by step.

Milestones lie between the noisy signal and the clean speech, each with less of the noise: m = s + g n with
gains g that fall from 1 to 0. A step goes from one milestone to the next, cleaner one, by the residual that
it finds in its input. Plain cold diffusion, a control, estimates the clean speech in every step, and a rule
says how far to go. A level is the number of steps that run. See docs/systems/cold_diffusion.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import (
    SystemConfig,
    check_bands,
    check_router,
    check_window,
    level_frames,
    router_of,
)
from sese.nn.backbones.spectral_mixer import SpectralMixer
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import LevelledFeatures, product
from sese.nn.heads.spectrum import SpectrumHead
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State

Aim = Literal["milestone", "clean"]

POWER_FLOOR = 1e-8
"""Lowest square of a mask's magnitude under a root."""


@dataclass(frozen=True)
class ColdDiffusionConfig(SystemConfig):
    """Configuration of residual steps between milestones; one step to a gain of 0 is a one-shot network.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        noise_gains: Share of the noise that is left after each step, falling to 0.
        aim: Target of a step: the next ``milestone``, or ``clean`` speech, as in plain cold diffusion.
        shared: Whether one network serves all steps, with an offset of its stream for each; else each step
            has its own.
        bands: Pairs of (bands, bins in each) from low to high frequencies; together n_fft / 2 bins.
        channels, blocks, band_units, time_units, channel_units: Sizes of a step's network, which has one
            level; see `SpectralMixer`.
        level_seconds: Time constant of the running level in seconds.
        router_channels: Number of channels of the router that picks the number of steps; 0 for no router.
    """

    description: ClassVar[str] = "Causal network that removes noise from speech in residual steps."
    small: ClassVar[dict[str, Any]] = {
        "n_fft": 128,
        "hop_length": 64,
        "bands": ((8, 8),),
        "channels": 8,
        "blocks": 1,
        "band_units": 4,
        "time_units": 8,
        "channel_units": 8,
    }

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    noise_gains: tuple[float, ...] = (0.56, 0.32, 0.1, 0.0)
    aim: Aim = "milestone"
    shared: bool = False
    bands: tuple[tuple[int, int], ...] = ((16, 8), (8, 16))
    channels: int = 64
    blocks: int = 2
    band_units: int = 48
    time_units: int = 48
    channel_units: int = 96
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        object.__setattr__(self, "bands", tuple(tuple(int(n) for n in pair) for pair in self.bands))
        object.__setattr__(self, "noise_gains", tuple(float(gain) for gain in self.noise_gains))
        gains = (1.0, *self.noise_gains)
        if gains[-1] != 0 or any(later >= gain for gain, later in pairwise(gains)):
            raise InputError(
                f"model.noise_gains is {list(self.noise_gains)}; give shares below 1 that fall to 0"
            )
        sizes = ("channels", "blocks", "band_units", "time_units", "channel_units")
        at_least(self, 1, "model", "sample_rate", "hop_length", *sizes)
        if self.aim not in ("milestone", "clean"):
            raise InputError(f"model.aim is {self.aim!r}; choose from milestone, clean")
        check_router(self)
        above_zero(self, "model", "level_seconds")
        check_window(self)
        check_bands(self.bands, self.n_fft)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.noise_gains)

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        features = LevelledFeatures(self.n_fft, self.hop_length, level_frames(self, self.hop_length))
        backbone = ColdDiffusion(self)
        head = SpectrumHead(self.n_fft, self.hop_length)
        router = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)


class ColdDiffusion(Backbone):
    """Enhance compressed spectra, with one mask for each step.

    Args:
        config: Configuration of the system.
    """

    frames_apart = False
    """The units that a frame keeps change its states, so frames must run in order."""

    def __init__(self, config: ColdDiffusionConfig):
        super().__init__()
        self.noise_gains, self.aim = (1.0, *config.noise_gains), config.aim
        self.steps = len(config.noise_gains)
        # Any: PyTorch does not know the type of a list's modules.
        self.nets: Any = nn.ModuleList(
            SpectralMixer(
                config.bands,
                config.channels,
                [config.blocks],
                [config.band_units],
                [config.time_units],
                [config.channel_units],
            )
            for _ in range(1 if config.shared else self.steps)
        )
        self.embedding: nn.Parameter | None = None
        if config.shared:
            in_all = sum(count for count, _ in config.bands)
            self.embedding = nn.Parameter(torch.empty(self.steps, in_all, 1, config.channels))
            nn.init.normal_(self.embedding, std=0.1)
        used = [round(step / self.steps, 2) for step in range(self.steps)] + [1.0]
        self.sites = (Site("steps", tuple(b - a for a, b in pairwise(used))),)

    @property
    def bins(self) -> int:
        """Number of bins of a spectrum."""
        return self.nets[0].bins

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame, in and out."""
        return 2 * self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        static, units = self.nets[0].macs()
        return 0, {"steps": [static + units["scale"][0]] * self.steps}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return how much of each weight `units` units use, from axis 0 on; whole ones are left out."""
        if self.embedding is not None:
            return {"embedding": (units,)}
        unused = tuple(f"nets.{step}." for step in range(units, self.steps))
        return {name: (0,) for name, _ in self.named_parameters() if unused and name.startswith(unused)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis; each step has its own state."""
        return {
            f"step.{step}.{name}": shape
            for step in range(self.steps)
            for name, shape in self._net(step).state_shapes().items()
        }

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance spectra by steps.

        Args:
            x: Compressed spectra (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            plan: Steps that run in each frame, for the site ``steps``.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            The output of the last step that runs, in the layout of x, and the next state.
        """
        spectra = x.unflatten(1, (-1, 2, self.bins))
        made, after = masked_or_sliced(self._masked, self._sliced, spectra, plan["steps"], state)
        return made.flatten(1), after

    def _sliced(self, x: Tensor, keep: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, 2, bin) that all take `steps` steps."""
        after, made = dict(state), x
        for step in range(keep):
            made, x, after = self.step(step, x, 1, after)
        return made, after

    def _masked(self, x: Tensor, keep: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run every step under masks (batch, frame, unit)."""
        after, chosen = dict(state), x.new_zeros(())
        kept = keep.split(1, dim=2)
        for step in range(self.steps):
            made, x, after = self.step(step, x, kept[step], after)
            last = kept[step] - kept[step + 1] if step + 1 < self.steps else kept[step]
            chosen = chosen + last.unsqueeze(3) * made
        return chosen, after

    def step(
        self, number: int, x: Tensor, keep: int | Tensor, state: State
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Run one step.

        Args:
            number: Number of the step, from 0.
            x: Compressed spectra (batch, frame, 2, bin), where the steps before have ended.
            keep: 1, or a mask (batch, frame, 1) of the frames in which the step changes its state.
            state: State of all steps.

        Returns:
            The output of the step, the input of the next one, and the next state.
        """
        beginning = f"step.{number}."
        own = {
            name.removeprefix(beginning): value for name, value in state.items() if name.startswith(beginning)
        }
        offset = None if self.embedding is None else self.embedding[number]
        mask, own = self._net(number).run(x, keep, own, offset)
        made = product(x, mask)
        after = dict(state) | {beginning + name: value for name, value in own.items()}
        if self.aim == "milestone" or number + 1 == self.steps:
            return made, made, after
        return made, product(x, self.onward(number, mask)), after

    def onward(self, number: int, mask: Tensor) -> Tensor:
        """Return the mask that leads to the next step of plain cold diffusion.

        The mask of a step turns x into its estimate s of the clean speech. The rest of x is noise at the gain
        of its milestone: x = D(s, y, t) with D(s, y, t) = s + g_t (y - s) defines the noisy signal y. The
        rule x - D(s, y, t) + D(s, y, t - 1) then keeps the share g_(t-1) / g_t of x - s. This holds for
        spectra; masks here are of compressed ones.
        """
        share = self.noise_gains[number + 1] / self.noise_gains[number]
        one = mask.new_tensor([1.0, 0.0]).view(2, 1)
        linear = share * one + (1 - share) * mask * mask.square().sum(2, keepdim=True)
        return linear * linear.square().sum(2, keepdim=True).clamp_min(POWER_FLOOR) ** (-1 / 3)

    def _net(self, step: int) -> Any:
        return self.nets[0 if self.embedding is not None else step]
