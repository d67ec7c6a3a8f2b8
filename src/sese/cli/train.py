"""`sese train CONFIG [key=value ...]`."""

from __future__ import annotations

from pathlib import Path

from sese.cli.options import Changes, Resume, RunConfiguration, RunDir, run_of, take_minutes


def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
) -> None:
    """Train a model. With max_minutes=N it stops cleanly after N minutes; --resume continues."""
    from sese.cli.extras import require

    require("train", "torch", "lightning", "yaml")
    from sese.labels import training as labels
    from sese.training.config import parse
    from sese.training.config_file import read_values
    from sese.training.run import train as run

    changes, minutes = take_minutes(overrides)
    config, run_dir = run_of(config, run_dir)
    values = read_values(config, changes)
    if values.get("system") == labels.SYSTEM:
        labelling = labels.parse(values)
        labels.train(labelling, run_dir or Path("runs") / labelling.name, resume, minutes)
        return
    resolved = parse(values)
    if resolved.data.pesq_clips:
        require("metrics", "pesq")
    run(resolved, run_dir or Path("runs") / resolved.name, resume, minutes)
