"""The network above a model's band in PyTorch; `sese.runtime.band_head` runs it."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.runtime.band_evidence import BANDS, BELOW, FLOOR, LOWEST, WIDTH
from sese.runtime.band_head import PASSING
from sese.runtime.model_gain import UPPER

COMPRESSION = 0.3
"""Exponent of amplitudes in the loss."""

LEAST = 1e-4
"""Gain that the error of amplitudes does not tell from lower ones, -80 dB."""

DEEPEST = 2e-3
"""The same of the error of logarithms, -54 dB."""


class GainNetwork(nn.Module):
    """A GRU, and a linear layer that hears what bands exceed steady noise by as well.

    Args:
        units: Units of the recurrent layer.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, units, batch_first=True)
        self.gain = nn.Linear(units + BANDS, BANDS)
        with torch.no_grad():  # begins as Wiener's gains
            self.gain.weight[:, units:] = math.log(10) * torch.eye(BANDS)

    def forward(self, values: Tensor) -> Tensor:
        """Return gains [clip, point, band] in [0, 1] for values [clip, point, value]."""
        hidden, _ = self.gru(values)
        below = values[..., BELOW : 2 * BELOW]
        removed = (-PASSING * below.amin(-1, keepdim=True)).clamp(max=1)
        followed = 10 ** below[..., UPPER:].mean(-1, keepdim=True)
        heard = torch.cat([hidden, values[..., FLOOR:]], -1)
        return (1 - torch.sigmoid(-self.gain(heard)) * removed) * followed


def loss(gains: Tensor, values: Tensor, clean: Tensor, spare: float, depth: float) -> Tensor:
    """Return the mean squared error of compressed amplitudes, and of decibels where the signal is steady.

    The gain that is wanted is Wiener's, the share of the clean signal in the power. Amplitudes are relative
    to the running mean of the signal. They hardly tell -40 from -50 dB, but ears do in steady noise.

    Args:
        gains: [clip, point, band], in [0, 1].
        values: What the network heard, [clip, point, value].
        clean: Power of the clean signal over that of the mixture as a power of ten, [clip, point, band].
        spare: Weight of the error where the result is below the clean signal.
        depth: Weight of the squared error of logarithms, for a band that has steady noise alone.
    """
    noisy, excess = values[..., 2 * BELOW : FLOOR], values[..., FLOOR:]
    wanted = 10 ** ((noisy / 2 + clean) * COMPRESSION)
    error = gains.clamp(min=LEAST) ** COMPRESSION * 10 ** (noisy * COMPRESSION / 2) - wanted
    apart = gains.clamp(min=DEEPEST).log10() - clean.clamp(math.log10(DEEPEST), 0)
    steady = (0.5 - excess).clamp(0, 1) * (noisy > LOWEST)
    errors = _spared(error, spare) + depth * steady * _spared(apart, spare)
    return errors.mean()


def _spared(error: Tensor, spare: float) -> Tensor:
    """Return the square of an error, times `spare` where it is below zero."""
    return error.square() * torch.where(error < 0, spare, 1.0)


def load(network: GainNetwork, path: Path) -> None:
    """Give a network the weights of a file.

    Raises:
        InputError: The file cannot be read, or holds a network of another size.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} holds no network of {network.gru.hidden_size} units ({reason:.200})"
        ) from None


def save(network: GainNetwork, path: Path) -> None:
    """Write the weights of a network; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, part)
