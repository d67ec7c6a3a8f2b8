"""Do the work around the steps of a run: progress, checkpoints, models, samples, and the stop."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import soundfile
import torch
from lightning.pytorch.callbacks import WeightAveraging

from sese.core.files import replacing
from sese.core.stopping import StopRequest
from sese.data.mixing import Mixture
from sese.nn import checkpoint
from sese.nn.policies.fixed import level_plans
from sese.training import messages, run_folder
from sese.training.config import RunConfig
from sese.training.progress import Progress
from sese.training.resolved import dump_run
from sese.training.run_folder import LAST
from sese.training.task import EnhancementTask

END_S = 2.0
"""Time in seconds that a run is given after its last validation, for the checkpoint and the samples."""

NO_PESQ = 10**6
"""Number of a batch of the validation that has no clip for PESQ."""


class Average(WeightAveraging):
    """Average the weights exponentially; the decay grows to `decay`, which forgets the first steps."""

    def __init__(self, decay: float):
        def average(averaged: torch.Tensor, current: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
            now = torch.clamp((1 + updates) / (10 + updates), max=decay).to(averaged)
            return torch.lerp(current, averaged, now)

        super().__init__(use_buffers=False, avg_fn=average)


class Keeper(lightning.Callback):
    """Show the progress, write checkpoints, models and samples, and stop when time is up or a signal came.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        stop: Signals to stop.
        deadline: Time at which the run has to end, its last validation included; None for no limit.

    Attributes:
        seconds: Seconds of audio that the run was trained on.
        curves: Where measurements can be seen besides TensorBoard; empty for nowhere.
        stepped: Whether there were any steps.
        cut: Whether the last validation was cut short, by a signal.
    """

    def __init__(self, config: RunConfig, folder: Path, stop: StopRequest, deadline: float | None):
        self.config, self.folder, self.stop, self.deadline = config, folder, stop, deadline
        self.seconds, self.curves, self.stepped, self.cut = 0.0, "", False, False
        self.since = (0, time.monotonic())
        self.progress = Progress(config.training.steps, quiet=True)
        self.validation_s, self.levels = 0.0, [""]

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"audio_seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that state."""
        self.seconds = state_dict["audio_seconds"]

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Note the levels, and which process speaks."""
        self.levels = messages.level_names(pl_module.model)
        self.progress.quiet = not trainer.is_global_zero

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock and write the configuration, which nothing can refuse from here on."""
        assert isinstance(pl_module, EnhancementTask)
        if trainer.is_global_zero:
            policy = pl_module.model.policy
            trained = policy is not None and any(weight.requires_grad for weight in policy.parameters())
            run_folder.write_config(self.folder, dump_run(self.config, trained))
            if not trainer.global_step:  # left by a run that ended before its first checkpoint
                (self.folder / run_folder.BEST).unlink(missing_ok=True)
        banks = trainer.datamodule.banks  # type: ignore[attr-defined]
        settings = self.config.training
        self.progress = Progress(
            settings.steps,
            trainer.global_step,
            validate_steps=settings.validate_steps,
            deadline=self.deadline,
            quiet=not trainer.is_global_zero,
        )
        facts = (self.config, self.folder, pl_module.model, banks, pl_module.device, trainer.world_size)
        self.progress.note(messages.banner(*facts, self.curves))
        self.progress.__enter__()
        if self.deadline is not None:
            self.validation_s = self._estimate(trainer, pl_module)
        self.stop.listen()  # in place of Lightning's own answer to SIGTERM
        self.since = (trainer.global_step, time.monotonic())

    def teardown(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """End the bar."""
        self.progress.__exit__()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """End the bar before the error is shown."""
        self.teardown(trainer, pl_module, "")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the speed, save when it is due, stop when time is up or a signal came."""
        settings, step = self.config.training, trainer.global_step
        audio = batch.noisy.shape[0] * batch.noisy.shape[2] / self.config.model.sample_rate
        audio *= trainer.world_size
        self.seconds += audio
        self.progress.step(outputs["loss"].detach(), audio)
        self.stepped = True
        if step % settings.log_steps == 0:
            steps, elapsed = step - self.since[0], time.monotonic() - self.since[1]
            self.since = (step, time.monotonic())
            pl_module.log("audio_seconds_per_second", steps * audio / elapsed)
            pl_module.log("audio_hours", self.seconds / 3600)
            pl_module.log("learning_rate", trainer.optimizers[0].param_groups[0]["lr"])
        ends = self.deadline is not None and time.monotonic() + self._reserve() > self.deadline
        number, late = _agreed(trainer, self.stop.number, int(ends))
        self.stop.number = number
        stop = bool(number or late)
        due = stop or step >= settings.steps or step % settings.checkpoint_steps == 0
        # Before a validation nothing is saved: a resumed run takes the validation as done.
        if due and step % settings.validate_steps:
            self._save(trainer)
        if stop:
            trainer.should_stop = True

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock of the validation."""
        self.cut, self.began = False, time.monotonic()
        self.pause = self.progress.pause("validating")
        self.pause.__enter__()

    def on_validation_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Leave the rest of a validation out where a signal came: the checkpoint does not wait for it."""
        (self.stop.number,) = _agreed(trainer, self.stop.number)
        if self.stop.number:
            self.cut = trainer.should_stop = True
            pl_module.validated = {}
            raise StopIteration  # which ends Lightning's loop over the batches

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Print the scores and save the best averaged weights."""
        self.pause.__exit__(None, None, None)
        if not self.cut:
            self.validation_s = self.progress.validation_s = time.monotonic() - self.began
            if trainer.is_global_zero:
                self._judge(trainer)
        if trainer.global_step % self.config.training.validate_steps == 0:
            self._save(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write a few enhanced clips to listen to."""
        if trainer.is_global_zero and not self.stop.number:
            self._write_samples(trainer, pl_module)

    def _judge(self, trainer: lightning.Trainer) -> None:
        """Print the scores of a validation; keep the weights where they are the best so far."""
        means = {
            name.removeprefix("val/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }
        step, score = trainer.global_step, means["score"]
        before = run_folder.best(self.folder)
        verdict = "the best so far"
        if before is not None and score >= before["score"]:
            verdict = f"the best is {before['score']:.4f} at step {before['step']:,}"
        self.progress.note(messages.validation(means, self.levels, step, verdict))
        if before is None or score < before["score"]:
            self._write_model(self._averaged(trainer), "best")
            run_folder.write_best(self.folder, {"step": step, "score": score, "means": means})

    def _reserve(self) -> float:
        """Return the time in seconds that the run needs after its last step."""
        return 1.1 * self.validation_s + END_S

    @torch.no_grad()
    def _estimate(self, trainer: lightning.Trainer, task: EnhancementTask) -> float:
        """Return how long a validation takes, in seconds, from two of its clips."""
        data, batch = self.config.data, next(iter(trainer.datamodule.val_dataloader()))  # type: ignore[attr-defined]
        parts = (None if part is None else part[:2].to(task.device) for part in batch)
        two = Mixture(*parts)  # type: ignore[arg-type]
        clips = len(two.noisy)
        times = []
        was = task.training
        task.eval()
        with torch.random.fork_rng(), trainer.precision_plugin.val_step_context():
            scoring = (0, 0) if data.pesq_clips else ()
            for number in (NO_PESQ, NO_PESQ, *scoring):  # the first one of each warms up
                begun = time.monotonic()
                task.validation_step(two, number)
                times.append(time.monotonic() - begun)
        task.validated = {}
        task.train(was)
        scored = min(clips, data.pesq_clips)
        pesq = (times[-1] - times[1]) * data.pesq_clips / scored if scored else 0.0
        return times[1] * data.validation_clips / clips + max(0.0, pesq)

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


def _agreed(trainer: lightning.Trainer, *numbers: int) -> list[int]:
    """Return the largest of each number over all processes, so that all stop at the same step."""
    if trainer.world_size == 1:
        return list(numbers)
    values = torch.tensor(numbers, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
    return [int(value) for value in values]
