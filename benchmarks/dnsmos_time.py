"""Time DNSMOS P.835 with and without sharing the work of overlapping segments.

    python benchmarks/dnsmos_time.py [--rounds 5] [--seconds 4 10 20]

CPU time of one thread, medians of the rounds; both ways run in each round. The ratios are the figures to
quote.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from time import process_time

import numpy as np

from sese.core.tables import table
from sese.evaluation import dnsmos
from sese.evaluation.dnsmos_network import open_session, raw_scores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of timings of each way")
    parser.add_argument(
        "--seconds", type=float, nargs="*", default=[4.0, 10.0, 20.0], help="lengths of files"
    )
    options = parser.parse_args()
    network = dnsmos.model_folder() / dnsmos.P835
    whole = open_session(network)
    rows = []
    for seconds in options.seconds:
        generator = np.random.default_rng(0)
        noise = 0.1 * generator.standard_normal(int(seconds * dnsmos.SAMPLE_RATE))
        audio, starts = dnsmos.segments_of(noise)

        def separately(audio: np.ndarray = audio, starts: list[int] = starts) -> np.ndarray:
            parts = (audio[start * dnsmos.SAMPLE_RATE :][: dnsmos.SEGMENT] for start in starts)
            return np.stack([whole.run(None, {"input_1": part[None]})[0][0] for part in parts])

        def shared(audio: np.ndarray = audio, starts: list[int] = starts) -> np.ndarray:
            return raw_scores(network, audio, starts)

        ways: list[Callable[[], np.ndarray]] = [separately, shared]
        difference = np.abs(np.subtract(*(way() for way in ways))).max()  # also opens the sessions
        times: list[list[float]] = [[], []]
        for _ in range(options.rounds):
            for way, spent in zip(ways, times, strict=True):
                began = process_time()
                way()
                spent.append(process_time() - began)
        apart, together = map(statistics.median, times)
        cells = [
            f"{seconds:g}",
            f"{len(starts)}",
            f"{apart:.2f}",
            f"{together:.2f}",
            f"{apart / together:.1f}",
        ]
        rows.append([*cells, f"{difference:.0e}"])
    print(
        "\n".join(table(["file, s", "segments", "separately, s", "shared, s", "ratio", "difference"], rows))
    )


if __name__ == "__main__":
    main()
