from __future__ import annotations

import base64
import importlib.util
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import soundfile
from evaluation_signals import RATE, write_corpus

from sese.core.install import install_command
from sese.evaluation.examples import choose, make_examples
from sese.evaluation.page import to_html
from sese.evaluation.pairs import Pair, find_pairs
from sese.evaluation.suite import evaluate

SWITCHING = "evaluation_signals:Switching"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    return find_pairs(write_corpus(tmp_path_factory.mktemp("page") / "corpus"))


@pytest.fixture(scope="module")
def result(pairs: list[Pair]) -> dict[str, Any]:
    return evaluate("<mine>", pairs, metrics=["stoi", "si_sdr"], jobs=1, enhancer=SWITCHING)


class Parts(HTMLParser):
    """The tags of a page, and what is left open at its end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_holds_all_it_shows(result: dict[str, Any], pairs: list[Pair]) -> None:
    text = to_html(result, make_examples(result, pairs, enhancer=SWITCHING))
    parts = Parts(text)
    assert parts.open == []
    assert all(source.startswith("data:") for source in parts.sources)
    assert "<h1>Evaluation of &lt;mine&gt;</h1>" in text
    assert (
        text.count("data:image/svg+xml") == 2
    )  # against MACs, utilization; not by input SNR, of one file each
    mean = result["levels"][-1]["mean"]["si_sdr"]
    assert f"<td>{mean['mean']:.1f}<small>{mean['low']:.1f} to {mean['high']:.1f}</small></td>" in text


def test_players_hold_the_clips(result: dict[str, Any], pairs: list[Pair]) -> None:
    (example,) = make_examples(result, pairs, 1, enhancer=SWITCHING)
    text = to_html(result, [example])
    sounds = [base64.b64decode(found) for found in re.findall(r'data:audio/flac;base64,([^"]*)', text)]
    assert len(sounds) == 3
    for sound, audio in zip(sounds, (example.noisy, example.enhanced, example.clean), strict=True):
        read, rate = soundfile.read(io.BytesIO(sound))
        assert rate == RATE
        assert np.abs(read - np.clip(audio, -1, 1)).max() < 1e-4
    # A frame is 10 ms of the two seconds; every other one runs the cheapest level.
    assert example.frame_s == 0.01
    assert example.trace is not None
    assert example.trace.tolist() == [0.25, 1.0] * 100


def test_clips_are_the_worst_the_median_and_the_best() -> None:
    noisy = [{"file": str(n), "level": "noisy", "snr_db": 9 - n, "si_sdr": 5.0} for n in range(5)]
    gains = [3.0, 1.0, float("nan"), 9.0, 2.0]
    rows = [{"file": str(n), "level": "x", "snr_db": 9 - n, "si_sdr": 5 + g} for n, g in enumerate(gains)]
    levels = [{"level": "x", "budget": 1.0, "mean": {"stoi": {}, "si_sdr": {}}}]
    _, column, chosen = choose({"levels": levels, "files": noisy + rows})
    assert column == "si_sdr"
    assert chosen == {
        "1": "worst improvement",
        "0": "median improvement",
        "3": "best improvement",
        "4": "lowest input SNR",
    }
    assert list(choose({"levels": levels, "files": noisy + rows}, 2)[2]) == ["1", "0"]


def test_only_what_is_decided_on_the_way_counts_as_varying(result: dict[str, Any]) -> None:
    assert [level["dynamic"] for level in result["levels"][1:]] == [
        False,
        False,
        False,
        True,
    ]


def test_without_matplotlib_the_page_says_what_to_install(
    result: dict[str, Any], pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = make_examples(result, pairs, 1, enhancer=SWITCHING)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = to_html(result, examples)
    assert install_command("metrics") in text.replace("&quot;", '"')
    assert "data:image" not in text
    assert "data:audio/flac" in text
