"""A fixed pool of mixtures whose labels are computed once, because computing them in every step is too slow.

Example i of a mixer depends only on its seed and on i, so the first examples of a mixer are a fixed pool.
Their labels are stored in a cache file. A hash of everything the examples depend on names the file, which is
extended when more labels are needed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sese.core.cache import cache_folder
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import read_array
from sese.data.bank import Bank
from sese.data.mixing import Mixer, Mixture

_FORMAT = 1  # increase when the stored values, or the mixtures, change
_BLOCK = 64  # mixtures labelled between two writes
_REPORT_SECONDS = 15


class LabelledPool:
    """Return mixtures of a pool with their labels; indices beyond the pool start again at its beginning.

    Args:
        mixer: Computes the mixtures.
        labels: Labels of the first examples of the mixer, which are the pool, float32 [example].
    """

    def __init__(self, mixer: Mixer, labels: Tensor):
        self.mixer, self.labels = mixer, labels

    def __call__(self, indices: Sequence[int]) -> Mixture:
        """Return the mixtures of these indices (each 0 or more) with their labels."""
        in_pool = [index % len(self.labels) for index in indices]
        return self.mixer(in_pool)._replace(label=self.labels[in_pool].to(self.mixer.device))


def label_pool(
    mixer: Mixer,
    count: int,
    name: str,
    label: Callable[[Tensor], Tensor],
    cache_dir: Path | str | None = None,
    report: Callable[[str], None] = print,
) -> Tensor:
    """Compute the labels of the first examples of a mixer, or read them from the cache.

    Args:
        mixer: Computes the mixtures.
        count: Number of examples.
        name: Name of the kind of label; each kind has its own cache file.
        label: Computes labels [batch] of noisy clips [batch, 1, time].
        cache_dir: Cache folder. None: `$XDG_CACHE_HOME/sese` or `~/.cache/sese`.
        report: Called with a line about the progress, about every 15 seconds.

    Returns:
        Labels, float32 [example].

    Raises:
        InputError: The cache cannot be read or written.
    """
    folder = (Path(cache_dir) if cache_dir else cache_folder()) / "labels"
    path = folder / f"{name}-{mixtures_hash(mixer)}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        labels = read_array(path) if path.exists() else np.empty(0, np.float32)
        if labels.dtype != np.float32 or labels.ndim != 1:
            raise ValueError("no labels")
        cached, began = len(labels), time.monotonic()
        reported = began
        while len(labels) < count:
            indices = range(len(labels), min(len(labels) + _BLOCK, count))
            labels = np.append(labels, label(mixer(indices).noisy).float().cpu().numpy())
            _write(path, labels)
            now = time.monotonic()
            if now - reported > _REPORT_SECONDS or len(labels) == count:
                left = (now - began) / (len(labels) - cached) * (count - len(labels))
                report(f"{name}: labelled {len(labels)} of {count} mixtures, {left / 60:.1f} min left")
                reported = now
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"labels: cannot use {path} ({error}); delete it, or name another folder") from None
    return torch.from_numpy(labels[:count])


def _write(path: Path, labels: np.ndarray) -> None:
    """Replace the cache file in one step, so that processes that label the same pool do no harm."""
    with replacing(path) as part, part.open("wb") as file:
        np.save(file, labels)


def mixtures_hash(mixer: Mixer) -> str:
    """Return a hash of everything the examples of a mixer depend on: seed, configuration and banks."""
    digest = hashlib.sha256(f"{_FORMAT} {mixer.seed} {sorted(asdict(mixer.config).items())}".encode())
    for bank in (mixer.sampler.speech, mixer.sampler.noise, mixer.sampler.rir):
        if bank is not None:
            digest.update(_bank_content(bank))
    return digest.hexdigest()[:16]


def _bank_content(bank: Bank) -> bytes:
    """Return bytes that identify a bank: file names, lengths, groups and some of its samples."""
    names = " ".join(path.name for path in bank.paths)
    some = bank.samples[np.linspace(0, len(bank.samples) - 1, 4096, dtype=np.int64)]
    return names.encode() + bank.lengths.tobytes() + bank.groups.tobytes() + some.tobytes()
