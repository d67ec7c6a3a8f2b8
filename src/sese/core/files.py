"""Write files and folders that appear whole or not at all, even if the process is killed meanwhile."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sese.core.errors import InputError, remedy
from sese.core.lock import LOCKS, lock

_WRITE_ERRORS = {"SafetensorError", "LibsndfileError"}
_LONGEST = 50  # characters of a name that are kept, so that the whole is not too long for file systems
_LARGE = 1000  # a folder with this many entries is not listed again for each file
_PART = re.compile(r"\..*\.\d+\.part(\.[^.]*)?", re.DOTALL)
_listed: dict[Hashable, list[str]] = {}  # parts in large folders


class Part:
    """A file or folder that is written beside its destination and renamed at the end.

    Its name is `.<stem>.<number>.part<extension>`. Its process holds a lock on it for life. A part without a
    lock was left by a process that was killed, on any machine, and the next process that writes to the same
    destination removes it.

    Args:
        target: Destination. A link is written through, not replaced. Its folder exists.
        folder: Whether to create a folder.

    Attributes:
        path: Path to write to.

    Raises:
        OSError: Nothing can be created there.
    """

    def __init__(self, target: Path, folder: bool = False) -> None:
        self.target = Path(os.path.realpath(target))
        stem, suffix = (self.target.name, "") if folder else (self.target.stem, self.target.suffix)
        stem = stem[:_LONGEST]
        self._remove_leftovers(re.compile(rf"\.{re.escape(stem)}\.\d+\.part{re.escape(suffix)}"))
        self._lock: int | None = None
        self._mode = 0o777
        while True:
            number = random.SystemRandom().getrandbits(32)
            self.path = self.target.with_name(f".{stem}.{number}.part{suffix}")
            try:
                if folder:
                    self.path.mkdir()
                else:
                    made = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
                    self._mode = os.fstat(made).st_mode & 0o777
                    os.close(made)
                self._lock = _locked(self.path, wait=True)
            except FileExistsError:
                continue
            except BaseException:
                self.drop()
                raise
            if self.path.exists():  # else another process removed it as a leftover, just before it was locked
                return
            self.drop()

    def keep(self) -> None:
        """Rename it to its destination; an existing folder is replaced, and a file keeps its permissions."""
        if not self.path.is_dir() or not self.target.is_dir():
            with suppress(OSError):  # a file system may have no permissions
                mode = self.target.stat().st_mode & 0o777 if self.target.exists() else self._mode
                self.path.chmod(mode)  # some writers make the part anew, for its owner alone
            os.replace(self.path, self.target)
            return
        before = Part(self.target, folder=True)  # renamed first: half a folder is never seen
        try:
            before.path.rmdir()
            os.replace(self.target, before.path)
            try:
                os.replace(self.path, self.target)
            except BaseException:
                os.replace(before.path, self.target)
                raise
        finally:
            before.drop()

    def drop(self) -> None:
        """Release the lock, and remove the part unless it was renamed."""
        _remove(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove_leftovers(self, name: re.Pattern[str]) -> None:
        if not LOCKS:  # leftovers of killed processes stay
            return
        folder = self.target.parent
        for entry in parts_in(folder, lambda: os.listdir(folder)):
            if name.fullmatch(entry):
                with suppress(OSError):  # locked, of another user, or gone already
                    held = _locked(folder / entry, wait=False)
                    _remove(folder / entry)
                    os.close(held)  # type: ignore[arg-type]


def parts_in(folder: Hashable, entries: Callable[[], Iterable[str]]) -> list[str]:
    """Return the names of the parts in a folder: of files that are being written, and of leftovers.

    A process lists a large folder only once, as the time for many files would grow with their square. The
    next process finds parts that are left later.

    Args:
        folder: Key for the folder, in this process.
        entries: Function that lists the folder.
    """
    if folder in _listed:
        return _listed[folder]
    names = list(entries())
    parts = [name for name in names if _PART.fullmatch(name)]
    if len(names) >= _LARGE:
        _listed[folder] = parts
    return parts


@contextmanager
def replacing(target: Path, folder: bool = False) -> Iterator[Path]:
    """Yield a path to write to; at the end of the context its content appears at `target`.

    After an error nothing of it stays, and `target` is unchanged.

    Args:
        target: Destination, replaced where it exists.
        folder: Whether to create a folder instead of a file.

    Raises:
        InputError: The destination cannot be written.
    """
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target, folder)
        yield part.path
        part.keep()
    except OSError as error:
        raise unwritable(target, error) from error
    except Exception as error:
        # Libraries raise errors of their own where a write fails; PyTorch raises a bare RuntimeError.
        if type(error).__name__ in _WRITE_ERRORS or (type(error) is RuntimeError and not folder):
            raise unwritable(target, error) from error
        raise
    finally:
        if part is not None:
            part.drop()


def is_null_device(path: object) -> bool:
    """Return whether a path is the null device, where nothing stays: ``/dev/null``, on Windows ``nul``."""
    return isinstance(path, Path) and os.path.normcase(path) == os.path.normcase(os.devnull)


def require_new(folder: Path) -> None:
    """Raise InputError unless a folder to create does not exist or is empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder; name a new one")


def unwritable(target: Path | str, error: Exception) -> InputError:
    """Return the error for a file that could not be written."""
    if not isinstance(error, OSError):
        text = str(error).strip().splitlines()
        reason = f"{text[0].rstrip('. ') if text else type(error).__name__}: is the disk full?"
        return InputError(
            f"{target} cannot be written ({reason}); free some disk space, or choose another folder"
        )
    reason = error.strerror or str(error)
    if error.filename is not None and Path(str(error.filename)) != Path(target):
        reason += f": {error.filename}"
    return InputError(f"{target} cannot be written ({reason}); {remedy(error)}")


def _locked(path: Path, wait: bool) -> int | None:
    """Return a descriptor that holds a lock on a file or folder; None where there are no locks.

    Raises:
        OSError: Another process holds the lock and `wait` is False, or the file cannot be opened.
    """
    if not LOCKS:
        return None
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        lock(descriptor, wait)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        if wait:  # a file system without locks, where nobody removes leftovers either
            return None
        raise
    return descriptor


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
