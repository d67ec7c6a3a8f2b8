"""The number of cores follows what the system and a container grant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sese.core.processors import available_cores, cpu_quota


def write(root: Path, **files: str) -> Path:
    """Write files under a root; ``__`` in a name stands for ``/``, and ``DOT`` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".").replace("COMMA", ",")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert cpu_quota(tmp_path) is None
    assert available_cores(tmp_path) == 3


@pytest.mark.parametrize(
    ("limit", "quota"), [("max 100000", None), ("150000 100000", 1.5), ("50000 100000", 0.5), ("torn", None)]
)
def test_version_2(tmp_path: Path, limit: str, quota: float | None) -> None:
    write(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpuDOTmax=f"{limit}\n")
    assert cpu_quota(tmp_path) == quota


def test_the_lowest_of_nested_groups(tmp_path: Path) -> None:
    write(
        tmp_path,
        proc__self__cgroup="0::/pods/one\n",
        sys__fs__cgroup__pods__one__cpuDOTmax="max 100000",
        sys__fs__cgroup__pods__cpuDOTmax="400000 100000",
        sys__fs__cgroup__cpuDOTmax="800000 100000",
    )
    assert cpu_quota(tmp_path) == 4


@pytest.mark.parametrize(("microseconds", "quota"), [("200000", 2.0), ("-1", None)])
def test_version_1(tmp_path: Path, microseconds: str, quota: float | None) -> None:
    """The path is the host's, and does not exist in the container."""
    write(
        tmp_path,
        proc__self__cgroup="5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
        sys__fs__cgroup__cpuCOMMAcpuacct__cpuDOTcfs_quota_us=microseconds,
        sys__fs__cgroup__cpuCOMMAcpuacct__cpuDOTcfs_period_us="100000",
    )
    assert cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(("limit", "cores"), [("250000", 2), ("20000", 1), ("900000", 4)])
def test_quota_bounds_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    write(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpuDOTmax=f"{limit} 100000\n")
    assert available_cores(tmp_path) == cores
