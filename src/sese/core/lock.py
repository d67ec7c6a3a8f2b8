"""Lock files between processes, where the system can; a lock ends with its process."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows: no locks
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None


def lock(file: int, wait: bool = False) -> None:
    """Lock an open file or folder until its descriptor is closed.

    Args:
        file: Descriptor.
        wait: Whether to wait until another process releases its lock.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: The file system has no locks.
    """
    if LOCKS:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
