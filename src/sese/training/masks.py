"""Training towards ideal binary masks, and bits that come in little by little, as bitwise networks learn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.backbones.bitwise import Bitwise
from sese.nn.enhancer import Enhancer
from sese.nn.features.short_time import ShortTimeFeatures
from sese.nn.layers.bitwise import Binarisation
from sese.nn.state import fresh


@dataclass(frozen=True)
class MasksConfig:
    """How a bitwise network learns.

    Attributes:
        shares: of weights and activations that are bits, one after the other, each for as many steps.
    """

    shares: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if not self.shares or not all(0 <= share <= 1 for share in self.shares):
            raise InputError(f"training.masks.shares is {list(self.shares)}; give shares from 0 to 1")

    def share_at(self, done: float) -> float:
        """Share of bits when `done`, in [0, 1], of the steps are behind."""
        return self.shares[min(int(done * len(self.shares)), len(self.shares) - 1)]


def mask_error(model: Enhancer, noisy: Tensor, clean: Tensor, how: Binarisation) -> Tensor:
    """Mean square of (mask made - ideal binary mask), both from -1 to 1.

    Args:
        model: with a bitwise backbone.
        noisy, clean: (batch, 1, time).
        how: which share of the network is bits.
    """
    assert isinstance(model.backbone, Bitwise)
    padded, speech = (F.pad(x, (0, model.padding(x.shape[2]))).squeeze(1) for x in (noisy, clean))
    state = fresh(model.state_shapes(), len(padded), padded)
    with torch.no_grad(), torch.autocast(noisy.device.type, enabled=False):
        given = {name.removeprefix("features."): value for name, value in state.items()}
        codes, spectrum, _ = model.features(padded, given)
        aim = 2.0 * ideal_masks(model, spectrum, speech) - 1.0
    given = {name.removeprefix("backbone."): value for name, value in state.items()}
    return (model.backbone.learn(codes, given, how)[0] - aim).square().mean()


def ideal_masks(model: Enhancer, spectrum: Tensor, speech: Tensor) -> Tensor:
    """1 where speech is stronger than what is mixed with it, else 0: (batch, frame, bin).

    Args:
        model: whose features make spectra.
        spectrum: (batch, frame * 2 * bin) of the mixtures.
        speech: (batch, time).
    """
    features = model.features
    assert isinstance(features, ShortTimeFeatures)
    past = speech.new_zeros(len(speech), features.n_fft - features.hop_length)
    quiet = features.analyse(speech, past)[0]
    noise = spectrum.unflatten(1, (-1, 2, features.bins)) - quiet
    return (quiet.square().sum(2) > noise.square().sum(2)).to(speech.dtype)
