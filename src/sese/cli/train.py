"""`sese train CONFIG [key=value ...]`."""

from __future__ import annotations

import time
from pathlib import Path

from sese.cli.options import Changes, Resume, RunConfiguration, RunDir, run_of, take_minutes


def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
) -> None:
    """Train a model. Ctrl-C stops it with a checkpoint, max_minutes=N after N minutes; --resume continues."""
    began = time.monotonic()  # the time to load PyTorch counts
    from sese.cli.extras import require

    require("train", "torch", "lightning", "yaml")
    from sese.labels import training as labels
    from sese.training.config import parse
    from sese.training.config_file import read_values
    from sese.training.run import train as run

    changes, minutes = take_minutes(overrides)
    config, run_dir = run_of(config, run_dir, resume)
    values = read_values(config, changes)
    if values.get("system") == labels.SYSTEM:
        labelling = labels.parse(values)
        left = None if minutes is None else minutes - (time.monotonic() - began) / 60
        labels.train(labelling, run_dir or Path("runs") / labelling.name, resume, left)
        return
    resolved = parse(values)
    if resolved.data.pesq_clips:
        require("metrics", "pesq")
    run(resolved, run_dir or Path("runs") / resolved.name, resume, minutes, began=began)
