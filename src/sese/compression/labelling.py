"""The chain inside a network that labels speech, and the error of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sese.compression.layers import GRU, Dense, Floats, Layer
from sese.compression.subject import fingerprint
from sese.core.errors import InputError
from sese.labels.data import LabelDataConfig, LabelledClips
from sese.labels.training import accuracy_of, loss_of
from sese.nn.label_network import LabelNet, load, save

AT_ONCE = 64


class Labelling:
    """A network that labels speech, on labelled clips. Satisfies `Subject`.

    The error is the cross-entropy of the labels (of SNRs the squared error), as a share of that of a guess
    that knows only their mean.

    Args:
        folder: folder of the network.
        data: the configuration of the data that it was trained on.
        seed: seed of that training.
        part: ``held_out`` or ``all``: whose clips.
        roots: corpus folders.
        limit: clips to take.

    Raises:
        InputError: no clips, or clips that are all labelled alike, on which there is no error to measure.
    """

    measure = "error of the labels, a guess that knows nothing as 1"

    def __init__(
        self, folder: Path, data: LabelDataConfig, seed: int, part: str, roots: Sequence[Path], limit: int
    ):
        self.task, self.net = load(folder)
        clips = LabelledClips(self.task, data, self.net.config, seed, part, roots)
        made = [clips(range(at, min(at + AT_ONCE, limit))) for at in range(0, limit, AT_ONCE)]
        self.target = torch.cat([each.target for each in made])
        with torch.no_grad():
            self.x = torch.cat([self.net.features(each.audio) for each in made]).numpy()
        self.layers = layers_of(self.net)
        mean = self.target.mean()
        guess = (mean if self.task == "frame_snr" else mean.logit()).expand_as(self.target)
        self._guessed = float(loss_of(guess, self.target, self.task).mean())
        if not self._guessed > 0:
            raise InputError(
                f"all {limit} clip(s) of {', '.join(map(str, roots))} are labelled alike ({self.task}), so "
                "errors cannot be measured; take more clips, or give another corpus"
            )
        self.fingerprint = fingerprint(self.layers, self.x, self.target.numpy())

    def error(self, y: np.ndarray) -> float:
        """Return the error of scores [clip, frame, 1]."""
        return float(loss_of(self._scores(y), self.target, self.task).mean()) / self._guessed

    def scores(self, y: np.ndarray) -> dict[str, list[float]]:
        """Return the share of each clip's frames, or of clips, that are labelled correctly."""
        return {"accuracy": accuracy_of(self._scores(y), self.target, self.task).tolist()}

    def write_model(self, folder: Path, layers: Sequence[Layer]) -> None:
        """Write a folder with the network, its chain's weights replaced."""
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        for layer in layers:
            if isinstance(layer, Dense):
                weights |= {"score.weight": _tensor(layer.weight.T), "score.bias": _tensor(layer.bias)}
            else:
                number = layer.name.rpartition(".")[2]
                weights[f"gru.weight_ih_l{number}"] = _tensor(layer.input_weight[0].T)
                weights[f"gru.weight_hh_l{number}"] = _tensor(layer.hidden_weight[0].T)
                weights[f"gru.bias_ih_l{number}"] = _tensor(layer.input_bias[0])
                weights[f"gru.bias_hh_l{number}"] = _tensor(layer.hidden_bias[0])
        save(folder, self.task, self.net.config, weights)

    def write_audio(self, folder: Path, y: np.ndarray, clips: int) -> None:
        """Write nothing: labels make no sound."""

    def _scores(self, y: np.ndarray) -> Tensor:
        return torch.as_tensor(y, dtype=torch.float32)[..., 0]


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def layers_of(net: LabelNet) -> tuple[Layer, ...]:
    """Return the chain of a network, in float: its GRUs and the layer that scores."""
    own = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    layers: list[Layer] = []
    for number in range(net.config.layers):
        names = (f"{kind}_{side}_l{number}" for kind in ("weight", "bias") for side in ("ih", "hh"))
        parts = [np.ascontiguousarray(own[f"gru.{name}"].T)[None] for name in names]
        layers.append(GRU(f"gru.{number}", *parts))
    return (*layers, Dense("score", np.ascontiguousarray(own["score.weight"].T), own["score.bias"]))
