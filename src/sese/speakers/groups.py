"""Groups of speakers who sound alike: k-means over the mean embeddings of their clean utterances.

A table of them, with the columns speaker and class, is what `training.experts.table` takes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, from_json
from sese.data.bank import Bank
from sese.speakers.embedding import SpeakerNet

RESTARTS = 10
ITERATIONS = 100
SHORTEST_S = 0.5
"""Shortest utterance that counts, in seconds."""

_FRAMES_AT_ONCE = 40_000  # bounds the memory used


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of speakers, and their centres.

    Attributes:
        centres: float64 [group, unit].
        members: speaker -> group, counted from 0.
    """

    centres: np.ndarray
    members: Mapping[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the groups in the table; experts are numbered in this order."""
        width = len(str(len(self.centres) - 1))
        return tuple(f"{number:0{width}}" for number in range(len(self.centres)))

    def nearest(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the group of the nearest centre: [row, unit] -> [row]."""
        return _distances(embeddings, self.centres).argmin(1)


def utterance_embeddings(net: SpeakerNet, bank: Bank) -> np.ndarray:
    """Embed every recording: float32 [recording, unit]; NaN for recordings that are too short."""
    hop, rate = net.config.hop_length, net.config.sample_rate
    made = np.full((len(bank), net.config.hidden), np.nan, np.float32)
    order = [i for i in np.argsort(bank.lengths, kind="stable") if bank.lengths[i] >= SHORTEST_S * rate]
    while order:
        longest = -(-int(bank.lengths[order[-1]]) // hop)
        some = order[-max(1, _FRAMES_AT_ONCE // longest) :]
        del order[-len(some) :]
        audio = np.zeros((len(some), longest * hop), np.float32)
        for row, recording in enumerate(some):
            audio[row, : bank.lengths[recording]] = bank.audio(recording)
        frames = torch.from_numpy(-(-bank.lengths[some] // hop))
        with torch.no_grad():
            states = net.frames(torch.from_numpy(audio))
        spoken = torch.arange(states.shape[1]).unsqueeze(0) < frames.unsqueeze(1)
        means = (states * spoken.unsqueeze(2)).sum(1) / frames.unsqueeze(1)
        made[some] = means.numpy()
    return made


def speaker_embeddings(net: SpeakerNet, bank: Bank) -> dict[str, np.ndarray]:
    """Return the mean embedding of each speaker over utterances, weighted by their lengths."""
    embeddings = utterance_embeddings(net, bank)
    counted = np.isfinite(embeddings[:, 0])
    found = {}
    for group, name in enumerate(bank.group_names):
        own = counted & (bank.groups == group)
        if own.any():
            found[name] = np.average(embeddings[own].astype(np.float64), axis=0, weights=bank.lengths[own])
    return found


def group(embeddings: Mapping[str, np.ndarray], count: int, seed: int = 0) -> Groups:
    """Group speakers by k-means, the best of several starts; larger groups come first.

    Args:
        embeddings: speaker -> embedding [unit].
        count: number of groups, 2 or more.
        seed: seed of the starts.

    Raises:
        InputError: fewer speakers that differ than groups, or fewer groups than 2.
    """
    if not 2 <= count <= len(embeddings):
        raise InputError(
            f"groups: got {count} for {len(embeddings)} speakers; give 2 or more, and no more than speakers"
        )
    names = sorted(embeddings)
    points = np.stack([np.asarray(embeddings[name], np.float64) for name in names])
    if len(np.unique(points, axis=0)) < count:
        raise InputError(
            f"groups: fewer than {count} speakers have embeddings that differ; give fewer groups"
        )
    generator = np.random.default_rng(seed)
    best = min((_k_means(points, count, generator) for _ in range(RESTARTS)), key=lambda found: found[0])
    _, centres, nearest = best
    order = np.argsort(-np.bincount(nearest, minlength=count), kind="stable")
    places = np.argsort(order)
    return Groups(centres[order], {name: int(places[at]) for name, at in zip(names, nearest, strict=True)})


def save(
    folder: Path, groups: Groups, members: Mapping[str, int] | None = None, embedding: str = ""
) -> tuple[Path, Path]:
    """Write `groups-K.csv`, the table, and `groups-K.json`, the centres; each whole or not at all.

    Args:
        folder: the folder, created if missing.
        groups: the groups to write.
        members: speakers of the table, where it lists more than the groups were made of.
        embedding: path of the embedding network, noted beside the centres.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, centres = (folder / f"groups-{len(groups.centres)}{end}" for end in (".csv", ".json"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("speaker", "class"))
    listed = groups.members if members is None else members
    writer.writerows((name, groups.names[listed[name]]) for name in sorted(listed))
    values = {"embedding": embedding, "centres": groups.centres.tolist(), "members": dict(groups.members)}
    for path, content in ((table, text.getvalue()), (centres, json.dumps(values, indent=1) + "\n")):
        with replacing(path) as part:
            part.write_text(content)
    return table, centres


def load(path: Path) -> Groups:
    """Load groups from the file of their centres.

    Raises:
        InputError: missing, or no such file.
    """
    try:
        values = from_json(path.read_text())
        centres = np.array(values["centres"], np.float64)
        members = {str(name): int(number) for name, number in values["members"].items()}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `sese speakers group` writes groups-K.json") from None
    except (OSError, *MALFORMED):
        raise InputError(f"{path} holds no groups; give groups-K.json of `sese speakers group`") from None
    if centres.ndim != 2 or len(centres) < 2 or not np.isfinite(centres).all():
        raise InputError(f"{path} holds no centres; give groups-K.json of `sese speakers group`")
    return Groups(centres, members)


def _k_means(
    points: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the sum of squared distances, centres, and the nearest centres, from one random start."""
    # The first centre is any point; each other one a point as likely as it is far from those before, squared.
    centres = points[[generator.integers(len(points))]]
    while len(centres) < count:
        far = _distances(points, centres).min(1)
        centres = np.concatenate([centres, points[[generator.choice(len(points), p=far / far.sum())]]])
    nearest = _distances(points, centres).argmin(1)
    for _ in range(ITERATIONS):
        held = np.bincount(nearest, minlength=count)
        # An empty group takes the point that is farthest from its centre.
        for empty in np.flatnonzero(held == 0):
            own = _distances(points, centres)[np.arange(len(points)), nearest]
            own[held[nearest] < 2] = -1
            taken = int(own.argmax())
            held[nearest[taken]] -= 1
            nearest[taken] = empty
            held[empty] = 1
        centres = np.stack([points[nearest == number].mean(0) for number in range(count)])
        moved = _distances(points, centres).argmin(1)
        if (moved == nearest).all():
            break
        nearest = moved
    own = _distances(points, centres)[np.arange(len(points)), nearest]
    return float(own.sum()), centres, nearest


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared distances [point, centre]."""
    return np.square(points[:, None].astype(np.float64) - centres[None]).sum(2)
