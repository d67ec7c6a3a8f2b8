"""The systems that there are."""

from __future__ import annotations

from sese.nn.systems.bloom_net import BloomNetConfig
from sese.nn.systems.demucs import DemucsConfig
from sese.nn.systems.spectral_mixer import SpectralMixerConfig

SYSTEMS = {"bloom_net": BloomNetConfig, "demucs": DemucsConfig, "spectral_mixer": SpectralMixerConfig}
"""`model.system` in a configuration -> the dataclass of its values."""
