"""Tests of the output of a training: the bar and its lines, the facts of a run, validations, and its end."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sese.data.synthetic import synthetic_banks
from sese.training import messages, progress
from sese.training.config import RunConfig, read
from sese.training.progress import Progress, duration, reading
from training.tiny_run import DEBUG, config


class Clock:
    """A clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)

    def run(self, shown: Progress, steps: int, seconds: float, audio_s: float = 8.0) -> None:
        for _ in range(steps):
            self.now += seconds
            shown.step(torch.tensor(0.5), audio_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def paper() -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), width=200, markup=False, highlight=False)


def lines(shown: Progress) -> list[str]:
    file = shown.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_lines_are_sparse_and_begin_with_the_first_step(clock: Clock) -> None:
    shown = Progress(100_000, console=paper())
    with shown:
        clock.run(shown, 3600, 1.0)
    assert lines(shown)[0] == "step 1 of 100,000  loss 0.5  8 audio-s/s  1 d 3 h left"
    assert lines(shown)[1].startswith("step 11 of 100,000")
    assert 20 < len(lines(shown)) < 60


def test_speed_forgets_and_leaves_validations_out(clock: Clock) -> None:
    shown = Progress(1000, validate_steps=100, console=paper())
    with shown:
        clock.run(shown, 50, 2.0)
        with shown.pause("validating"):
            clock.now += 300
        shown.validation_s = 300.0
        clock.run(shown, 50, 0.5)
    steps, audio_s = shown.speed
    assert steps == pytest.approx(2.0, rel=0.05)
    assert audio_s == pytest.approx(16.0, rel=0.05)
    left = shown.left_s(clock.now)
    assert left is not None
    assert left == pytest.approx(900 / 2 + 9 * 300, rel=0.05)


def test_the_time_limit_counts_where_it_is_sooner(clock: Clock) -> None:
    shown = Progress(10**7, deadline=clock.now + 60, console=paper())
    with shown:
        clock.run(shown, 30, 1.0)
    assert shown.left_s(clock.now) == pytest.approx(30)
    assert shown._share(clock.now) == pytest.approx(0.5)


def test_a_pause_leaves_nothing_on_the_bar(clock: Clock) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=20, legacy_windows=False)
    with Progress(200, console=screen) as shown:
        clock.run(shown, 100, 1.0)
        assert shown._bar is not None
        with shown.pause("validating"):
            assert shown._bar.tasks[0].fields["facts"] == "validating"
        assert shown._bar.tasks[0].fields["facts"].startswith("loss ")


def test_a_terminal_gets_a_bar_and_lines_above_it(clock: Clock) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=20, legacy_windows=False)
    shown = Progress(200, console=screen)
    with shown:
        clock.run(shown, 100, 1.0)
        shown.note("validated [bold]as it is\x1b[31m")
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert "step 100 of 200" in text
    assert "8 audio-s/s" in text
    assert "1 min 40 s left" in text
    assert "\x1b[31m" not in text
    assert "as it is\\x1b[31m" in text


def test_quiet_processes_show_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(10, quiet=True)
    with shown:
        shown.note("nothing")
        clock.run(shown, 10, 60.0)
    with reading("a folder", quiet=True) as tell:
        clock.now += 60
        tell(1, 2)
    assert capsys.readouterr().out == ""


def test_decoding_is_told_where_it_takes_long(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with reading("corpus/train") as tell:
        for done in range(10):
            clock.now += 4
            tell(done, 10)
    assert capsys.readouterr().out.splitlines() == [
        "reading corpus/train",
        *(f"reading corpus/train: {done} of 10 recordings decoded" for done in (2, 5, 8)),
    ]


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59.6, 3599, 90_000)] == ["0 s", "1 min 0 s", "59 min 59 s", "1 d 1 h"]


def facts(settings: RunConfig) -> str:
    model = settings.model.build()
    if settings.training.train_only == ("policy",):
        model.backbone.requires_grad_(False)
    banks = synthetic_banks(16000, 1), synthetic_banks(16000, 2)
    return messages.banner(
        settings, Path("my runs/a"), model, banks, torch.device("cpu"), 2, "https://curves"
    )


def test_the_banner_has_the_facts() -> None:
    text = facts(config("training.batch_size=8", "data.mix.seconds=2", "training.steps=900"))
    weights = sum(p.numel() for p in config().model.build().parameters())
    for part in (
        f"parameters        {weights:,}\n",
        "100% of the compute",
        "8 recordings, 8 speakers",
        "8 recordings, 8 categories",
        "900 steps of 16 clips of 2 s, 8.0 h of audio",
        "2 processes",
        "folder            my runs/a\n",
        "tensorboard --logdir 'my runs/a/tensorboard'",
        "Weights & Biases  https://curves",
    ):
        assert part in text
    assert "tensorboard" not in facts(config("training.logger=[]"))


def test_a_validation_is_a_table_by_share_of_compute() -> None:
    means = {
        "si_sdr/noisy": 5.0,
        "loss/0": 0.25,
        "si_sdr/0": 7.25,
        "loss/1": 0.125,
        "si_sdr/1": 9.0,
        "si_sdr/routed": 8.0,
        "loss/routed": 0.2,
        "utilization": 0.4,
        "noise_correlation": 0.5,
        "score": 0.2,
    }
    assert messages.validation(means, ["25%", "100%"], 1200, "the best so far").splitlines() == [
        "step 1,200: score 0.2000, the best so far (lower is better)",
        "  share of compute           SI-SDR, dB    loss",
        "  noisy input                       5.0       –",
        "  25%                               7.2  0.2500",
        "  100%                              9.0  0.1250",
        "  40%, decided by the model         8.0  0.2000",
        "  noise_correlation 0.500",
    ]
    only = messages.validation({"cross_entropy": 0.5, "score": 0.5}, ["expert 1"], 3, "")
    assert only == "step 3: score 0.5000 (lower is better)\n  cross_entropy 0.500"


def test_the_end_says_what_was_reached_and_how_to_go_on() -> None:
    record = {"step": 600, "score": 0.2, "means": {"pesq/1": 1.6, "pesq/noisy": 1.4, "si_sdr/1": 9.0}}
    assert messages.reached(record, ["25%", "100%"]) == (
        "best validation at step 600, score 0.2000: PESQ 1.60 (noisy 1.40), SI-SDR 9.0 dB "
        "with 100% of the compute"
    )
    assert messages.reached({"step": 6, "score": 0.2}, ["25%"]) == "best validation at step 6, score 0.2000"
    assert "sese train 'my runs/a' --resume max_minutes=5\n" in messages.commands(Path("my runs/a"), False, 5)
    done = messages.commands(Path("runs/a"), True)
    assert "--resume" not in done
    assert "sese export runs/a -o models/a" in done
    assert (
        messages.ended(5, 10, 7200, 61)
        == "stopped at step 5 of 10; 2.0 h of audio in all, 1 min 1 s this time"
    )
    assert messages.ended(10, 10, 30, 5).startswith("all 10 steps are done; 30 s of audio")


def test_the_loss_is_a_mean_that_leaves_out_what_is_not_finite(clock: Clock) -> None:
    shown = Progress(10, console=paper())
    assert math.isnan(shown.loss)
    with shown:
        for loss in (1.0, math.nan, 3.0):
            shown.step(loss)
    assert shown.loss == 2.0


def test_names_of_experts_are_no_shares() -> None:
    experts = read(
        DEBUG.parent / "local_experts" / "sex.yaml", ["training.experts.table=sex.csv"]
    ).model.build()
    assert messages.level_names(experts) == ["expert 1", "expert 2"]
