"""Count the processor cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_V1_CONTROLLERS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")  # names of the folder for processor time


def available_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use, 1 or more.

    It is the number of cores that the system lets the process run on, and no more than the processor time
    that a container grants: the quota of its control group, version 1 or 2, rounded down.

    Args:
        root: Folder that holds ``proc`` and ``sys``.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processor time that control groups grant this process, in cores; None for no limit.

    Groups are nested, and the lowest quota on the way to the root counts. A container may see its own group
    as the root, while its path in ``/proc/self/cgroup`` is that of the host: folders that do not exist are
    passed over.
    """
    groups = root / "sys" / "fs" / "cgroup"
    quotas = []
    for line in _lines(root / "proc" / "self" / "cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            quotas += [_v2(folder) for folder in _upwards(groups, path)]
        elif "cpu" in controllers.split(","):
            for name in _V1_CONTROLLERS:
                quotas += [_v1(folder) for folder in _upwards(groups / name, path)]
    known = [quota for quota in quotas if quota is not None]
    return min(known, default=None)


def _upwards(top: Path, path: str) -> list[Path]:
    """Return the folder of a group and of all groups above it."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [top.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _v2(folder: Path) -> float | None:
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _quota(words[0], words[1]) if len(words) == 2 else None


def _v1(folder: Path) -> float | None:
    quota, period = (_lines(folder / f"cpu.cfs_{word}_us") for word in ("quota", "period"))
    return _quota(quota[0], period[0]) if quota and period else None


def _quota(quota: str, period: str) -> float | None:
    """Return microseconds per period as cores; None for ``max`` and for -1."""
    try:
        cores = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, ValueError):
        return []
