"""Where the measurements of a run go besides the screen: JSON lines always, TensorBoard, Weights & Biases."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.training import run_folder
from sese.training.config import RunConfig
from sese.training.resolved import values_in_use

WANDB_ID = "wandb/run-id"
"""File in a run's folder with the run's name at Weights & Biases, so that a resumed run goes on there."""


def loggers(config: RunConfig, folder: Path) -> list[Logger]:
    """Return the loggers of a run: JSON lines, and those that `training.logger` names.

    Raises:
        InputError: Weights & Biases is named and not installed.
    """
    made: list[Logger] = [JsonLines(folder)]
    if "tensorboard" in config.training.logger:
        made.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    if "wandb" in config.training.logger:
        if importlib.util.find_spec("wandb") is None:
            raise InputError(
                "training.logger names wandb, which is not installed; run: pip install wandb, "
                "or leave training.logger out"
            )
        made.append(_wandb(config, folder))
    return made


@contextmanager
def wandb_run(made: list[Logger]) -> Iterator[str]:
    """A context of the run at Weights & Biases, where that is among the loggers.

    Yields:
        Address of the run, or the command that sends it there later; empty for no such logger.

    Raises:
        InputError: it cannot be started: without an account, or without a connection.
    """
    logger = next((each for each in made if isinstance(each, WandbLogger)), None)
    if logger is None:
        yield ""
        return
    try:
        started = logger.experiment
    except Exception as error:  # wandb raises several kinds, without a common base
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"Weights & Biases cannot start ({reason[0]}); run `wandb login`, set WANDB_MODE=offline, or "
            "leave training.logger=wandb out"
        ) from None
    place = str(getattr(started, "dir", "")).removesuffix("/files")
    try:
        yield getattr(started, "url", None) or f"wandb sync {shlex.quote(place)}"
    finally:
        started.finish()  # so that the next run of this process is one of its own


def _wandb(config: RunConfig, folder: Path) -> WandbLogger:
    @rank_zero_only
    def run_id() -> str:
        file = folder / WANDB_ID
        if not file.exists():
            with replacing(file) as part:
                part.write_text(secrets.token_hex(8))
        return file.read_text().strip()

    os.environ.setdefault("WANDB_SILENT", "true")
    return WandbLogger(
        name=config.name,
        project=os.environ.get("WANDB_PROJECT", "sese"),
        id=run_id(),
        resume="allow",
        save_dir=folder,
        config=values_in_use(config),
    )


class JsonLines(Logger):
    """Write metrics as JSON lines into `metrics.jsonl`, one object for each call."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    @property
    def name(self) -> str:
        """Name that Lightning asks for."""
        return "metrics"

    @property
    def version(self) -> str:
        """Version that Lightning asks for."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> None:
        """Experiment that Lightning asks for."""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a line."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        run_folder.note(self.folder, {"step": step, **values})
