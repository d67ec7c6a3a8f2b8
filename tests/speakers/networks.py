"""Small networks for the tests of speakers."""

from __future__ import annotations

from pathlib import Path

import torch

from sese.nn.backbones.local_experts import LocalExpertsConfig
from sese.speakers.embedding import SpeakerNet, SpeakerNetConfig

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs" / "speakers"
SMALL = SpeakerNetConfig(bands=32, hidden=8, layers=2)


def net(seed: int = 0) -> SpeakerNet:
    """Return a small embedding with random weights."""
    torch.manual_seed(seed)
    return SpeakerNet(SMALL).eval()


def generalist() -> tuple[LocalExpertsConfig, dict[str, torch.Tensor]]:
    """Return a small network without experts, and its random weights."""
    torch.manual_seed(2)
    config = LocalExpertsConfig(hidden=6, experts=1)
    return config, config.build().state_dict()
