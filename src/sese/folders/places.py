"""Read and write paths and URLs; fsspec serves the URLs (https://, s3://, gs://, sftp://, memory://, ...)."""

from __future__ import annotations

import os
import posixpath
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from sese.core.errors import InputError
from sese.core.files import parts_in
from sese.core.install import install_command

Place = Path | str  # a string is a URL

# On these storages a file appears when its upload is complete, and renaming would copy it.
_APPEARS_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "oss"})


def as_place(text: str | os.PathLike[str]) -> Place:
    """Return a path for a path or a ``file://`` URL, and a string for any other URL.

    Raises:
        InputError: The text is empty, a ``file://`` URL of another machine, or a damaged URL.
    """
    if text == "":
        raise InputError("a path is empty; name a file or folder, or '.' for the current folder")
    if not isinstance(text, str) or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://", text):
        return Path(text)
    if not text.lower().startswith("file://"):
        return text.rstrip("/")
    try:
        host, path = urlsplit(text)[1:3]
    except ValueError as error:
        raise InputError(f"{text} is not a valid URL ({error}); give file:///PATH, or the path") from None
    if host not in ("", "localhost"):
        raise InputError(f"{text} is on the machine {host!r}; give file:///PATH, a path on this one")
    if not path:
        raise InputError(f"{text} names no file; give file:///PATH, or the path")
    return Path(url2pathname(path))


def name_of(place: Place) -> str:
    """Return the file name; that of a web address is decoded, without what follows a question mark."""
    if isinstance(place, Path):
        return place.name
    if _is_web(place):
        path = urlsplit(place).path
        place = unquote(path) if unquote(path).isprintable() else path
    return place.rsplit("/", 1)[-1]


def suffix_of(place: Place) -> str:
    """Return the extension, with its dot."""
    return posixpath.splitext(name_of(place))[1]


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def absolute(place: Place) -> str:
    """Return an absolute path, or the URL as it is. Links are not followed."""
    return os.path.abspath(place) if isinstance(place, Path) else place


def filesystem(place: Place) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path in it.

    Raises:
        InputError: fsspec or the library for this kind of URL is missing, or the URL cannot be understood.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"{place} needs fsspec; {install_command('remote')}") from None
    try:
        fs, path = url_to_fs(absolute(place))
    except ImportError as error:
        raise InputError(f"{place} cannot be opened: {_reason(error)}; install that library") from error
    except Exception as error:  # each library raises errors of its own
        raise InputError(f"{place} cannot be opened ({_reason(error)}); check the URL") from error
    return fs, path


def walk(url: str) -> Iterator[tuple[str, str]]:
    """Yield all files below a URL, sorted: their URL, and their path relative to it. A file has none.

    Raises:
        InputError: The URL cannot be opened or listed.
    """
    fs, root = filesystem(url)
    with _storage_errors(url, "listed"):
        # On the web, a page that lists a folder is a file too.
        if (suffix_of(url) or not _is_web(url)) and fs.isfile(root):
            return
        found = sorted(fs.find(root))
    for path in found:
        relative = path[len(root) :].lstrip("/")
        yield f"{url}/{relative}", relative


def lister() -> Callable[[Place], bool]:
    """Return a function that says whether a path or URL exists, and lists each folder only once."""

    @lru_cache(maxsize=64)
    def local(folder: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(folder or "."))
        except OSError:  # missing, or writing there will show the error
            return frozenset()

    @lru_cache(maxsize=64)
    def remote(folder: str) -> frozenset[str]:
        fs, path = filesystem(folder)
        with _storage_errors(folder, "listed"):
            try:
                return frozenset(posixpath.basename(name.rstrip("/")) for name in fs.ls(path, detail=False))
            except FileNotFoundError:
                return frozenset()

    def taken(place: Place) -> bool:
        folder, name = os.path.split(place) if isinstance(place, Path) else place.rsplit("/", 1)
        return name in (local(folder) if isinstance(place, Path) else remote(folder))

    return taken


def resolver() -> Callable[[Place], str]:
    """Return a function that follows links as `os.path.realpath` does, but resolves each folder only once."""
    folder = lru_cache(maxsize=64)(os.path.realpath)

    def real(place: Place) -> str:
        if not isinstance(place, Path):
            return place
        parent, name = os.path.split(place)
        if name in ("", "..") or os.path.islink(place):
            return os.path.realpath(place)
        return os.path.join(folder(parent), name)

    return real


def fetch(place: Place, folder: Path) -> Path:
    """Return a local file: the path itself, or the URL downloaded into `folder`.

    Raises:
        InputError: The file cannot be read.
    """
    if isinstance(place, Path):
        return place
    fs, path = filesystem(place)
    local = folder / f"source{suffix_of(place)}"
    with _storage_errors(place, "read"):
        try:
            fs.get_file(path, str(local))
        except FileNotFoundError:
            raise InputError(f"{place} does not exist; check the name") from None
    return local


def deliver(local: Path, place: Place) -> None:
    """Copy a finished file to a path or URL, where it appears whole or not at all.

    The file is copied beside its destination under a name of its own, `.<stem>.<number>.part<extension>`,
    then renamed; parts that killed writers of the same file left are removed. Object stores show a file only
    when its upload is complete, so there it is uploaded directly. Many machines may do this at once.

    Raises:
        InputError: The destination cannot be written.
    """
    if isinstance(place, Path):
        place = Path(os.path.realpath(place))  # a link is written through, not replaced
    fs, path = filesystem(place)
    with _storage_errors(place, "written"):
        if _protocols(fs) & _APPEARS_WHOLE:
            fs.put_file(str(local), path)
            return
        folder, name = posixpath.split(path)
        stem, extension = posixpath.splitext(name)
        fs.makedirs(folder, exist_ok=True)

        def entries() -> list[str]:
            found = fs.ls(folder, detail=False) if fs.exists(folder) else ()
            return [posixpath.basename(other) for other in found]

        for other in parts_in((fs, folder), entries):
            if re.fullmatch(rf"\.{re.escape(stem)}\.\d+\.part{re.escape(extension)}", other):
                with suppress(FileNotFoundError):  # removed since
                    fs.rm_file(posixpath.join(folder, other))
        part = posixpath.join(folder, f".{stem}.{random.SystemRandom().getrandbits(63)}.part{extension}")
        try:
            fs.put_file(str(local), part)
            fs.mv(part, path)
        except BaseException:
            if fs.exists(part):
                fs.rm_file(part)
            raise


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


@contextmanager
def _storage_errors(place: Place, what: str) -> Iterator[None]:
    """Turn any error of a storage library into a line that names the path or URL."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{place} could not be {what} ({_reason(error)}); check the access and the space there"
        ) from error


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}".rstrip(". ") if text else type(error).__name__
