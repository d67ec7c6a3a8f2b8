"""Training runs that stop and resume."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sese.core.errors import InputError
from sese.core.stopping import StopRequest
from sese.training import messages, run_folder
from sese.training.config import RunConfig
from sese.training.data import MixtureData, check_named, is_first
from sese.training.keeper import Average, Keeper
from sese.training.loggers import loggers, wandb_run
from sese.training.loop import STOPPING
from sese.training.methods import METHODS
from sese.training.process import prepare
from sese.training.resolved import dump_run
from sese.training.run_folder import LAST
from sese.training.task import EnhancementTask


def train(
    config: RunConfig,
    folder: Path,
    resume: bool = False,
    max_minutes: float | None = None,
    *,
    began: float | None = None,
    advise: bool = True,
) -> bool:
    """Train a model, or continue a stopped training.

    The folder gets `config.yaml` (what the method uses), `metrics.jsonl`, `tensorboard/`, `samples/`,
    `checkpoints/last.ckpt` (to resume from), and the averaged weights as models: `last/` and `best/`.
    Boosting writes no checkpoints: it continues from `last/`.

    SIGINT and SIGTERM end it after the step that is under way, with a checkpoint, and are sent again then.
    While recordings are still decoded, they end it at once.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        resume: Whether to continue from the last checkpoint: weights, averages, optimiser, schedule and order
            of the data.
        max_minutes: End after this many minutes, with a validation and a checkpoint; None for no limit.
        began: Time from which the minutes count, as `time.monotonic` returned it; None for now.
        advise: Whether to print the commands to go on with.

    Returns:
        Whether every step is done.

    Raises:
        InputError: the folder holds a run that is not to be resumed, or none to resume; or there is no data.
    """
    settings, method = config.training, METHODS[config.training.method]
    begun = time.monotonic() if began is None else began
    run_folder.check(folder, config, resume, method.resumes_from)
    check_named(config.data)
    prepare(settings.threads)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
    lightning.seed_everything(config.seed, verbose=False)
    _quieten()
    deadline = None if max_minutes is None else begun + 60 * max_minutes
    with StopRequest("" if method.run else STOPPING) as stop:
        if method.run is None:
            done = _fit(config, folder, resume, deadline, stop)
        else:
            data = MixtureData(config)
            with stop.at_once():
                data.setup("fit")
            run_folder.write_config(folder, dump_run(config, policy=False))
            left = None if deadline is None else (deadline - time.monotonic()) / 60
            done = method.run(config, folder, data, left)
        if stop.number and not is_first():  # without a line of its own
            raise SystemExit(128 + stop.number)
        if advise and is_first():
            print(messages.commands(folder, done, max_minutes), flush=True)
    return done


def _fit(config: RunConfig, folder: Path, resume: bool, deadline: float | None, stop: StopRequest) -> bool:
    """Train with Lightning; see `train`."""
    settings, began = config.training, time.monotonic()
    keeper, made = Keeper(config, folder, stop, deadline), loggers(config, folder)
    trainer = _trainer(
        config,
        default_root_dir=folder,
        max_steps=settings.steps,
        gradient_clip_val=settings.clip_norm,
        val_check_interval=settings.validate_steps,
        check_val_every_n_epoch=None,
        log_every_n_steps=settings.log_steps,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        logger=made,
        # The average is updated before the keeper saves it.
        callbacks=[Average(settings.ema_decay), keeper],
        plugins=[CheckpointFile()],
    )
    task, mixtures = EnhancementTask(config, initial=not resume), MixtureData(config)
    with stop.at_once():  # decoding may take minutes, and there is no step to save yet
        mixtures.setup("fit")  # before an account elsewhere hears of the run
    with wandb_run(made) as keeper.curves:
        trainer.fit(task, mixtures, ckpt_path=folder / LAST if resume else None, weights_only=True)
        step = trainer.global_step
        done = step >= settings.steps
        if done and not keeper.stepped and is_first():
            print(f"all {step:,} steps were done before; add training.steps=N, above that, for more")
        if done and settings.steps % settings.validate_steps and not stop.number:
            trainer.validate(task, mixtures, verbose=False)  # the last weights are often the best
    if trainer.is_global_zero:
        if keeper.stepped:
            print(messages.ended(step, settings.steps, keeper.seconds, time.monotonic() - began))
        if (best := run_folder.best(folder)) is not None:
            print(messages.reached(best, messages.level_names(task.model)), flush=True)
    return done


def _trainer(config: RunConfig, **settings: Any) -> lightning.Trainer:
    where = {name: getattr(config.training, name) for name in ("precision", "devices", "strategy")}
    try:
        return lightning.Trainer(**where, **settings)
    except (ValueError, MisconfigurationException) as error:
        named = ", ".join(f"training.{name} {value!r}" for name, value in where.items())
        raise InputError(f"cannot train with {named}: {str(error).splitlines()[0]}") from None


def resumable(config: RunConfig, folder: Path) -> bool:
    """Return whether a folder holds a run that can be resumed."""
    return (folder / METHODS[config.training.method].resumes_from).exists()


class CheckpointFile(TorchCheckpointIO):
    """Write checkpoints directly, not through the temporary folder, which may be full or slow."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write plain values and tensors."""
        torch.save(checkpoint, path)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint onto the CPU.

        Raises:
            InputError: it is missing or damaged.
        """
        with run_folder.restoring(Path(path)) as checkpoint:
            return checkpoint


def _quieten() -> None:
    """Silence Lightning's advertisements, and its advice on workers, which mixing here does not need."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
