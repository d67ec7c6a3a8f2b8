"""Train hashes by boosting (arXiv 2002.06239), one bit after the other, and fill their dictionary.

A bit says of each pair of frames whether they are alike. Trained on all pairs alike, every bit would be the
same. So each is trained on weighted pairs, and weights rise where the bits before it were wrong.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sese.core.checks import at_least
from sese.core.errors import InputError
from sese.data.mixing import Mixer, Mixture
from sese.nn import checkpoint
from sese.nn.backbones.boosted_hashing import BoostedHashing, fresh_projections, with_one
from sese.nn.enhancer import Enhancer
from sese.nn.layers.packed_bits import pack
from sese.nn.policies.fixed import level_plans
from sese.nn.state import fresh
from sese.training.loop import Training, run_steps
from sese.training.losses import si_sdr
from sese.training.methods.masks import ideal_masks
from sese.training.methods.method import Method
from sese.training.progress import Progress
from sese.training.run_folder import note

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.data import MixtureData


@dataclass(frozen=True)
class BoostingConfig:
    """Configuration of boosting.

    Attributes:
        segments: Number of groups of frames that are compared with each other, all in memory: 8 bytes a pair.
        clips, frames_per_clip: Number of mixtures in a segment, and of frames of each; the dictionary takes
            as many frames of a mixture.
        alike: What bits say of two frames: whether their ``spectra`` are alike, as published, or their ideal
            binary ``masks``.
        width: Width of the bell exp((a - 1) / width) that turns an agreement a, up to 1, into how alike two
            frames are; 0 takes a itself.
        balanced: Whether pairs that are alike weigh as much at first as those that are not; else all weigh
            the same, as published.
        centred: Whether learners start at projections that halve the frames; else at random ones, as
            published.
    """

    segments: int = 32
    clips: int = 20
    frames_per_clip: int = 25
    alike: Literal["spectra", "masks"] = "spectra"
    width: float = 0.0
    balanced: bool = False
    centred: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        at_least(self, 1, "training.boosting", "segments", "clips", "frames_per_clip")
        at_least(self, 0, "training.boosting", "width")


@dataclass(frozen=True)
class Segment:
    """Frames that are compared with each other.

    Attributes:
        frames: Magnitudes (frame, bin + 1) with norm 1, and a one.
        alike: How alike two frames are, (frame, frame) in [0, 1]: the target of the bits.
        weights: Weights (frame, frame) of the pairs, which sum to 1; they change.
    """

    frames: Tensor
    alike: Tensor
    weights: Tensor


def boost(config: RunConfig, folder: Path, data: MixtureData, max_minutes: float | None = None) -> bool:
    """Train the bits that a run still misses, then fill the dictionary and score the levels.

    The folder gets `metrics.jsonl` and the models `last/`, which a stopped run continues from, and `best/`.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        data: Mixtures of the run.
        max_minutes: Stop after this many minutes; None for no limit.

    Returns:
        Whether all is done.
    """
    began = time.monotonic()
    torch.manual_seed(config.seed)
    training = _Boosting(config, folder, data)
    deadline = None if max_minutes is None else began + 60 * max_minutes
    left = None if deadline is None else (deadline - time.monotonic()) / 60
    training.progress = Progress(training.bits, training.done, unit="bit", deadline=deadline)
    every = config.training.checkpoint_steps
    done = run_steps(training, training.done, training.bits, every, left, training.progress)
    if training.late:
        return False
    training.fill()
    return done == training.bits


class _Boosting(Training):
    """A training whose steps are the bits of a hash."""

    def __init__(self, config: RunConfig, folder: Path, data: MixtureData):
        self.config, self.folder, self.late = config, folder, False
        self.model, last = config.model.build(), folder / "last"
        if (last / checkpoint.WEIGHTS).exists():
            checkpoint.load_into(self.model, last)
        self.model.requires_grad_(False)
        self.data = data
        data.setup("fit")
        self.progress: Progress | None = None
        self.mixer, self.hashing = data.mixer("cpu"), self.model.backbone
        self.segments = list(_segments(self.model, self.mixer, config))
        centred = config.training.boosting.centred
        self.centre = torch.cat([s.frames for s in self.segments]).mean(0) if centred else None
        self.bits = len(self.hashing.projections)
        self.done = int((self.hashing.strengths != 0).sum())
        for number in range(self.done):
            self._raise_weights(number)

    def step(self, number: int) -> float:
        """Learn one bit; return its weighted error."""
        settings = self.config.training
        start = _first(self.config, number, self.centre, self.hashing)
        steps = settings.steps // self.bits
        projection = learn(self.segments, start, steps, settings.learning_rate)
        self.error = weighted_error(self.segments, projection)
        self.hashing.projections[number] = projection
        self.hashing.strengths[number] = strength(self.error)
        self._raise_weights(number)
        facts = {"train/error": self.error, "train/strength": float(self.hashing.strengths[number])}
        note(self.folder, {"step": number, **facts})
        return self.error

    def checkpoint(self, done: int, late: bool) -> None:
        """Write the bits learned so far."""
        self.late = late
        self._save("last")

    def fill(self) -> None:
        """Fill the dictionary, score the levels and write both models."""
        hashing = self.hashing
        magnitudes, masks = dictionary(self.model, self.mixer, self.config)
        hashing.codes.copy_(pack(hashing.hash(magnitudes, hashing.bits[-1]) > 0))
        hashing.masks.copy_(pack(masks))
        note(self.folder, {"step": self.bits, **_scores(self.model, self.data)})
        for name in ("last", "best"):
            self._save(name)

    def _raise_weights(self, number: int) -> None:
        hashing = self.hashing
        raise_weights(self.segments, hashing.projections[number], float(hashing.strengths[number]))

    def _save(self, name: str) -> None:
        checkpoint.save(self.folder / name, self.config.system, self.config.model, self.model.state_dict())


def learn(segments: list[Segment], projection: Tensor, steps: int, learning_rate: float) -> Tensor:
    """Train a projection whose bit is right about the pairs that weigh most.

    The loss of a segment is the sum over pairs of weight * (said - alike)^2, where a bit b says
    (1 + b_i b_j) / 2. That is 0 or 1 and so its own square. The loss is then the sum of weight * said *
    (1 - 2 alike), and a constant. Taken as a square, its gradient would draw every bit towards zero, where
    small changes of a frame turn it. The gradient of the sign is taken as that of tanh.

    Args:
        segments: Segments, used in turn.
        projection: Start (bin + 1,).
        steps: Number of steps.
        learning_rate: Learning rate of Adam.

    Returns:
        The projection (bin + 1,).
    """
    projection = projection.clone().requires_grad_()
    optimizer = torch.optim.Adam([projection], lr=learning_rate, betas=(0.95, 0.98))
    for step in range(steps):
        segment = segments[step % len(segments)]
        made = segment.frames @ projection
        bits = torch.where(made < 0, -1.0, 1.0).detach()
        slope = (segment.weights * (1 - 2 * segment.alike)) @ bits
        optimizer.zero_grad()
        (torch.tanh(made) * slope).sum().backward()
        optimizer.step()
    return projection.detach()


def weighted_error(segments: list[Segment], projection: Tensor) -> float:
    """Return the mean over segments of the sum of weight * (said - alike)^2, in [0, 1]."""
    errors = [(s.weights * _squares(s, projection)).sum() for s in segments]
    return float(torch.stack(errors).mean())


def strength(error: float) -> float:
    """Return the strength of a learner with an error e, log((1 - e) / e), above 0.

    Example:
        >>> round(strength(0.2), 3)
        1.386
    """
    error = min(max(error, 1e-6), 0.5 - 1e-6)
    return math.log((1 - error) / error)


def raise_weights(segments: list[Segment], projection: Tensor, strength: float) -> None:
    """Raise the weights of the pairs about which a bit is wrong, in place."""
    for segment in segments:
        segment.weights.mul_(torch.exp(strength * _squares(segment, projection)))
        segment.weights.div_(segment.weights.sum())


def _squares(segment: Segment, projection: Tensor) -> Tensor:
    bits = torch.where(segment.frames @ projection < 0, -1.0, 1.0)
    return ((1 + bits * bits.unsqueeze(1)) / 2 - segment.alike).square()


def compared(frames: Tensor, masks: Tensor, settings: BoostingConfig) -> Segment:
    """Return a segment of frames.

    Args:
        frames: Frames (frame, bin + 1) that `with_one` returned.
        masks: Ideal binary masks (frame, bin).
        settings: Configuration of boosting.
    """
    if settings.alike == "spectra":
        agreed = (frames[:, :-1] @ frames[:, :-1].t()).clamp(0, 1)
    else:
        bipolar = 2 * masks - 1
        agreed = 0.5 + 0.5 * (bipolar @ bipolar.t()) / masks.shape[1]
    alike = torch.exp((agreed - 1) / settings.width) if settings.width else agreed
    weights = torch.ones_like(alike)
    if settings.balanced:
        weights = alike / alike.sum() + (1 - alike) / (1 - alike).sum().clamp_min(1e-6)
    return Segment(frames, alike, weights / weights.sum())


def _first(config: RunConfig, number: int, centre: Tensor | None, hashing: BoostedHashing) -> Tensor:
    """Return the start of a learner; its randomness depends on the learner's number alone."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + number)
    projection = fresh_projections(1, hashing.bins, generator)[0]
    if centre is not None:
        projection[-1] = -(projection[:-1] @ centre[:-1])
    return projection


def _segments(model: Enhancer, mixer: Mixer, config: RunConfig) -> Iterator[Segment]:
    settings = config.training.boosting
    generator = torch.Generator().manual_seed(config.seed)
    for number in range(settings.segments):
        batch = mixer(range(number * settings.clips, (number + 1) * settings.clips))
        frames, masks = drawn(model, batch, settings.frames_per_clip, generator)
        yield compared(with_one(frames), masks, settings)


def drawn(model: Enhancer, batch: Mixture, each: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sample frames with sound from mixtures.

    Args:
        model: Model whose features compute the magnitudes.
        batch: Mixtures (batch, 1, time).
        each: Largest number of frames of a mixture.
        generator: Source of randomness, on the CPU.

    Returns:
        Magnitudes and masks, (frame, bin) each.
    """
    found = []
    for heard, aim in zip(*analysed(model, batch), strict=True):
        sounding = heard.amax(1).nonzero().flatten()
        chosen = sounding[torch.randperm(len(sounding), generator=generator)[:each]]
        found.append((heard[chosen], aim[chosen]))
    return torch.cat([heard for heard, _ in found]), torch.cat([aim for _, aim in found])


@torch.no_grad()
def analysed(model: Enhancer, batch: Mixture) -> tuple[Tensor, Tensor]:
    """Return the magnitudes and ideal binary masks of mixtures, each (batch, frame, bin)."""
    hop = model.hop_length
    noisy, clean = (x[..., : x.shape[2] // hop * hop].squeeze(1) for x in (batch.noisy, batch.clean))
    state = fresh(model.features.state_shapes(), len(noisy), noisy)
    signal, spectrum, _ = model.features(noisy, state)
    return signal.unflatten(1, (-1, model.backbone.bins)), ideal_masks(model, spectrum, clean)


def dictionary(model: Enhancer, mixer: Mixer, config: RunConfig) -> tuple[Tensor, Tensor]:
    """Return the frames of the dictionary, from mixtures that follow those of the segments.

    Args:
        model: Model with the size of the dictionary.
        mixer: Source of the mixtures.
        config: Configuration of the run.

    Returns:
        Magnitudes and ideal binary masks, (frame, bin) each.

    Raises:
        InputError: there is no sound in the mixtures.
    """
    assert isinstance(model.backbone, BoostedHashing)
    settings, wanted = config.training.boosting, model.backbone.frames
    generator = torch.Generator().manual_seed(config.seed)
    first, found, held = settings.segments * settings.clips, [], 0
    while held < wanted:
        found.append(drawn(model, mixer(range(first, first + 16)), settings.frames_per_clip, generator))
        if not len(found[-1][0]):
            raise InputError("the mixtures are silent; name folders with speech and noise")
        first, held = first + 16, held + len(found[-1][0])
    order = torch.randperm(held, generator=generator)[:wanted]
    magnitudes, masks = (torch.cat(parts)[order] for parts in zip(*found, strict=True))
    return magnitudes, masks


@torch.no_grad()
def _scores(model: Enhancer, data: MixtureData) -> dict[str, float]:
    """Return the mean SI-SDR in dB of the validation clips, noisy and at each level."""
    found: dict[str, list[Tensor]] = {}
    plans = level_plans(model)
    for batch in data.val_dataloader():
        clean = batch.clean.squeeze(1)
        found.setdefault("val/si_sdr/noisy", []).append(si_sdr(batch.noisy.squeeze(1), clean))
        for level, plan in enumerate(plans):
            made = model.enhance_clip(batch.noisy, plan).squeeze(1)
            found.setdefault(f"val/si_sdr/{level}", []).append(si_sdr(made, clean))
    means = {name: float(torch.cat(values).nanmean()) for name, values in found.items()}
    print("  ".join(f"{name.removeprefix('val/')} {value:.3f}" for name, value in means.items()), flush=True)
    return means


def check(config: RunConfig) -> None:
    """Check that the model is made of hashes.

    Raises:
        InputError: it is not.
    """
    if getattr(config.model, "kind", "") != "hashes":
        raise InputError(
            f"training.method is 'boosting' and system '{config.system}'; use system boosted_hashing"
        )


METHOD = Method(
    settings={"boosting": BoostingConfig},
    check=check,
    kinds=("hashes",),
    uses=frozenset({"method", "steps", "learning_rate", "checkpoint_steps", "threads"}),
    run=boost,
    resumes_from=f"last/{checkpoint.WEIGHTS}",
)
