"""The systems that there are."""

from __future__ import annotations

from sese.nn.systems.bitwise import BitwiseConfig
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

SYSTEMS = {
    "bitwise": BitwiseConfig,
    "bloom_net": BloomNetConfig,
    "boosted_hashing": BoostedHashingConfig,
    "cold_diffusion": ColdDiffusionConfig,
    "conv_fsenet": ConvFSENetConfig,
    "demucs": DemucsConfig,
    "ftf_net": FTFNetConfig,
    "gated_mixer": GatedMixerConfig,
    "local_experts": LocalExpertsConfig,
    "nsnet2": NsNet2Config,
    "spectral_mixer": SpectralMixerConfig,
}
"""`system` in a configuration -> the dataclass of `model` there."""
