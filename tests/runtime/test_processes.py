"""Enhancers in other processes and threads: pickled, copied, forked; and the threads that they start."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sese
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions

AUDIO = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
OPTIONS = EnhanceOptions("fixed:0.25", max_mmacs=0.9, mix=0.5)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_again(tiny: Path, again: Callable[[Enhancer], Enhancer]) -> None:
    enhancer = Enhancer(tiny, options=OPTIONS)
    other = again(enhancer)
    assert other.options == enhancer.options
    assert other.card == enhancer.card
    np.testing.assert_array_equal(other.enhance(AUDIO, 16000), enhancer.enhance(AUDIO, 16000))


def test_pickle_is_small_and_knows_where_its_model_is(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(pickle.dumps(sese.load("sese-2"))) < 1000
    monkeypatch.chdir(tiny.parent)
    data = pickle.dumps(sese.load(tiny.name))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(data).card.name == "tiny"


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_in_a_pool(tiny: Path, method: str) -> None:
    """As joblib and Dask do: the enhancer goes with each task."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    enhancer = Enhancer(tiny, options=OPTIONS)
    expected = enhancer.enhance(AUDIO, 16000)
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        for done in pool.map(enhancer.enhance, [AUDIO] * 3, [16000] * 3):
            np.testing.assert_array_equal(done, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_while_threads_enhance(remembering: Path) -> None:
    """The child opens a session of its own, and gives the same samples."""
    enhancer = sese.load(remembering)
    expected = enhancer.enhance(AUDIO, 16000)
    stream = enhancer.stream(latency="high")  # opened before, fed after
    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(enhancer.enhance, AUDIO, 16000) for _ in range(20)]
        for _ in range(3):
            child = os.fork()
            if child == 0:
                right = np.array_equal(enhancer.enhance(AUDIO, 16000), expected)
                parts = [stream.feed(AUDIO), stream.flush()]
                right = right and np.allclose(np.concatenate(parts), expected, atol=1e-6)
                os._exit(0 if right else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for one in working:
            np.testing.assert_array_equal(one.result(), expected)


def test_from_threads(remembering: Path) -> None:
    enhancer = sese.load(remembering)
    signals = [AUDIO * gain for gain in np.linspace(0.1, 1, 16)]
    expected = [enhancer.enhance(signal, 16000) for signal in signals]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda signal: enhancer.enhance(signal, 16000), signals))
    np.testing.assert_array_equal(done, expected)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_no_threads_are_started(tiny: Path) -> None:
    """One thread is within any quota of a container."""
    before = len(os.listdir("/proc/self/task"))
    sese.load(tiny).enhance(AUDIO, 16000)
    assert len(os.listdir("/proc/self/task")) == before
