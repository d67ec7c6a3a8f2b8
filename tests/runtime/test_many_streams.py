"""Many streams on one model, from many threads: each as if it were alone, and light."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from runtime.test_stream import through
from sese.runtime.enhancer import Enhancer

STREAMS, THREADS = 100, 8
BUDGETS = (1.0, "auto", 0.4, "threshold", "fixed:0.125")
RATES = (16000, 48000, 8000)

MEMORY = """
import sys
import numpy as np
from sese.runtime.enhancer import Enhancer

def resident_kb():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

enhancer, rate = Enhancer("demucs-slim-small"), int(sys.argv[1])
chunk = np.random.default_rng(0).normal(0, 0.1, rate // 50).astype(np.float32)

def fed():
    stream = enhancer.stream(rate)
    for _ in range(5):
        stream.feed(chunk)
    return stream

streams = [fed() for _ in range(100)]  # fill what the heap has left over
before = resident_kb()
streams += [fed() for _ in range(200)]
print((resident_kb() - before) / 200)
"""


def test_streams_in_threads_are_as_alone() -> None:
    enhancer = Enhancer("demucs-slim-small")
    signals = {
        rate: np.random.default_rng(rate).normal(0, 0.1, (5, rate // 5)).astype(np.float32) for rate in RATES
    }
    cases = [(BUDGETS[i % len(BUDGETS)], RATES[i % len(RATES)], i // 20) for i in range(STREAMS)]
    alone = {
        case: through(enhancer.stream(case[1], budget=case[0]), signals[case[1]][case[2]], [case[1] // 50])
        for case in set(cases)
    }
    streams = [enhancer.stream(rate, budget=budget) for budget, rate, _ in cases]
    outputs: list[list[np.ndarray]] = [[] for _ in cases]
    together = threading.Barrier(THREADS)

    def feed(mine: range) -> None:
        together.wait()
        for piece in range(10):  # all streams are under way all the time
            for at in mine:
                _, rate, signal = cases[at]
                size = rate // 50
                outputs[at].append(streams[at].feed(signals[rate][signal, piece * size : (piece + 1) * size]))
        for at in mine:
            outputs[at].append(streams[at].flush())

    threads = [threading.Thread(target=feed, args=(range(t, STREAMS, THREADS),)) for t in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for case, parts in zip(cases, outputs, strict=True):
        np.testing.assert_allclose(np.concatenate(parts), alone[case], atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("rate", "limit_kb"), [(16000, 200), (48000, 250)])
def test_a_stream_is_light(rate: int, limit_kb: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(rate)], capture_output=True, text=True, check=True
    )
    assert float(ran.stdout) < limit_kb
