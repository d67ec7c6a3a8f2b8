"""A run on synthetic signals that takes a second or two, and its clips."""

from __future__ import annotations

from pathlib import Path

from sese.quality.config import QualityConfig, read

CONFIG = Path(__file__).parents[2] / "src" / "sese" / "configs" / "quality" / "bam.yaml"


def config(cache: Path, *overrides: str) -> QualityConfig:
    return read(
        CONFIG,
        [
            "data.synthetic=true",
            f"data.cache_dir={cache}",
            "data.clips=9",
            "data.validation_clips=4",
            "data.mix.reverb=0",
            "network.seconds=1.0",
            "network.bands=16",
            "network.channels=[8,8,8,16]",
            "network.hidden=[16,16]",
            "training.batch_size=3",
            "training.steps=6",
            "training.warmup_steps=2",
            "training.validate_steps=3",
            "training.log_steps=1",
            *overrides,
        ],
    )
