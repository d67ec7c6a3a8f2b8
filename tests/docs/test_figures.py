"""The figures of bundled models on the pages are those that the models carry."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from pages import ROOT, name

from sese.runtime.artefact import open_artefact

TABLES = ["README.md", "docs/systems/gated_mixer.md", "docs/results/gated_mixer.md"]
METRICS = {"PESQ": "pesq_wb", "STOI": "stoi", "ESTOI": "estoi", "SI-SDR": "si_sdr"}
ROW = re.compile(r"^\| `(sese-2|demucs-slim-small)`, `([\w:.]+)`(?: \(default\))? \|(.*)\|$")


def rows(page: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Return the model, the budget and the scores of each row that names both, with the heads as keys."""
    found: list[tuple[str, str, dict[str, str]]] = []
    head: list[str] = []
    for before, line in pairwise(page.read_text().splitlines()):
        if re.match(r"\|( ---:? \|)+$", line):
            head = [cell.strip() for cell in before.split("|")[1:-1]]
        if match := ROW.match(line):
            cells = [cell.strip() for cell in match[3].split("|")]
            found.append((match[1], match[2], dict(zip(head[1:], cells, strict=True))))
    return found


@pytest.mark.parametrize("page", [ROOT / page for page in TABLES], ids=name)
def test_quality_is_that_of_the_bundled_weights(page: Path) -> None:
    """Pages kept the figures of older weights after the models were replaced."""
    compared = 0
    for model, budget, cells in rows(page):
        quality = open_artefact(model).card.quality
        scores = quality.get(budget) or quality[f"fixed:{budget.removeprefix('fixed:')}"]
        for head, written in cells.items():
            metric = METRICS.get(head.split("-WB")[0].split(",")[0])
            if metric:
                digits = len(written.partition(".")[2])
                assert written == f"{scores[metric]:.{digits}f}", (model, budget, head)
                compared += 1
    assert compared >= 9
