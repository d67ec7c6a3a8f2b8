"""Configurations and manifests: what is written reads back as what it was."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sese.core.errors import InputError
from sese.folders.inputs import Job
from sese.folders.job import Outcome
from sese.folders.manifest import SETTINGS, Manifest
from sese.nn.backbones.registry import SYSTEMS
from sese.training.config import RunConfig, parse, read
from sese.training.config_file import dump

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
OTHERS = {"above", "adaptation", "labels", "quality", "speakers", "sweeps"}
"""Families that other functions read."""

TRAININGS = [
    path
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if path.parent.name not in OTHERS and not path.stem.startswith("common")
]
finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_reads_back_as_it_was_dumped(system: str) -> None:
    training: dict[str, Any] = {"method": "full"}
    training |= {"boosted_hashing": {"method": "boosting"}, "bitwise": {"method": "masks"}}.get(system, {})
    values = {"system": system, "training": training}
    try:
        config = parse(values)
    except InputError as error:  # what bits are trained by depends on the network
        values["model"] = {"binary": False}
        config = parse(values) if "masks" in str(error) else None
    assert config is not None
    assert parse(yaml.safe_load(dump(config))) == config


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_configuration_reads_back_as_it_was_dumped(path: Path) -> None:
    config = read(path)
    assert parse(yaml.safe_load(dump(config))) == config


@given(
    name=names, seed=st.integers(0, 2**31 - 1), rate=st.floats(1e-12, 1e3),
    folders=st.lists(names, max_size=3), low=finite, width=st.floats(0, 100), steps=st.integers(1, 2**31 - 1),
    words=st.lists(names, max_size=3),
)  # fmt: skip
def test_any_values_read_back(
    name: str, seed: int, rate: float, folders: list[str], low: float, width: float, steps: int,
    words: list[str],
) -> None:  # fmt: skip
    """Numbers that YAML would take for text, text that it would take for numbers, any letters."""
    values = {
        "name": name, "seed": seed,
        "data": {"train": folders, "mix": {"snr_db": [low, low + width]}},
        "training": {"learning_rate": rate, "steps": steps},
    }  # fmt: skip
    config = parse(values)
    assert config.data.train == tuple(folders)
    assert parse(yaml.safe_load(dump(config))) == config
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.yaml")
        path.write_text(dump(config))
        assert read(path) == config


@functools.cache
def leaves() -> list[tuple[str, ...]]:
    def of(value: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        if dataclasses.is_dataclass(value):
            fields = [f.name for f in dataclasses.fields(value)]
            return [leaf for name in fields for leaf in of(getattr(value, name), (*path, name))]
        return [path]

    return of(parse({}), ())


@given(
    where=st.deferred(lambda: st.sampled_from(leaves())),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | names,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
        max_leaves=5,
    ),
)
def test_any_value_anywhere_is_taken_or_refused(where: tuple[str, ...], value: Any) -> None:
    values: dict[str, Any] = {}
    node = values
    for key in where[:-1]:
        node = node.setdefault(key, {})
    node[where[-1]] = value
    try:
        config = parse(values)
    except InputError:
        return
    assert isinstance(config, RunConfig)
    assert parse(yaml.safe_load(dump(config))) == config


rows = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from(["done", "failed", "skipped"]), st.sampled_from([0.3, 1.0, "auto"])
    ),
    max_size=12,
)


@given(rows=rows, stop=st.integers(0, 12), cut=st.integers(0, 30), letters=names)
def test_a_manifest_knows_what_it_was_told(
    rows: list[tuple[int, str, float | str]], stop: int, cut: int, letters: str
) -> None:
    """In one run or two, with a last line that was torn: the same settings count as changed."""
    jobs = [Job(f"in/{letters}{n}.wav", f"out/{letters}{n}.wav") for n in range(6)]

    def settings_of(budget: float | str) -> dict[str, Any]:
        return dict.fromkeys(SETTINGS) | {"model": "tiny 1", "budget": budget}

    def fill(manifest: Manifest, some: list[tuple[int, str, float | str]]) -> None:
        for n, status, budget in some:
            manifest.add(Outcome(jobs[n], status), settings_of(budget))

    with tempfile.TemporaryDirectory() as folder:
        once, twice = (Path(folder) / name for name in ("once.jsonl", "twice.jsonl"))
        with Manifest(once) as manifest:
            fill(manifest, rows)
        with Manifest(twice) as manifest:
            fill(manifest, rows[:stop])
        whole = twice.read_bytes() if twice.exists() else b""
        if whole and cut:
            with twice.open("ab") as file:
                file.write(b'{"input": "in/torn' + b"x" * cut)
        with Manifest(twice) as manifest:
            assert manifest.torn == bool(whole and cut)
            assert manifest.rows == whole.count(b"\n")
            fill(manifest, rows[stop:])
        found = []
        for path in (once, twice):
            with Manifest(path) as manifest:
                found.append((manifest.rows, manifest.changed(jobs, settings_of("other"))))
            if path.exists():
                assert all(json.loads(line) for line in path.read_text().splitlines())
        assert found[0] == found[1]
