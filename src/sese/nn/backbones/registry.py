"""Systems by name. Each is the file of its name, which holds its configuration and its backbone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_CONFIGURATIONS = {
    "bitwise": "BitwiseConfig",
    "bloom_net": "BloomNetConfig",
    "boosted_hashing": "BoostedHashingConfig",
    "cold_diffusion": "ColdDiffusionConfig",
    "conv_fsenet": "ConvFSENetConfig",
    "demucs": "DemucsConfig",
    "ftf_net": "FTFNetConfig",
    "gated_mixer": "GatedMixerConfig",
    "local_experts": "LocalExpertsConfig",
    "nsnet2": "NsNet2Config",
    "spectral_mixer": "SpectralMixerConfig",
}

SYSTEMS: dict[str, type[Any]] = {
    name: getattr(import_module(f"sese.nn.backbones.{name}"), configuration)
    for name, configuration in _CONFIGURATIONS.items()
}
"""Value of `system` in a configuration -> dataclass of its section `model`; `build()` makes the network."""
