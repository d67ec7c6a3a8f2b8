"""Every registered system keeps the contract, at its `small` values and at the variants below."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from contract import BackboneContract, PolicyContract
from sese.nn.backbones import registry
from sese.nn.backbones.bloom_net import BloomNetConfig
from sese.nn.backbones.cold_diffusion import ColdDiffusionConfig
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.backbones.demucs import DemucsConfig
from sese.nn.backbones.ftf_net import FTFNetConfig
from sese.nn.backbones.gated_mixer import GatedMixerConfig
from sese.nn.backbones.local_experts import LocalExpertsConfig
from sese.nn.backbones.nsnet2 import NsNet2Config
from sese.nn.backbones.spectral_mixer import SpectralMixerConfig

ELSEWHERE = {"bitwise"}
"""Systems whose contract has exceptions; tests/nn/test_bitwise.py holds it."""

REGISTERED = {
    name.replace("_", "-"): kind for name, kind in registry.SYSTEMS.items() if name not in ELSEWHERE
}

VARIANTS = {
    "bloom-net-dilated": BloomNetConfig(
        hop_length=8, stride=4, filters=12, channels=6, hidden=8, blocks=3, dilation_growth=3
    ),
    "cold-diffusion-shared": ColdDiffusionConfig(**ColdDiffusionConfig.small, shared=True),
    "cold-diffusion-plain": ColdDiffusionConfig(**ColdDiffusionConfig.small, aim="clean"),
    "demucs-rests": DemucsConfig(**DemucsConfig.small, activity_units=6),
    "demucs-x2": DemucsConfig(channels=8, depth=4, oversampling=2, groups=2),
    "demucs-x4": DemucsConfig(channels=8, depth=3, oversampling=4, groups=2, layers=1),
    "conv-fsenet-gates": ConvFSENetConfig(**ConvFSENetConfig.small, gate_channels=4),
    "spectral-mixer-fast": SpectralMixerConfig(
        n_fft=256,
        hop_length=128,
        bands=((16, 8),),
        channels=8,
        blocks=(1, 2, 2),
        band_units=(2, 4, 4),
        time_units=(4, 4, 8),
        channel_units=(4, 4, 8),
    ),
    "gated-mixer-bands": GatedMixerConfig(
        **{**GatedMixerConfig.small, "bands": ((4, 4), (3, 16)), "blocks": (2, 2, 2)}
    ),
    "local-experts-deep": LocalExpertsConfig(n_fft=64, hop_length=32, hidden=6, layers=3, experts=2),
    "nsnet2-separate": NsNet2Config(n_fft=128, hop_length=64, hidden=24, wide=36, split="separate"),
    "nsnet2-joined": NsNet2Config(n_fft=128, hop_length=64, hidden=32, wide=48, split="joined"),
}

ROUTED_VARIANTS = {
    "bloom-net-router": BloomNetConfig(
        hop_length=128, stride=8, filters=16, channels=6, hidden=8, blocks=3, router_channels=12
    ),
    "local-experts-gate": LocalExpertsConfig(**LocalExpertsConfig.small, gate_hidden=5, gate_seconds=0.01),
    "local-experts-deep-gate": LocalExpertsConfig(
        n_fft=64,
        hop_length=32,
        hidden=6,
        experts=4,
        gate_hidden=6,
        gate_layers=3,
        gate_bands=8,
        gate_seconds=0.01,
    ),
    "spectral-mixer-router": SpectralMixerConfig(channels=8, time_units=(8, 8, 12, 16), router_channels=8),
    "nsnet2-router": NsNet2Config(n_fft=128, hop_length=64, hidden=24, wide=36, router_channels=5),
    "ftf-net-router": FTFNetConfig(
        n_fft=64,
        hop_length=32,
        channels=(4, 8),
        groups=(1, 2, 4),
        heads=(1, 2, 4),
        widths=(0.25, 0.5, 1.0),
        window=5,
        router_channels=12,
    ),
}


def has_router(kind: type[Any]) -> bool:
    """Return whether a system's configuration can ask for a router."""
    return any(field.name == "router_channels" for field in dataclasses.fields(kind))


SYSTEMS = {name: kind(**kind.small) for name, kind in REGISTERED.items()} | VARIANTS
ROUTED = {
    f"{name}-router": kind(**kind.small, router_channels=8)
    for name, kind in REGISTERED.items()
    if has_router(kind)
} | ROUTED_VARIANTS


@pytest.mark.parametrize("config", SYSTEMS.values(), ids=SYSTEMS)
class TestContract(BackboneContract):
    pass


@pytest.mark.parametrize("config", ROUTED.values(), ids=ROUTED)
class TestPolicyContract(PolicyContract):
    pass
