"""Open a network and clips to compress it with."""

from __future__ import annotations

from pathlib import Path

from sese.compression.subject import Subject
from sese.core.errors import InputError
from sese.runtime.weights_folder import weights_folder

SHORTEST_S, LONGEST_S = 0.1, 60.0
"""Shortest and longest clip in seconds."""

MAY_BE_0 = ("tune", "listen", "max_minutes")
"""Options that ask for nothing then."""


def open_subject(model: Path, data: Path, limit: int, seconds: float, test: bool = False) -> Subject:
    """Open a network with clips to measure it on.

    Args:
        model: a run folder, a folder with a network, or the name of a bundled model.
        data: pairs for an enhancer; a corpus for a network that labels speech.
        limit: clips to take.
        seconds: length of each clip in seconds.
        test: take all speakers and noises of a corpus, not only those that the network's training left out.

    Raises:
        InputError: no network there, or one that cannot be compressed, or no clips.
    """
    folder = weights_folder(model)
    if not folder.is_dir():
        raise InputError(
            f"{model} is not a folder; give a run folder, one with a network, or a bundled model"
        )
    from sese.nn.label_network import is_label_net

    if is_label_net(folder):
        from sese.compression.labelling import Labelling
        from sese.labels.training import read
        from sese.training.run_folder import RESOLVED

        path = model / RESOLVED
        if not path.is_file():
            raise InputError(
                f"{model} has no {RESOLVED}; give the run folder of a network that labels speech"
            )
        run = read(path, [f"data.seconds={seconds}"])
        return Labelling(folder, run.data, run.seed, "all" if test else "held_out", [data], limit)
    from sese.compression.enhancement import Enhancement
    from sese.evaluation.pairs import find_pairs

    return Enhancement(folder, find_pairs(data, limit), seconds)


def check(**numbers: float) -> None:
    """Check that numbers of options are above 0, but for `MAY_BE_0`, and lengths of clips within bounds.

    Raises:
        InputError: names the option.
    """
    for name, number in numbers.items():
        option = f"--{name.replace('_', '-')}"
        if name.endswith("seconds") and not SHORTEST_S <= number <= LONGEST_S:
            raise InputError(f"{option} is {number}; use {SHORTEST_S:g} to {LONGEST_S:g}")
        if not number > 0 and not (name in MAY_BE_0 and number == 0):
            least = "0 or a number above it" if name in MAY_BE_0 else "a number above 0"
            raise InputError(f"{option} is {number}; use {least}")
