"""Run a model between a microphone and a loudspeaker: two bounded queues, and a thread between them.

    input callback -> captured -> thread: model, bypass, drift -> to play -> output callback

The callbacks only move samples. Where the model falls behind, `captured` fills and then loses input. Where
nothing is left to play, silence is played. Where much more waits to be played than intended, the oldest
samples are left out, so that the delay returns to its former value.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, Thread
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from sese.live.bypass import Bypass
from sese.live.drift import Drift
from sese.live.ring import Ring
from sese.runtime.stream import Stream

CAPTURED_SECONDS = 0.5
"""Length of input that may wait for the model; two blocks where these are longer."""

LONGEST_CHUNK_SECONDS = 0.1
"""Longest chunk for the model, so that a backlog is processed in steps."""

SLACK_SECONDS = 0.1
"""Excess that may wait to be played before samples are left out."""

FALL_SECONDS = 0.3
"""Time in which a level meter falls to a third."""


@dataclass
class Counts:
    """Number of dropouts of each kind so far.

    Attributes:
        input_overflows: The sound card lost input.
        output_underflows: The sound card had nothing to play.
        lost: Input was lost because the model was behind.
        starved: Silence was played because nothing was ready.
        skipped: Samples were left out to catch up.
    """

    input_overflows: int = 0
    output_underflows: int = 0
    lost: int = 0
    starved: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """Number of all dropouts: moments that may have been audible."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Meters:
    """Values for the screen: peaks in [0, 1], the last share of compute, and the recent real-time factor."""

    peak_in: float = 0.0
    peak_out: float = 0.0
    level: float = float("nan")
    real_time_factor: float = float("nan")


class Engine:
    """A model between an input and an output callback.

    Args:
        stream: Stream through the model.
        buffer_frames: Number of frames that wait to be played when playing begins, besides a block.
        block_frames: Approximate number of frames that a callback brings or takes.
        correct_drift: Whether to hold the delay where the clocks of the devices differ, see
            `sese.live.drift`.

    Attributes:
        bypass: Whether the input is heard.
        counts: Number of dropouts.
        meters: Values for the screen.
        fed: Number of frames that went through the model.
        calls: Number of blocks that the input and the output callback moved.
        error: Error that ended the thread; None without one.
    """

    def __init__(
        self,
        stream: Stream,
        buffer_frames: int,
        block_frames: int,
        correct_drift: bool = True,
    ) -> None:
        rate, card = stream.sample_rate, stream.artefact.card
        frame = -(
            -card.hop_length * rate // card.sample_rate
        )  # number of frames that the model returns at a time
        self._stream, self._rate = stream, rate
        self.target_frames = buffer_frames + max(frame, block_frames)
        self._most = self.target_frames + max(frame, block_frames) + round(SLACK_SECONDS * rate)
        self._chunk = max(1, round(LONGEST_CHUNK_SECONDS * rate))
        self._captured = Ring(max(round(CAPTURED_SECONDS * rate), 2 * block_frames), stream.channels)
        self._to_play = Ring(self._most + self._chunk + frame, stream.channels)
        self._bypass = Bypass(rate, stream.channels)
        self._correct_drift = correct_drift
        self._drift = Drift(buffer_frames, rate, stream.channels)
        self._playing = False
        self._stop = Event()
        self._thread = Thread(target=self._run, name="model", daemon=True)
        self.counts, self.meters = Counts(), Meters()
        self.fed = 0
        self.calls = [0, 0]
        self.error: Exception | None = None

    @property
    def corrected_samples(self) -> int:
        """Number of samples inserted or left out so far because the clocks of the devices differ."""
        return self._drift.corrected_samples

    @property
    def bypass(self) -> bool:
        """Whether the original is heard."""
        return self._bypass.on

    @bypass.setter
    def bypass(self, on: bool) -> None:
        self._bypass.on = on

    def start(self) -> None:
        """Start the model's thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the model's thread; input that it has not enhanced by then is lost."""
        self._stop.set()
        self._thread.join()

    def take(self, block: NDArray[np.float32], overflow: bool = False) -> None:
        """Take a block ``[frame, channel]`` from the input callback; `overflow`: input before it was lost."""
        self.calls[0] += 1
        self.counts.input_overflows += overflow
        self.counts.lost += self._captured.write(block) > 0

    def give(self, out: NDArray[np.float32], underflow: bool = False) -> None:
        """Fill a block ``[frame, channel]`` for the output callback.

        All channels are the same where the stream has only one. `underflow`: the block before came too late.
        """
        self.calls[1] += 1
        self.counts.output_underflows += underflow
        if not self._playing and len(self._to_play) < self.target_frames:
            out[:] = 0
            return
        block = self._to_play.read(len(out))
        self._playing = len(block) == len(out)
        if self._playing:
            self._drift.see(len(self._to_play))
        else:
            self._drift.restart()
            self.counts.starved += 1
        out[: len(block)] = block
        out[len(block) :] = 0

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                block = self._captured.read(self._chunk, timeout=0.1)
                if len(block):
                    self._enhance(block)
        except Exception as error:  # the thread that watches raises it
            self.error = error

    def _enhance(self, block: NDArray[np.float32]) -> None:
        started = perf_counter()
        enhanced = self._stream.feed(block.T).T
        spent = perf_counter() - started
        heard = self._bypass(block, enhanced)
        if self._correct_drift:
            heard = self._drift(heard)
        self.fed += len(block)
        excess = len(self._to_play) + len(heard) - self._most
        if excess > 0:
            self._to_play.read(excess + self._most - self.target_frames)
            self._drift.restart()
            self.counts.skipped += 1
        self._to_play.write(heard)
        self._show(block, heard, spent)

    def _show(self, block: NDArray[np.float32], heard: NDArray[np.float32], spent: float) -> None:
        seconds, before = len(block) / self._rate, self.meters
        fall = 3 ** (-seconds / FALL_SECONDS)
        used = self._stream.trace
        factor, keep = spent / seconds, np.exp(-seconds)
        if not np.isnan(before.real_time_factor):
            factor = float(keep * before.real_time_factor + (1 - keep) * factor)
        self.meters = Meters(
            max(before.peak_in * fall, _peak(block)),
            max(before.peak_out * fall, _peak(heard)) if len(heard) else before.peak_out * fall,
            float(used[-1]) if len(used) else float("nan"),
            factor,
        )


def _peak(block: NDArray[np.float32]) -> float:
    return float(np.abs(block).max(initial=0))
