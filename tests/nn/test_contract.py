"""Every system keeps the contract; a new one is one line here."""

from __future__ import annotations

import pytest

from contract import BackboneContract, PolicyContract
from sese.nn.systems.bloom_net import BloomNetConfig
from sese.nn.systems.boosted_hashing import BoostedHashingConfig
from sese.nn.systems.cold_diffusion import ColdDiffusionConfig
from sese.nn.systems.conv_fsenet import ConvFSENetConfig
from sese.nn.systems.demucs import DemucsConfig
from sese.nn.systems.ftf_net import FTFNetConfig
from sese.nn.systems.gated_mixer import GatedMixerConfig
from sese.nn.systems.local_experts import LocalExpertsConfig
from sese.nn.systems.nsnet2 import NsNet2Config
from sese.nn.systems.spectral_mixer import SpectralMixerConfig

STEPS = {"n_fft": 128, "hop_length": 64, "bands": ((8, 8),), "channels": 8, "blocks": 1, "band_units": 4}

GATED = {
    "n_fft": 128,
    "hop_length": 64,
    "bands": ((8, 8),),
    "channels": 8,
    "blocks": (1, 2, 3),
    "band_units": (4, 6, 8),
    "time_units": (4, 6, 8),
}

SYSTEMS = {
    "bloom-net": BloomNetConfig(hop_length=16, stride=4, filters=12, channels=6, hidden=8, blocks=3),
    "bloom-net-dilated": BloomNetConfig(
        hop_length=8, stride=4, filters=12, channels=6, hidden=8, blocks=3, dilation_growth=3
    ),
    "boosted-hashing": BoostedHashingConfig(
        n_fft=64, hop_length=32, bits=(8, 20, 50), frames=200, neighbours=5
    ),
    "cold-diffusion": ColdDiffusionConfig(**STEPS, time_units=8, channel_units=8),
    "cold-diffusion-shared": ColdDiffusionConfig(**STEPS, time_units=8, channel_units=8, shared=True),
    "cold-diffusion-plain": ColdDiffusionConfig(**STEPS, time_units=8, channel_units=8, aim="clean"),
    "demucs": DemucsConfig(channels=8, depth=4, oversampling=1, groups=2),
    "demucs-x2": DemucsConfig(channels=8, depth=4, oversampling=2, groups=2),
    "spectral-mixer": SpectralMixerConfig(
        channels=8, band_units=(4, 4, 6, 8), time_units=(4, 5, 6, 8), channel_units=(3, 4, 6, 8)
    ),
    "conv-fsenet": ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2),
    "conv-fsenet-gates": ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2, gate_channels=4),
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
    "ftf-net": FTFNetConfig(n_fft=128, hop_length=64, channels=(4, 8, 8), window=5),
    "gated-mixer": GatedMixerConfig(**GATED),
    "gated-mixer-bands": GatedMixerConfig(**{**GATED, "bands": ((4, 4), (3, 16)), "blocks": (2, 2, 2)}),
    "local-experts": LocalExpertsConfig(n_fft=64, hop_length=32, hidden=6, experts=3),
    "local-experts-deep": LocalExpertsConfig(n_fft=64, hop_length=32, hidden=6, layers=3, experts=2),
    "demucs-x4": DemucsConfig(channels=8, depth=3, oversampling=4, groups=2, layers=1),
    "nsnet2": NsNet2Config(hidden=24, wide=36),
    "nsnet2-separate": NsNet2Config(n_fft=128, hop_length=64, hidden=24, wide=36, split="separate"),
    "nsnet2-joined": NsNet2Config(n_fft=128, hop_length=64, hidden=32, wide=48, split="joined"),
}

ROUTED = {
    "cold-diffusion-router": ColdDiffusionConfig(**STEPS, time_units=8, channel_units=8, router_channels=10),
    "conv-fsenet-router": ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2, router_channels=12),
    "bloom-net-router": BloomNetConfig(
        hop_length=128, stride=8, filters=16, channels=6, hidden=8, blocks=3, router_channels=12
    ),
    "local-experts-gate": LocalExpertsConfig(
        n_fft=64, hop_length=32, hidden=6, experts=3, gate_hidden=5, gate_seconds=0.01
    ),
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
    "demucs-router": DemucsConfig(channels=8, depth=4, oversampling=1, groups=2, router_channels=4),
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


@pytest.mark.parametrize("config", SYSTEMS.values(), ids=SYSTEMS)
class TestContract(BackboneContract):
    pass


@pytest.mark.parametrize("config", ROUTED.values(), ids=ROUTED)
class TestPolicyContract(PolicyContract):
    pass
