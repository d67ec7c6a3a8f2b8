"""Many runs from one file: a grid over values and seeds, each run done once, however often it is stopped.

    config: demucs/joint                  # what every run builds on: a file beside this one, or a name
    seeds: [1, 2, 3]
    order: seeds                          # every run with the lowest seed, then the next; default: runs
    set: {training.steps: 1000}           # for every run
    runs:
      backbone: {set: {training.method: random_level}}
      joint: {grid: {training.routing.target: [0.1, 0.25]}}          # joint-0.1, joint-0.25
      finetune: {set: {training.initial: "{backbone}"}, seeds: [1]}  # starts from a run above, same seed
      other: {config: sese_2/base}        # builds on a configuration of its own

Values of the command line apply to every run and replace those of the file. Runs lie in OUT/NAME/seed-N. A
finished run is skipped, a stopped one continues, and one that another process trains is left to it. So the
same command may be started several times at once.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sese.core.errors import InputError, brief
from sese.core.lock import lock
from sese.training import renamed
from sese.training.config import RunConfig, read
from sese.training.config_file import find_config, read_sections
from sese.training.run import resumable, train
from sese.training.run_folder import FREE, RESOLVED, check_same

MOST_RUNS = 10_000

DONE = "done.json"

ORDERS = ("runs", "seeds")
"""Orders of a sweep's runs: every run over its seeds, or every seed over its runs."""

INITIAL = frozenset({"training.initial"})
"""Values that may name another run of the sweep in different ways."""


@dataclass(frozen=True)
class Run:
    """A run of a sweep.

    Attributes:
        folder: Folder of the run.
        config: Configuration file that it builds on.
        overrides: Changes as `key.path=value`.
        after: Folder of the run that it starts from, if any.
    """

    folder: Path
    config: Path
    overrides: tuple[str, ...]
    after: Path | None

    def resolve(self) -> RunConfig:
        """Return the run's checked configuration."""
        return read(self.config, self.overrides)

    def resolve_again(self) -> RunConfig:
        """Return the configuration of a stopped run, with the model that it started from then."""
        changes = [change for change in self.overrides if change.partition("=")[0] not in INITIAL]
        return read(self.folder / RESOLVED, changes)

    @property
    def state(self) -> str:
        """State of the run: ``done``, ``stopped`` (it can continue) or ``open``."""
        if (self.folder / DONE).exists():
            return "done"
        return "stopped" if resumable(self.resolve(), self.folder) else "open"

    def check(self) -> None:
        """Check that the run can be done, and that what was done of it has the same values.

        Raises:
            InputError: a configuration that cannot be used, or a run of other values in the folder.
        """
        config, done = self.resolve(), (self.folder / DONE).exists()
        if done or resumable(config, self.folder):
            check_same(self.folder, config, (FREE - {"training.steps"} if done else FREE) | INITIAL)


def plan(path: Path, output: Path, overrides: Sequence[str] = ()) -> list[Run]:
    """Return the runs of a sweep file in the order in which they are done.

    They are done run by run, each over its seeds. With ``order: seeds`` all runs of the lowest seed are
    first.

    Args:
        path: Sweep file.
        output: Folder of the runs.
        overrides: Changes of every run as `key.path=value`, over the values of the file.

    Raises:
        InputError: the file or one of its runs cannot be used; every run is checked before any is started.
    """
    path = find_config(path)
    values = _read(path)
    given = [renamed.key(override.partition("=")[0]) for override in overrides]
    runs: list[Run] = []
    taken: set[str] = set()
    for name, entry in values["runs"].items():
        base, common, grid, seeds = _entry(path, name, entry or {}, values)
        for key in given:
            if any(_within(key, other) or _within(other, key) for other in ("name", "seed", *grid)):
                raise InputError(
                    f"{key} differs between the runs of '{name}' in {path}; leave it out, or change the file"
                )
        for choice, seed in itertools.product(itertools.product(*grid.values()), seeds):
            full_name = "-".join([str(name), *(str(value) for value in choice)])
            folder = output / full_name / f"seed-{seed}"
            if not os.path.abspath(folder).startswith(os.path.abspath(output) + os.sep):
                raise InputError(f"{path}: run '{name}' would lie outside {output}, in {folder}; rename it")
            if os.path.abspath(folder) in taken:
                raise InputError(f"{path}: two runs would lie in {folder}; rename one, name each seed once")
            taken.add(os.path.abspath(folder))
            settings = {**common, **dict(zip(grid, choice, strict=True))}
            settings = {
                key: value for key, value in settings.items() if not any(_within(key, over) for over in given)
            }
            settings |= {"seed": seed, "name": full_name}
            after = _start_from(path, settings, runs, seed)
            texts = [f"{key}={_text(value)}" for key, value in settings.items()]
            config = find_config(Path(base), path.parent).resolve()
            runs.append(Run(folder, config, (*texts, *overrides), after))
    if values.get("order") == "seeds":  # a run starts from a run above of the same seed, which stays above
        runs.sort(key=lambda run: int(run.folder.name.removeprefix("seed-")))
    for run in runs:
        run.check()
    return runs


def sweep(runs: Sequence[Run], max_minutes: float | None = None) -> None:
    """Train the runs that are not done.

    Args:
        runs: Runs that `plan` returned.
        max_minutes: Stop with a checkpoint after this many minutes; the next call continues.
    """
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    for number, run in enumerate(runs, start=1):
        left = None if deadline is None else (deadline - time.monotonic()) / 60
        if left is not None and left <= 0:
            print("time is up; start the same command again to go on")
            return
        label = f"[{number}/{len(runs)}] {run.folder}"
        if run.state == "done":
            continue
        if run.after is not None and not (run.after / DONE).exists():
            print(f"{label}: waits for {run.after}, which is not done", flush=True)
            continue
        with _claimed(run.folder) as mine:
            if not mine or run.state == "done":
                continue
            print(f"{label}: {'goes on' if run.state == 'stopped' else 'starts'}", flush=True)
            started = time.monotonic()
            stopped = run.state == "stopped"
            config = run.resolve_again() if stopped else run.resolve()
            if train(config, run.folder, resume=stopped, max_minutes=left, advise=False):
                record = {"seconds": round(time.monotonic() - started, 1)}
                (run.folder / DONE).write_text(json.dumps(record) + "\n")


def _entry(
    path: Path, name: Any, entry: dict[str, Any], values: dict[str, Any]
) -> tuple[str, dict[str, Any], dict[str, list[Any]], list[int]]:
    """Return what an entry of a sweep file says, over what the file says for all.

    Args:
        path: Sweep file, for errors.
        name: Name of the entry, for errors.
        entry: Entry of the section `runs`.
        values: Sections of the file.

    Returns:
        Its configuration file, values by dotted keys, lists of values by dotted keys, and seeds.

    Raises:
        InputError: something is missing, unknown, or of the wrong kind.
    """
    _known(path, f"run '{name}'", entry, {"config", "set", "grid", "seeds"})
    base = entry.get("config", values.get("config"))
    if not isinstance(base, str):
        raise InputError(f"{path}: run '{name}' builds on nothing; give it, or all runs, `config: FILE`")
    sections = [values.get("set") or {}, entry.get("set") or {}, entry.get("grid") or {}]
    if not all(isinstance(each, dict) for each in sections):
        raise InputError(f"{path}: set and grid of run '{name}' need key.path: value")
    common, chosen, grid = (
        {renamed.key(str(key)): value for key, value in each.items()} for each in sections
    )
    if not all(isinstance(choices, list) and choices for choices in grid.values()):
        raise InputError(f"{path}: the grid of run '{name}' needs a list of values for each key")
    seeds = entry.get("seeds") or values.get("seeds") or [0]
    if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
        raise InputError(
            f"{path}: the seeds of run '{name}' are {brief(seeds)}; give a list of whole numbers"
        )
    if math.prod(map(len, grid.values())) * len(seeds) > MOST_RUNS:
        raise InputError(f"{path}: run '{name}' is more than {MOST_RUNS} runs; part the sweep")
    return base, common | chosen, grid, seeds


def _within(key: str, section: str) -> bool:
    """Return whether a key is a section, or lies in it."""
    return key == section or key.startswith(section + ".")


def _text(value: Any) -> str:
    """Return a value as YAML that reads back."""
    text: str = yaml.safe_dump(value, default_flow_style=True)
    return text.removesuffix("...\n").strip()


def _start_from(path: Path, settings: dict[str, Any], runs: Sequence[Run], seed: int) -> Path | None:
    """Return the folder of an earlier run that `training.initial` names, and put it there."""
    initial = settings.get("training.initial")
    named = re.fullmatch(r"\{(.+)\}", initial) if isinstance(initial, str) else None
    if named is None:
        return None
    found = [
        run.folder for run in runs if run.folder.parent.name == named[1] and run.folder.name == f"seed-{seed}"
    ]
    if not found:
        raise InputError(f"{path}: '{initial}' names no run above with seed {seed}")
    settings["training.initial"] = str(found[0] / "last")
    return found[0]


def _read(path: Path) -> dict[str, Any]:
    values = read_sections(path, "a sweep file, or a name such as sweeps/comparison")
    if not isinstance(values.get("runs"), dict):
        raise InputError(f"{path} is no sweep: it needs `config: FILE` and `runs: {{NAME: ...}}`")
    _known(path, "the sweep", values, {"config", "seeds", "order", "set", "runs"})
    if values.get("order", ORDERS[0]) not in ORDERS:
        raise InputError(f"{path}: order is {brief(values['order'])}; choose from {list(ORDERS)}")
    return values


def _known(path: Path, what: str, values: Any, known: set[str]) -> None:
    unknown = sorted(set(values) - known) if isinstance(values, dict) else [str(values)]
    if unknown:
        raise InputError(f"{path}: {what} has the unknown key '{unknown[0]}'; known are {sorted(known)}")


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Lock a run's folder against other processes; yield false where another one has locked it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            lock(file.fileno())
        except BlockingIOError:
            yield False
            return
        yield True
