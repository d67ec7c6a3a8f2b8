"""Training runs that stop and resume."""

from __future__ import annotations

import json
import logging
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import soundfile
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.nn import checkpoint
from sese.nn.policies.fixed import level_plans
from sese.training import run_folder
from sese.training.config import RunConfig
from sese.training.config_file import dump
from sese.training.data import MixtureData
from sese.training.methods import METHODS
from sese.training.run_folder import LAST
from sese.training.task import EnhancementTask


def train(config: RunConfig, folder: Path, resume: bool = False, max_minutes: float | None = None) -> bool:
    """Train a model, or continue a stopped training.

    The folder gets `config.yaml` (resolved), `metrics.jsonl`, `tensorboard/`, `samples/`,
    `checkpoints/last.ckpt` (to resume from), and the averaged weights as models: `last/` and `best/`.
    Boosting writes no checkpoints: it continues from `last/`.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        resume: Whether to continue from the last checkpoint: weights, averages, optimiser, schedule and order
            of the data.
        max_minutes: Stop with a checkpoint after this many minutes; None for no limit.

    Returns:
        Whether every step is done.

    Raises:
        InputError: the folder holds a run that is not to be resumed, or none to resume.
    """
    settings, method = config.training, METHODS[config.training.method]
    run_folder.check(folder, config, resume, method.resumes_from)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
    lightning.seed_everything(config.seed, verbose=False)
    _quieten()
    if method.run is not None:
        return method.run(config, folder, MixtureData(config), max_minutes)
    keeper = Keeper(config, folder, max_minutes)
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
        logger=[JsonLines(folder), TensorBoardLogger(folder, name="tensorboard", version="")],
        # The average is updated before the keeper saves it.
        callbacks=[Average(settings.ema_decay), keeper],
        plugins=[CheckpointFile()],
    )
    task, mixtures = EnhancementTask(config, initial=not resume), MixtureData(config)
    trainer.fit(task, mixtures, ckpt_path=folder / LAST if resume else None, weights_only=True)
    done = trainer.global_step >= settings.steps
    if done and settings.steps % settings.validate_steps:
        trainer.validate(task, mixtures, verbose=False)  # the last weights are often the best
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


class Average(WeightAveraging):
    """Average the weights exponentially; the decay grows to `decay`, which forgets the first steps."""

    def __init__(self, decay: float):
        def average(averaged: torch.Tensor, current: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
            now = torch.clamp((1 + updates) / (10 + updates), max=decay).to(averaged)
            return torch.lerp(current, averaged, now)

        super().__init__(use_buffers=False, avg_fn=average)


class Keeper(lightning.Callback):
    """Print the speed, write checkpoints, models and samples, and stop when time is up."""

    def __init__(self, config: RunConfig, folder: Path, max_minutes: float | None):
        self.config, self.folder = config, folder
        self.deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.seconds = 0.0
        self.since = (0, time.monotonic())

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"audio_seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that state."""
        self.seconds = state_dict["audio_seconds"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock and write the configuration, which nothing can refuse from here on."""
        if trainer.is_global_zero:
            run_folder.write_config(self.folder, dump(self.config))
            if not trainer.global_step:  # left by a run that ended before its first checkpoint
                (self.folder / "best" / "score.json").unlink(missing_ok=True)
        self.since = (trainer.global_step, time.monotonic())

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the speed, save when it is due, stop when time is up."""
        settings, step = self.config.training, trainer.global_step
        audio = batch.noisy.shape[0] * batch.noisy.shape[2] / self.config.model.sample_rate
        self.seconds += audio * trainer.world_size
        if step % settings.log_steps == 0:
            steps, elapsed = step - self.since[0], time.monotonic() - self.since[1]
            speed = steps * audio * trainer.world_size / elapsed
            self.since = (step, time.monotonic())
            pl_module.log("audio_seconds_per_second", speed)
            pl_module.log("audio_hours", self.seconds / 3600)
            pl_module.log("learning_rate", trainer.optimizers[0].param_groups[0]["lr"])
            loss = float(trainer.callback_metrics.get("train/loss", float("nan")))
            if trainer.is_global_zero:
                print(f"step {step}  loss {loss:.4f}  {speed:.1f} audio-s/s", flush=True)
        stop = self.deadline is not None and time.monotonic() > self.deadline
        stop = bool(trainer.strategy.broadcast(stop)) if trainer.world_size > 1 else stop
        due = stop or step >= settings.steps or step % settings.checkpoint_steps == 0
        # Before a validation nothing is saved: a resumed run takes the validation as done.
        if due and step % settings.validate_steps:
            self._save(trainer)
        if stop:
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Print the scores and save the best averaged weights."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if "val/" in name}
        if trainer.is_global_zero:
            text = "  ".join(f"{name.removeprefix('val/')} {scores[name]:.3f}" for name in sorted(scores))
            print(f"step {trainer.global_step}  {text}", flush=True)
            record = self.folder / "best" / "score.json"
            best = json.loads(record.read_text())["score"] if record.exists() else float("inf")
            if scores["val/score"] < best:
                self._write_model(self._averaged(trainer), "best")
                with replacing(record) as part:
                    part.write_text(json.dumps({"step": trainer.global_step, "score": scores["val/score"]}))
        if trainer.global_step % self.config.training.validate_steps == 0:
            self._save(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write a few enhanced clips to listen to."""
        if trainer.is_global_zero:
            self._write_samples(trainer, pl_module)

    def _save(self, trainer: lightning.Trainer) -> None:
        if trainer.is_global_zero:  # first: a run whose checkpoint is at the last step is not resumed
            self._write_model(self._averaged(trainer), "last")
        with replacing(self.folder / LAST) if trainer.is_global_zero else nullcontext(Path()) as part:
            trainer.save_checkpoint(trainer.strategy.broadcast(part))  # every process takes part

    def _averaged(self, trainer: lightning.Trainer) -> dict[str, torch.Tensor]:
        average = next(c for c in trainer.callbacks if isinstance(c, Average))  # type: ignore[attr-defined]
        assert average._average_model is not None
        return average._average_model.module.model.state_dict()  # type: ignore[union-attr]

    def _write_model(self, weights: dict[str, torch.Tensor], name: str) -> None:
        checkpoint.save(self.folder / name, self.config.system, self.config.model, weights)

    @torch.no_grad()
    def _write_samples(self, trainer: lightning.Trainer, task: EnhancementTask, clips: int = 3) -> None:
        batch = next(iter(trainer.datamodule.val_dataloader()))  # type: ignore[attr-defined]
        samples = self.folder / "samples" / f"step_{trainer.global_step}"
        rate = self.config.model.sample_rate
        noisy = batch.noisy[:clips].to(task.device)
        signals = {"noisy": noisy, "clean": batch.clean[:clips]}
        for level, plan in enumerate(level_plans(task.model)):
            signals[f"level_{level}"] = task.model.enhance_clip(noisy, plan)
        with replacing(samples, folder=True) as folder:
            for name, audio in signals.items():
                for number, clip in enumerate(audio.float().cpu().clamp(-1, 1)):
                    soundfile.write(folder / f"{number}_{name}.wav", clip[0].numpy(), rate)


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


def _quieten() -> None:
    """Silence Lightning's advertisements, and its advice on workers, which mixing here does not need."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
