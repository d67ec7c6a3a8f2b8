"""Quantisation-aware fine-tuning: weights that do their best under the codes they will have.

The chain runs in float with every weight and every operator's output rounded to its codes; gradients pass
rounding as if it were not there, and stop where a value is clipped. It learns to make what the float chain
makes of the same frames, so it needs no labels and no clean speech.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sese.compression.integer import Quantiser
from sese.compression.layers import GRU, Dense, Floats, Layer, run
from sese.core.files import replacing
from sese.training.loop import Training, descend, run_steps
from sese.training.run_folder import restoring
from sese.training.schedule import half_cosine

LEARNING_RATE = 5e-4
CLIP_NORM = 1.0
KEEP_STEPS = 5


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: float, zero: int, top: int) -> Tensor:
        codes = values.div(scale).round_().add_(zero)
        inside = codes.clamp(0, top)
        ctx.save_for_backward(codes == inside)
        return inside.sub_(zero).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient * ctx.saved_tensors[0], None, None, None


def rounded(values: Tensor, quantiser: Quantiser) -> Tensor:
    """Round values to their codes; the gradient is that of clipping alone."""
    return _Round.apply(values, quantiser.scale, quantiser.zero, quantiser.top)


class RoundedChain(nn.Module):
    """A chain whose weights and signals are rounded as `quantise` would have them.

    Args:
        layers: layers in float; training starts from their weights.
        quantisers: quantisers by name, as in `quantise`.
    """

    def __init__(self, layers: Sequence[Layer], quantisers: Mapping[str, Quantiser]):
        super().__init__()
        self.layers, self.quantisers = tuple(layers), dict(quantisers)
        self.weights: Any = nn.ParameterDict()
        for layer in layers:
            for kind, tensors in (("weight", layer.matrices), ("bias", layer.biases)):
                for name, values in tensors.items():
                    parameter = nn.Parameter(torch.tensor(values))
                    self.weights[_key(layer, name, kind)] = parameter

    def forward(self, x: Tensor) -> Tensor:
        """Run frames [batch, frame, input] -> [batch, frame, output], from states of zeros."""
        x = rounded(x, self.quantisers["input"])
        for layer in self.layers:
            x = self._gru(layer, x) if isinstance(layer, GRU) else self._dense(layer, x)
        return x

    def trained(self) -> list[Layer]:
        """Return the layers with the weights that were learnt, in float."""
        made: list[Layer] = []
        for layer in self.layers:
            matrices = {name: self._values(layer, name, "weight") for name in layer.matrices}
            biases = {name: self._values(layer, name, "bias") for name in layer.biases}
            if isinstance(layer, Dense):
                made.append(Dense(layer.name, matrices["W"], biases["W"], layer.activation))
                continue
            weights, offsets = list(matrices.values()), list(biases.values())
            halves = [np.concatenate(weights[at : at + 3], axis=2) for at in (0, 3)]
            made.append(
                GRU(layer.name, *halves, *(np.concatenate(offsets[at : at + 3], axis=1) for at in (0, 3)))
            )
        return made

    def _values(self, layer: Layer, name: str, kind: str) -> Floats:
        return self.weights[_key(layer, name, kind)].detach().numpy().copy()

    def _weight(self, layer: Layer, name: str) -> tuple[Tensor, Tensor]:
        weight = rounded(self.weights[_key(layer, name, "weight")], self.quantisers[f"{layer.name}.{name}"])
        return weight, self.weights[_key(layer, name, "bias")]

    def _dense(self, layer: Dense, x: Tensor) -> Tensor:
        weight, bias = self._weight(layer, "W")
        y = torch.matmul(x, weight) + bias
        if layer.activation == "sigmoid":
            y = torch.sigmoid(rounded(y, self.quantisers[f"{layer.name}.sum"]))
        return rounded(y, self.quantisers[f"{layer.name}.out"])

    def _gru(self, layer: GRU, x: Tensor) -> Tensor:
        groups, inputs, units = layer.shape
        batch, frames, _ = x.shape
        grouped = x.reshape(batch * frames, groups, inputs).transpose(0, 1)

        def signal(name: str, values: Tensor) -> Tensor:
            return rounded(values, self.quantisers[f"{layer.name}.{name}"])

        from_input = []
        for gate in "rzn":
            weight, bias = self._weight(layer, f"W_i{gate}")
            product = torch.bmm(grouped, weight) + bias[:, None]
            from_input.append(signal(f"i{gate}", product).view(groups, batch, frames, units).unbind(2))
        from_state = [self._weight(layer, f"W_h{gate}") for gate in "rzn"]
        joined = torch.cat([weight for weight, _ in from_state], dim=2)
        offsets = torch.cat([bias for _, bias in from_state], dim=1)[:, None]
        h = x.new_zeros(groups, batch, units)
        states = []
        for i_r, i_z, i_n in zip(*from_input, strict=True):
            products = torch.baddbmm(offsets, h, joined).split(units, dim=2)
            h_r, h_z, h_n = (
                signal(name, values) for name, values in zip(("hr", "hz", "hn"), products, strict=True)
            )
            r = signal("reset", torch.sigmoid(signal("sum_r", i_r + h_r)))
            z = signal("update", torch.sigmoid(signal("sum_z", i_z + h_z)))
            n = signal("new", torch.tanh(signal("sum_n", i_n + signal("gated", r * h_n))))
            fresh = signal("fresh", signal("one_minus", 1 - z) * n)
            h = signal("state", fresh + signal("kept", z * h))
            states.append(h)
        return torch.stack(states, dim=2).permute(1, 2, 0, 3).reshape(batch, frames, groups * units)


def _key(layer: Layer, name: str, kind: str) -> str:
    return f"{layer.name}/{name}/{kind}".replace(".", "|")  # parameters' names hold no dots


def tune(
    layers: Sequence[Layer],
    quantisers: Mapping[str, Quantiser],
    x: Floats,
    steps: int,
    seed: int = 0,
    batch: int = 8,
    progress: Callable[[int, float], None] | None = None,
    keep: Path | None = None,
) -> list[Layer]:
    """Fine-tune a chain under its codes, towards what it makes in float.

    Args:
        layers: layers in float.
        quantisers: quantisers by name, as in `quantise`; they do not change.
        x: frames [clip, frame, input].
        steps: number of steps of Adam; its rate falls to 0 as a cosine.
        seed: seed of the choice of clips.
        batch: number of clips in a step.
        progress: called with the step and its loss, the mean squared error over the target's variance.
        keep: file for what is learnt, every `KEEP_STEPS`; where it is there already, the tuning goes on.

    Returns:
        The layers with new weights, in float.
    """
    tuning = _Tuning(layers, quantisers, x, steps, seed, batch, progress, keep)
    done = tuning.restore() if keep is not None and keep.exists() else 0
    run_steps(tuning, done, steps, KEEP_STEPS)
    return tuning.chain.trained()


class _Tuning(Training):
    def __init__(
        self,
        layers: Sequence[Layer],
        quantisers: Mapping[str, Quantiser],
        x: Floats,
        steps: int,
        seed: int,
        batch: int,
        progress: Callable[[int, float], None] | None,
        keep: Path | None,
    ):
        self.target = torch.from_numpy(run(layers, x).astype(np.float32))
        self.frames = torch.from_numpy(x)
        self.variance = float(self.target.var())
        self.chain = RoundedChain(layers, quantisers)
        self.optimiser = torch.optim.Adam(self.chain.parameters(), lr=LEARNING_RATE)
        self.steps, self.seed, self.batch = steps, seed, batch
        self.progress, self.keep = progress, keep

    def restore(self) -> int:
        """Take up what was kept; return the number of steps done."""
        assert self.keep is not None
        with restoring(self.keep) as saved:
            self.chain.load_state_dict(saved["chain"])
            self.optimiser.load_state_dict(saved["optimiser"])
            return saved["step"]

    def step(self, number: int) -> None:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        rows = torch.randperm(len(self.frames), generator=generator)[: self.batch]
        loss = (self.chain(self.frames[rows]) - self.target[rows]).square().mean() / self.variance
        descend(loss, self.optimiser, LEARNING_RATE * half_cosine(number / self.steps), CLIP_NORM)
        if self.progress is not None:
            self.progress(number + 1, loss.item())

    def checkpoint(self, done: int, late: bool) -> None:
        if self.keep is not None:
            state = {"chain": self.chain.state_dict(), "optimiser": self.optimiser.state_dict(), "step": done}
            with replacing(self.keep) as part:
                torch.save(state, part)
