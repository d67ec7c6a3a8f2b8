"""Time the hand-written backward passes of layers against those of PyTorch.

    python benchmarks/backward_passes.py [--rounds 15] [--precision float32]

CPU time of a forward and a backward pass in one thread, medians of the rounds; both ways run in each round.
The ratios are the figures to quote.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.tables import table
from sese.nn.layers.backward import PReLU, depthwise
from sese.nn.layers.recurrence import gru

BATCH, STEPS, CHANNELS = 8, 500, 256
UNITS = 64
DILATION = 4

Case = tuple[str, Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]


def cases() -> list[Case]:
    """Return the name of each layer, our way, PyTorch's, and the values it works on."""
    x = torch.randn(BATCH, STEPS, CHANNELS)
    weight, bias = torch.randn(CHANNELS, 1, 3), torch.randn(CHANNELS)
    ours, theirs = PReLU(), nn.PReLU()
    net = nn.GRU(CHANNELS, UNITS)
    rows = torch.randn(STEPS, BATCH, CHANNELS)
    parts = [net.weight_ih_l0, net.weight_hh_l0, net.bias_ih_l0, net.bias_hh_l0]

    def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv1d(x.transpose(1, 2), weight, bias, dilation=DILATION, groups=CHANNELS).transpose(1, 2)

    def own_gru(x: Tensor) -> Tensor:
        return gru(x, torch.zeros(BATCH, UNITS), *parts)

    return [
        ("PReLU", ours, theirs, [x]),
        ("depthwise convolution", lambda *v: depthwise(*v, DILATION), convolved, [x, weight, bias]),
        ("GRU", own_gru, lambda x: net(x)[0], [rows]),
    ]


def spent(run: Callable[..., Tensor], values: Sequence[Tensor]) -> float:
    """Return the seconds of a forward and a backward pass."""
    values = [value.clone().requires_grad_() for value in values]
    began = process_time()
    run(*values).square().sum().backward()
    return process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="number of timings of each way")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, options.precision))
    torch.manual_seed(0)
    lines = []
    for name, own, torchs, values in cases():
        spent(own, values), spent(torchs, values)
        times = [(spent(own, values), spent(torchs, values)) for _ in range(options.rounds)]
        ours, theirs = (1000 * statistics.median(way) for way in zip(*times, strict=True))
        lines.append([name, f"{theirs:.1f}", f"{ours:.1f}", f"{theirs / ours:.2f}"])
    sizes = f"{BATCH} rows, {STEPS} steps, {CHANNELS} channels, {UNITS} units"
    print(f"{sizes}, {options.precision}, PyTorch {torch.__version__}\n")
    print("\n".join(table(["layer", "PyTorch, ms", "own, ms", "ratio"], lines)))


if __name__ == "__main__":
    main()
