"""The block of Conv-TasNet's separator (arXiv 1809.07454), causal; frames may leave it out."""

from __future__ import annotations

from torch import Tensor, nn

from sese.nn.layers.backward import PReLU, depthwise
from sese.nn.state import push


class ChannelNorm(nn.BatchNorm1d):
    """Normalise (batch, step, channel) by batch norm."""

    def forward(self, input: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return super().forward(input.flatten(0, 1)).unflatten(0, input.shape[:2])


class DepthwiseBlock(nn.Module):
    """Run pointwise, PReLU, norm, depthwise along time, PReLU, norm, pointwise; add to the stream.

    Norms use statistics of each channel from training, so that only the depthwise convolution has a state. A
    step that leaves the block out adds zeros to this state, which are also the state before the first step.

    Args:
        channels: width of the residual stream.
        hidden: width inside.
        kernel_size, dilation: of the depthwise convolution, in steps.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, dilation: int):
        super().__init__()
        self.dilation, self.past = dilation, (kernel_size - 1) * dilation
        self.expand = nn.Linear(channels, hidden)
        self.expand_activation = PReLU()
        self.expand_norm = ChannelNorm(hidden)
        self.depthwise = nn.Conv1d(hidden, hidden, kernel_size, dilation=dilation, groups=hidden)
        self.depthwise_activation = PReLU()
        self.depthwise_norm = ChannelNorm(hidden)
        self.project = nn.Linear(hidden, channels)

    @property
    def hidden(self) -> int:
        """Number of channels inside."""
        return self.expand.out_features

    def macs(self) -> int:
        """Return the multiply-accumulates of a step."""
        return self.hidden * (2 * self.expand.in_features + self.depthwise.kernel_size[0])

    def forward(self, x: Tensor, kept: Tensor | None, history: Tensor) -> tuple[Tensor, Tensor]:
        """Add the block to the stream.

        Args:
            x: (batch, step, channel).
            kept: (batch, step, 1), 1 for steps that run it, else 0 (relaxed in training); None: all run it.
            history: (batch, past, hidden), the steps before x inside the block.

        Returns:
            (batch, step, channel), and the next history.
        """
        h = self.expand_norm(self.expand_activation(self.expand(x)))
        if kept is not None:
            h = h * kept.to(h.dtype)
        joined, history = push(history, h)
        h = self._convolve(joined)
        made = self.project(self.depthwise_norm(self.depthwise_activation(h)))
        return x + (made if kept is None else made * kept.to(made.dtype)), history

    def left_out(self, steps: int, history: Tensor) -> Tensor:
        """Return the next history (batch, past, hidden) after `steps` steps that leave the block out."""
        return push(history, history.new_zeros(history.shape[0], steps, self.hidden))[1]

    def _convolve(self, x: Tensor) -> Tensor:
        """Convolve (batch, past + step, hidden) to (batch, step, hidden)."""
        assert self.depthwise.bias is not None
        return depthwise(x, self.depthwise.weight, self.depthwise.bias, self.dilation)
