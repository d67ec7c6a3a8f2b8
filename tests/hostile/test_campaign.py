"""A few hundred cases of the campaign; `python tests/hostile/campaign.py` has ten thousand."""

from __future__ import annotations

import numpy as np
import pytest
from campaign import attack
from mutate import mutated
from targets import TARGETS

CASES = {
    "enhance": 60,
    "corpus": 30,
    "stream": 40,
    "stdin": 6,
    "model": 50,
    "weights+packed+record+config": 200,
}
"""Those that need PyTorch are attacked by one process, which imports it once."""

SEED = 20


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_found(name: str):
    ends, findings = attack(name, SEED, CASES[name])
    assert not findings, f"{name} {findings[0].number}: {findings[0].what}"
    assert ends.total() == CASES[name]
    assert ends["refused"] or CASES[name] < 10, "some of the files are damaged beyond use"
    assert ends["done"], "whole files are read"


def test_every_target_is_attacked():
    assert {name for names in CASES for name in names.split("+")} == set(TARGETS)


def test_mutations_change_something_and_repeat():
    data = bytes(range(256)) * 8
    made = [mutated(data, [data[::-1]], np.random.default_rng(seed)) for seed in range(50)]
    again = [mutated(data, [data[::-1]], np.random.default_rng(seed)) for seed in range(50)]
    assert made == again
    assert sum(changed != data for changed in made) > 45
    assert len(set(map(len, made))) > 10


def test_the_campaign_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """A reader that fails in each of the ways is found each time."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys\n"
        "first, last = int(sys.argv[3]), int(sys.argv[4])\n"
        "for number in range(first, last):\n"
        "    print('begin', number, flush=True)\n"
        "    if number == 1: os.abort()\n"
        "    if number == 3: print('end', 3, 'raised ValueError', flush=True); sys.exit()\n"
        "    print('end', number, 'done', flush=True)\n"
    )
    monkeypatch.setattr("campaign.WORKER", script)
    ends, findings = attack("enhance", 0, 6)
    assert [finding.number for finding in findings] == [1, 3]
    assert "exit code -6" in findings[0].what
    assert "ValueError" in findings[1].what
    assert ends["done"] == 4
