"""Chains inside enhancement networks, and the error of what is enhanced with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from sese.compression.layers import GRU, Activation, Dense, Floats, Layer
from sese.compression.subject import fingerprint
from sese.core.errors import InputError
from sese.evaluation.metrics import score
from sese.evaluation.pairs import SAMPLE_RATE, Pair, read_pair
from sese.nn import checkpoint
from sese.nn.backbones.demucs import Demucs
from sese.nn.backbones.nsnet2 import NsNet2
from sese.nn.enhancer import Enhancer
from sese.nn.layers.grouped_gru import GroupedGRU

N_FFT, COMPRESSION, COMPLEX_SHARE = 512, 0.3, 0.3
"""Sizes of the spectral distance, that of `sese.training.losses.compressed_complex` at one size."""


class Enhancement:
    """An enhancer on pairs of clips, cut to one length. Satisfies `Subject`.

    The error has two halves: the compressed spectral distance from the clean speech, and the mean absolute
    difference of the samples, each as a share of the noisy input's. Either alone can be had at the other's
    cost: an nsNet2 with weights of 2 bits comes nearer in spectra than in float, and loses 1 dB of SI-SDR.

    Args:
        folder: folder of the network, with its configuration and its weights.
        pairs: pairs of clips at 16 kHz.
        seconds: length of each clip in seconds, from its start; shorter ones are filled with zeros.

    Raises:
        InputError: a network without a chain that is known here, or of another rate; or pairs without noise.
    """

    measure = "compressed spectral distance and absolute error, half each, the noisy input's as 1"

    def __init__(self, folder: Path, pairs: Sequence[Pair], seconds: float = 2.0):
        model, self.config = checkpoint.load(folder), checkpoint.read_config(folder)
        if model.sample_rate != SAMPLE_RATE:
            raise InputError(f"the model runs at {model.sample_rate} Hz; pairs are read at {SAMPLE_RATE} Hz")
        self.model, self.layers = model, layers_of(model)
        samples = round(seconds * SAMPLE_RATE)
        read = [read_pair(pair) for pair in pairs]
        clips = [torch.from_numpy(np.stack([_cut(each[side], samples) for each in read])) for side in (0, 1)]
        self.clean, self.noisy = clips
        self.x = run_to_chain(model, self.noisy)
        # Loudness of a clip is to decide nothing.
        self._gain = 0.1 / self.noisy.square().mean(1, keepdim=True).sqrt().clamp_min(1e-4)
        self._target = _compressed(self.clean * self._gain)
        self._whole = self._distances(self.noisy)
        if not min(self._whole.values()) > 0:
            raise InputError(
                f"{pairs[0].noisy} and what else was taken are their own clean sides; give pairs with noise"
            )
        self.fingerprint = fingerprint(self.layers, self.noisy.numpy(), self.clean.numpy())

    def error(self, y: np.ndarray) -> float:
        """Return the error of audio enhanced with the chain's output; that of the noisy input is 1."""
        made = self._distances(run_from_chain(self.model, self.noisy, y))
        return float(np.mean([made[name] / self._whole[name] for name in made]))

    def scores(self, y: np.ndarray) -> dict[str, list[float]]:
        """Return PESQ-WB, ESTOI and SI-SDR of each clip."""
        enhanced = run_from_chain(self.model, self.noisy, y).numpy()
        rows = [
            score(clean, audio, SAMPLE_RATE, ("pesq", "estoi", "si_sdr"))
            for clean, audio in zip(self.clean.numpy(), enhanced, strict=True)
        ]
        return {column: [row[column] for row in rows] for column in rows[0]}

    def write_model(self, folder: Path, layers: Sequence[Layer]) -> None:
        """Write a model folder that `sese export` takes, its chain's weights replaced."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        try:
            put_back(self.model, layers)
            checkpoint.save(folder, *self.config, self.model.state_dict())
        finally:
            self.model.load_state_dict(own)

    def write_audio(self, folder: Path, y: np.ndarray, clips: int) -> None:
        """Write the first clips, enhanced, as WAV files."""
        folder.mkdir(parents=True, exist_ok=True)
        enhanced = run_from_chain(self.model, self.noisy[:clips], y[:clips]).clamp(-1, 1).numpy()
        for number, audio in enumerate(enhanced):
            soundfile.write(folder / f"{number}.wav", audio, SAMPLE_RATE)

    @torch.no_grad()
    def _distances(self, estimate: Tensor) -> dict[str, float]:
        distances = [
            (one - other).abs().square().mean()
            for one, other in zip(_compressed(estimate * self._gain), self._target, strict=True)
        ]
        spectral = (1 - COMPLEX_SHARE) * distances[0] + COMPLEX_SHARE * distances[1]
        samples = ((estimate - self.clean) * self._gain).abs().mean()
        return {"spectral": float(spectral), "samples": float(samples)}


def _compressed(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Return compressed magnitudes and compressed complex spectra of (clip, time)."""
    spectrum = torch.stft(audio, N_FFT, N_FFT // 2, window=torch.hann_window(N_FFT), return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square() + 1e-8
    return power ** (COMPRESSION / 2), spectrum * power ** ((COMPRESSION - 1) / 2)


def _cut(audio: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(audio[:samples], (0, max(0, samples - len(audio))))


def layers_of(model: Enhancer) -> tuple[Layer, ...]:
    """Return a network's chain in float: all of nsNet2 with one exit, or DEMUCS' recurrent layers.

    Raises:
        InputError: another network.
    """
    backbone = model.backbone
    if isinstance(backbone, NsNet2) and len(backbone.exits) == 1 and not backbone.copies:
        activations: dict[str, Activation] = {"fc1": "none", "fc2": "relu", "fc3": "relu"}
        made: list[Layer] = []
        for name, layer in backbone.layers.items():
            made += _grus(name, layer) if name.startswith("gru") else [_dense(name, layer, activations[name])]
        return (*made, _dense("fc4", backbone.gains[backbone.exits[0]], "sigmoid"))
    if isinstance(backbone, Demucs):
        return tuple(_grus("gru", backbone.gru))
    raise InputError(
        "the model is neither an nsNet2 with one exit (model.exits: [fc3]) nor a DEMUCS; give one of these"
    )


def put_back(model: Enhancer, layers: Sequence[Layer]) -> None:
    """Give a network the weights of its chain, as `layers_of` takes them out."""
    backbone, named = model.backbone, {layer.name: layer for layer in layers}
    with torch.no_grad():
        if isinstance(backbone, NsNet2):
            homes = {**backbone.layers, "fc4": backbone.gains[backbone.exits[0]]}
            for name, home in homes.items():
                layer = named[name if isinstance(home, nn.Linear) else f"{name}.0"]
                if isinstance(layer, Dense):
                    home.weight.copy_(torch.from_numpy(layer.weight.T.copy()))
                    home.bias.copy_(torch.from_numpy(layer.bias))
                else:
                    _fill(home, 0, layer)
        elif isinstance(backbone, Demucs):
            for number in range(backbone.gru.layers):
                layer = named[f"gru.{number}"]
                assert isinstance(layer, GRU)
                _fill(backbone.gru, number, layer)


def _fill(home: GroupedGRU, number: int, layer: GRU) -> None:
    for name in ("input_weight", "hidden_weight"):
        getattr(home, name)[number].copy_(torch.from_numpy(getattr(layer, name).copy()))
    for name in ("input_bias", "hidden_bias"):
        getattr(home, name)[number].copy_(torch.from_numpy(getattr(layer, name)[:, None].copy()))


def _dense(name: str, layer: Any, activation: Activation) -> Dense:
    weight, bias = (tensor.detach().numpy().copy() for tensor in (layer.weight.t(), layer.bias))
    return Dense(name, np.ascontiguousarray(weight), bias, activation)


def _grus(name: str, layer: GroupedGRU) -> list[Layer]:
    weights = [
        tensor.detach().numpy().copy()
        for tensor in (layer.input_weight, layer.hidden_weight, layer.input_bias, layer.hidden_bias)
    ]
    a, b, c, d = weights
    return [GRU(f"{name}.{i}", a[i], b[i], c[i][:, 0], d[i][:, 0]) for i in range(layer.layers)]


def run_to_chain(model: Enhancer, noisy: Tensor) -> Floats:
    """Return the frames [clip, frame, input] that go into the chain for clips (clip, time)."""
    seen: list[Tensor] = []

    def forward(x: Tensor, *rest: Any) -> tuple[Tensor, Any]:
        seen.append(x)
        return x, rest[-1]

    with torch.no_grad(), _instead(_home(model), forward):
        model.enhance_clip(noisy[:, None])
    frames = model.frames(noisy.shape[1])
    return seen[0].reshape(len(noisy), frames, -1).numpy()


def run_from_chain(model: Enhancer, noisy: Tensor, y: np.ndarray | Tensor) -> Tensor:
    """Enhance clips (clip, time) with what the chain made of them, [clip, frame, output]."""
    given = torch.as_tensor(y, dtype=torch.float32)

    def forward(x: Tensor, *rest: Any) -> tuple[Tensor, Any]:
        return given.reshape(x.shape), rest[-1]

    with torch.no_grad(), _instead(_home(model), forward):
        return model.enhance_clip(noisy[:, None])[:, 0]


def _home(model: Enhancer) -> nn.Module:
    """Return the module that is the chain; its last argument is the state, which it returns last."""
    return model.backbone.gru if isinstance(model.backbone, Demucs) else model.backbone


@contextmanager
def _instead(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Run another function in place of a module's own for a while."""
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
