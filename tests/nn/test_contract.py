"""Every system keeps the contract; a new one is one line here."""

from __future__ import annotations

import pytest

from contract import BackboneContract, PolicyContract
from sese.nn.build import DemucsConfig

SYSTEMS = {
    "demucs": DemucsConfig(channels=8, depth=4, oversampling=1, groups=2),
    "demucs-x2": DemucsConfig(channels=8, depth=4, oversampling=2, groups=2),
    "demucs-x4": DemucsConfig(channels=8, depth=3, oversampling=4, groups=2, layers=1),
}

ROUTED = {"demucs-router": DemucsConfig(channels=8, depth=4, oversampling=1, groups=2, router_channels=4)}


@pytest.mark.parametrize("config", SYSTEMS.values(), ids=SYSTEMS)
class TestContract(BackboneContract):
    pass


@pytest.mark.parametrize("config", ROUTED.values(), ids=ROUTED)
class TestPolicyContract(PolicyContract):
    pass
