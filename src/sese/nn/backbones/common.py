"""Checks of configurations, and parts built from them, that several systems share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sese.core.errors import InputError
from sese.nn.policies.router import Router


class SystemConfig:
    """Base of a system's configuration, a frozen dataclass, with the values of a system without these parts.

    Attributes:
        router_channels: Number of channels of a router, see `policies.router`; 0 for no router.
        gate_channels: Number of hidden channels of the gates of channels, see `policies.channel_gates`.
        activity_units: Number of units of the policy that detects speech and noise, see `policies.activity`.
        experts: Number of experts of which one runs.
        gate_hidden: Width of the gate that selects an expert, see `policies.gate`.
        code_bits: Number of bits that a bin's power is quantised to, in a network of bits.
        noise_gains: Share of the noise that is left after each step, in a network of steps.
        description: Sentence for the cards of models.
        small: Values of a small network, for the tests that every system passes.
    """

    description: ClassVar[str] = ""
    small: ClassVar[dict[str, Any]] = {}

    router_channels: int = 0
    gate_channels: int = 0
    activity_units: int = 0
    experts: int = 0
    gate_hidden: int = 0
    code_bits: int = 0
    noise_gains: tuple[float, ...] = ()

    @property
    def rests(self) -> bool:
        """Whether frames may keep nothing, see `training.random_level.rest`."""
        return False

    @property
    def kind(self) -> str:
        """Kind of network that only some training methods can train, such as ``gates``; "" for all others."""
        return ""


def check_window(config: Any, multiple: int = 1) -> None:
    """Check that the window, `n_fft`, is two hops long.

    Args:
        config: Configuration of a system.
        multiple: Number that must divide the window.

    Raises:
        InputError: it is not.
    """
    if config.n_fft != 2 * config.hop_length or config.n_fft % multiple:
        besides = f"a multiple of {multiple} and " if multiple > 1 else ""
        raise InputError(f"model.n_fft is {config.n_fft}; use {besides}two hops, {2 * config.hop_length}")


def check_bands(bands: Sequence[Sequence[int]], n_fft: int) -> None:
    """Check that bands fill half a window.

    Args:
        bands: Pairs of (bands, bins in each) from low to high frequencies.
        n_fft: Window in samples.

    Raises:
        InputError: they do not.
    """
    if any(len(pair) != 2 or min(pair) < 1 or pair[1] % 2 for pair in bands):
        raise InputError(f"model.bands is {bands}; give pairs of (bands, even number of bins in each)")
    if sum(count * bins for count, bins in bands) != n_fft // 2:
        raise InputError(f"model.bands is {bands}; the bins must sum to {n_fft // 2}")


def set_level_sizes(config: Any, *names: str) -> None:
    """Convert values of a system to tuples, and check that each has a size for each level, none falling.

    Args:
        config: Configuration of a system.
        names: Names of the values; the length of the first is the number of levels.

    Raises:
        InputError: a value has another length, falls, or begins below 1.
    """
    levels = len(getattr(config, names[0]))
    for name in names:
        sizes = tuple(getattr(config, name))
        object.__setattr__(config, name, sizes)
        if len(sizes) != levels or list(sizes) != sorted(sizes) or not sizes or sizes[0] < 1:
            raise InputError(
                f"model.{name} is {list(sizes)}; give a number for each of {levels} levels, "
                "from 1, none below the one before"
            )


def check_router(config: Any) -> None:
    """Check the number of a router's channels.

    Raises:
        InputError: it is below 0.
    """
    if config.router_channels < 0:
        raise InputError(f"model.router_channels is {config.router_channels}; use 0 (no router) or more")


def router_of(config: Any, features: Any, steps: int = 1) -> Router | None:
    """Return the router of a system; None where it asks for none.

    Args:
        config: Configuration of a system.
        features: Features that the router hears.
        steps: Number of steps of its convolution in a frame.
    """
    if not config.router_channels:
        return None
    return Router(features.evidence_size, config.levels, config.router_channels, steps)


def level_frames(config: Any, hop_length: int) -> int:
    """Return the time constant of the running level in frames, at least 2.

    Args:
        config: Configuration of a system.
        hop_length: Samples of a frame.
    """
    return max(2, round(config.level_seconds * config.sample_rate / hop_length))
