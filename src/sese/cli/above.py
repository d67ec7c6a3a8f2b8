"""`sese above`: train the network that chooses gains above a model's band."""

from __future__ import annotations

from pathlib import Path

from sese.cli.apps import App
from sese.cli.options import Changes, Resume, RunConfiguration, RunDir, run_of, take_minutes

app = App("Train the network for frequencies above a model's band.", no_args_is_help=True)


@app.verb("train", "sese above train above/band_head --run-dir runs/above")
def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
) -> None:
    """Compute the examples and train. max_minutes=N stops it after N minutes; --resume continues.

    `best/model.safetensors` in the run's folder takes the place of the file of that name in the package's
    folder pretrained/band-head.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors", "yaml")
    from sese.above.config import read
    from sese.above.training import train as run

    changes, minutes = take_minutes(overrides)
    config, run_dir = run_of(config, run_dir)
    resolved = read(config, changes)
    run(resolved, run_dir or Path("runs") / resolved.name, resume, minutes)
