"""`sese train CONFIG [key=value ...]`."""

from __future__ import annotations

from pathlib import Path

from sese.cli.options import Changes, Resume, RunConfiguration, RunDir


def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
) -> None:
    """Train a model. Stops cleanly after max_minutes=N; --resume goes on."""
    from sese.cli.extras import require, take_minutes

    require("train", "torch", "lightning", "yaml")
    from sese.labels import training as labels
    from sese.training.config import read, read_values
    from sese.training.run import train as run
    from sese.training.run_folder import RESOLVED

    changes, minutes = take_minutes(overrides)
    if config.is_dir():
        config, run_dir = config / RESOLVED, run_dir or config
    if read_values(config, changes).get("system") == labels.SYSTEM:
        labelling = labels.read(config, changes)
        labels.train(labelling, run_dir or Path("runs") / labelling.name, resume, minutes)
        return
    resolved = read(config, changes)
    run(resolved, run_dir or Path("runs") / resolved.name, resume, minutes)
