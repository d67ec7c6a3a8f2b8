"""A network of bits learns ideal binary masks, while more and more of it becomes bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.layers.bitwise import Binarisation
from sese.training import codes
from sese.training.masks import mask_error

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask

CODE_MIXTURES = 64
"""That the quantiser of a bitwise network is fitted to."""


def fit_codes(task: EnhancementTask) -> None:
    """Fit the quantiser of codes to the first mixtures."""
    mixer = task.trainer.datamodule.mixer(task.device)  # type: ignore[attr-defined]
    codes.fit(task.model, mixer(range(CODE_MIXTURES)).noisy)


def masks(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Error of the masks, with a share of the weights and activations as bits."""
    share = task.config.training.masks.share_at(task.done)
    task.log("train/share", share)
    return {"mask": mask_error(task.model, batch.noisy, batch.clean, Binarisation(share, generator))}
