from __future__ import annotations

from pathlib import Path

import pytest

from data.tiny import RATE, make_corpus
from sese.data.bank import load_bank
from sese.data.corpora import scan


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def banks(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    found, cache = scan(corpus), tmp_path_factory.mktemp("cache")
    return tuple(load_bank(part, RATE, cache) for part in (found.speech, found.noise, found.rir))
