"""A few clips to look at and listen to, chosen by a fixed rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sese.evaluation import scoring
from sese.evaluation.pairs import Pair, read_pair
from sese.evaluation.results import Evaluation, LevelResult
from sese.evaluation.scoring import ENHANCER, NOISY

COUNT = 4  # clips that the rule can choose
LONGEST = 10  # seconds of a clip that are shown


@dataclass(frozen=True)
class Example:
    """One clip: why it was chosen, and its signals, float32 [time] at 16 kHz.

    Attributes:
        scores: scores of the noisy and the enhanced clip in `column`.
        trace: utilization [frame], or None; `frame_s` is the seconds of one frame.
    """

    name: str
    why: str
    level: str
    column: str
    scores: tuple[float, float]
    clean: np.ndarray
    noisy: np.ndarray
    enhanced: np.ndarray
    trace: np.ndarray | None
    frame_s: float


def choose(result: Evaluation, count: int = COUNT) -> tuple[LevelResult, str, dict[str, str]]:
    """Choose the clips of an evaluation to show.

    The first `count` of: the clip with the worst, the median and the best improvement in SI-SDR (or the
    first metric there is), and the one with the lowest input SNR. A clip that is two of these comes once.

    Returns:
        The level they are shown at (the router where there is one, else the last asked for), the column,
        and file name -> why.
    """
    level = next((each for each in result["levels"] if each["budget"] == "auto"), result["levels"][-1])
    columns = list(level["mean"])
    column = "si_sdr" if "si_sdr" in columns else columns[0]
    noisy = {row["file"]: row for row in result["files"] if row["level"] == NOISY}
    rows = [row for row in result["files"] if row["level"] == level["level"]]
    gains = [(row[column] - noisy[row["file"]][column], row["file"]) for row in rows]
    gains = sorted(pair for pair in gains if math.isfinite(pair[0]))
    picks = []
    if gains:
        for why, (_, name) in (
            ("worst improvement", gains[0]),
            ("median improvement", gains[len(gains) // 2]),
            ("best improvement", gains[-1]),
        ):
            picks.append((name, why))
    known = [(row["snr_db"], name) for name, row in noisy.items() if row["snr_db"] is not None]
    if known:
        picks.append((min(known)[1], "lowest input SNR"))
    chosen: dict[str, str] = {}
    for name, why in picks[:count]:
        chosen[name] = f"{chosen[name]}, {why}" if name in chosen else why
    return level, column, chosen


def make_examples(
    result: Evaluation, pairs: Sequence[Pair], count: int = COUNT, *, enhancer: str = ENHANCER
) -> list[Example]:
    """Enhance the chosen clips once more; of long ones the first 10 seconds are kept.

    Args:
        result: result of `sese.evaluation.suite.evaluate` for these `pairs` and this `enhancer`.
        count: largest number of clips, up to 4.

    Raises:
        InputError: the model or a file cannot be read any more.
    """
    level, column, chosen = choose(result, count)
    if not chosen or level["budget"] is None:
        return []
    model = scoring.resolve(enhancer)(result["model"], budget=level["budget"])
    card = getattr(model, "card", None)
    frame_s = card.hop_length / card.sample_rate if card else math.nan
    values = {(row["file"], row["level"]): row[column] for row in result["files"]}
    found = {pair.name: pair for pair in pairs}
    examples = []
    for name, why in chosen.items():
        clean, noisy = read_pair(found[name])
        made = scoring.run(model, noisy)
        samples = LONGEST * result["sample_rate"]
        frames = None if made.trace is None else math.ceil(LONGEST / frame_s)
        examples.append(
            Example(
                name,
                why,
                level["level"],
                column,
                (values[name, NOISY], values[name, level["level"]]),
                clean[:samples],
                noisy[:samples],
                made.audio[:samples],
                None if made.trace is None else made.trace[:frames],
                frame_s,
            )
        )
    return examples
