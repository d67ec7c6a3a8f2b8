"""How this process allocates memory."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Numbers of settings of glibc's `mallopt` (malloc.h)."""


def keep_freed_memory() -> None:
    """Let glibc keep the memory that the process frees, and use it for what is asked for next.

    Otherwise glibc returns large blocks to the operating system at once. A training needs blocks of the same
    sizes in every step, and the system would clear each of their pages again. With another C library this
    does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    allocator = ctypes.CDLL(None)
    allocator.mallopt(MMAP_THRESHOLD, 1 << 30)
    allocator.mallopt(TRIM_THRESHOLD, (1 << 31) - 1)
    allocator.mallopt(TOP_PAD, 1 << 28)
