"""Locks between processes, where the system has them: gone with their holder, however it ends."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows: everybody is let in
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None


def lock(file: int, wait: bool = False) -> None:
    """Hold an open file, or folder, until its descriptor is closed.

    Args:
        file: descriptor.
        wait: whether to wait for another holder to let go.

    Raises:
        BlockingIOError: another holds it.
        OSError: its file system has no locks.
    """
    if LOCKS:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
