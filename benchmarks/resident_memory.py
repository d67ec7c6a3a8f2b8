"""Memory of the process that runs a benchmark (Linux)."""

from __future__ import annotations

from pathlib import Path


def resident_kb(field: str = "VmRSS") -> int:
    """Return the resident memory of this process in kB.

    Args:
        field: Line of /proc/self/status: `VmRSS` is the memory now, `VmHWM` its peak.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")
