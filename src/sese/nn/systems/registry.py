"""The systems that there are."""

from __future__ import annotations

from sese.nn.systems.demucs import DemucsConfig
from sese.nn.systems.ftf_net import FTFNetConfig
from sese.nn.systems.spectral_mixer import SpectralMixerConfig

SYSTEMS = {"demucs": DemucsConfig, "ftf_net": FTFNetConfig, "spectral_mixer": SpectralMixerConfig}
"""`model.system` in a configuration -> the dataclass of its values."""
