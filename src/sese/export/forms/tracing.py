"""Put the layers of a network into the form in which they are traced."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from sese.export.forms import (
    attention,
    bitwise,
    convolutions,
    gated_mixer,
    products,
    recurrent,
    spectra,
    waveform,
)
from sese.export.forms.form import Form, own_methods

FORMS: dict[type[nn.Module], Form] = {
    **attention.FORMS,
    **bitwise.FORMS,
    **convolutions.FORMS,
    **gated_mixer.FORMS,
    **products.FORMS,
    **recurrent.FORMS,
    **spectra.FORMS,
    **waveform.FORMS,
}
"""The form of each class of layers; it also holds for classes that inherit from that class."""

Network = TypeVar("Network", bound=nn.Module)


def for_tracing(network: Network, many: bool) -> Network:
    """Return a copy of a network in the form in which it is traced.

    Args:
        network: whole network, or a part of one, ready for inference.
        many: whether it is traced for any number of frames; else for one frame.
    """
    network = copy.deepcopy(network)
    for layer in network.modules():
        vars(layer).update({**form_of(layer, many), **own_methods(layer)})
    return network


def form_of(layer: nn.Module, many: bool) -> Mapping[str, Callable[..., Any]]:
    """Return the methods that replace a layer's own while it is traced; none where it has no form."""
    for kind in type(layer).__mro__:
        if kind in FORMS:
            return FORMS[kind](layer, many)
    return {}
