"""A pool of mixtures that are labelled once, by what takes too long to do in every step of a training.

Example i of a mixer depends on its seed and i alone, so the first examples of a mixer are a pool. Their
labels are kept in a file named by a hash of what the examples are made of; it grows as far as it is needed.
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

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import read_array
from sese.data.bank import Bank, default_cache
from sese.data.mixing import Mixer, Mixture

_FORMAT = 1  # raise when what is stored, or how mixtures are made, changes
_AT_ONCE = 64  # mixtures between two writes


class Pool:
    """Makes examples by their number, as a mixer does; their numbers go round, and each has its label.

    Args:
        mixer: makes the examples.
        labels: float32 (example,) of the first ones, which are all that are made.
    """

    def __init__(self, mixer: Mixer, labels: Tensor):
        self.mixer, self.labels = mixer, labels

    def __call__(self, indices: Sequence[int]) -> Mixture:
        """The examples of these numbers (each 0 or more)."""
        own = [index % len(self.labels) for index in indices]
        return self.mixer(own)._replace(label=self.labels[own].to(self.mixer.device))


def label_pool(
    mixer: Mixer,
    count: int,
    name: str,
    label: Callable[[Tensor], Tensor],
    cache_dir: Path | str | None = None,
    report: Callable[[str], None] = print,
) -> Tensor:
    """Labels of the first examples of a mixer; those that the cache has are not made again.

    Args:
        mixer: makes the examples.
        count: of the pool.
        name: of what labels; labels of another name are kept apart.
        label: noisy (batch, 1, time) -> (batch,).
        cache_dir: default `$XDG_CACHE_HOME/sese` or `~/.cache/sese`.
        report: hears how far it is, about every quarter of a minute.

    Returns:
        float32 (example,).

    Raises:
        InputError: the cache cannot be read or written.
    """
    folder = (Path(cache_dir) if cache_dir else default_cache()) / "labels"
    path = folder / f"{name}-{key_of(mixer)}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        labels = read_array(path) if path.exists() else np.empty(0, np.float32)
        if labels.dtype != np.float32 or labels.ndim != 1:
            raise ValueError("no labels")
        begin, since = len(labels), (time.monotonic(), time.monotonic())
        while len(labels) < count:
            indices = range(len(labels), min(len(labels) + _AT_ONCE, count))
            labels = np.append(labels, label(mixer(indices).noisy).float().cpu().numpy())
            _write(path, labels)
            now = time.monotonic()
            if now - since[1] > 15 or len(labels) == count:
                left = (now - since[0]) / (len(labels) - begin) * (count - len(labels))
                report(f"{name}: labelled {len(labels)} of {count} mixtures, {left / 60:.1f} min left")
                since = since[0], now
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"labels: cannot use {path} ({error}); delete it, or name another folder") from None
    return torch.from_numpy(labels[:count])


def _write(path: Path, labels: np.ndarray) -> None:
    """Write whole or not at all; two processes that label the same write the same."""
    with replacing(path) as part, part.open("wb") as file:
        np.save(file, labels)


def key_of(mixer: Mixer) -> str:
    """What tells the examples of a mixer from those of others: a hash of what they are made of."""
    digest = hashlib.sha256(f"{_FORMAT} {mixer.seed} {sorted(asdict(mixer.config).items())}".encode())
    for bank in (mixer.plan.speech, mixer.plan.noise, mixer.plan.rir):
        if bank is not None:
            digest.update(_content(bank))
    return digest.hexdigest()[:16]


def _content(bank: Bank) -> bytes:
    """What tells a bank from another: names, lengths, and a few thousand of its samples."""
    names = " ".join(path.name for path in bank.paths)
    some = bank.samples[np.linspace(0, len(bank.samples) - 1, 4096, dtype=np.int64)]
    return names.encode() + bank.lengths.tobytes() + bank.groups.tobytes() + some.tobytes()
