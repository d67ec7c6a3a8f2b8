"""Set this process up for training: its threads, and how it allocates memory."""

from __future__ import annotations

import ctypes
import platform

import torch

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Numbers of settings of glibc's `mallopt` (malloc.h)."""


def prepare(threads: int) -> None:
    """Keep freed memory, and compute with this number of threads; 0 for PyTorch's own number."""
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)


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
