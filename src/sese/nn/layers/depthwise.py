"""The block of Conv-TasNet's separator (arXiv 1809.07454), causal, that a frame may leave out."""

from __future__ import annotations

from torch import Tensor, nn

from sese.nn.layers.backward import PReLU, depthwise
from sese.nn.state import push


class ChannelNorm(nn.BatchNorm1d):
    """Batch norm of (batch, step, channel)."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return super().forward(input.flatten(0, 1)).unflatten(0, input.shape[:2])


class DepthwiseBlock(nn.Module):
    """Pointwise, PReLU, norm, depthwise along time, PReLU, norm, pointwise; added to the stream.

    Norms are by statistics that training gathers for each channel, so that nothing but the depthwise
    convolution remembers. A step that leaves the block out hands it zeros, as there are before the first
    step.

    Args:
        channels: of the residual stream.
        hidden: channels inside.
        kernel_size, dilation: of the depthwise convolution.
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
        """Channels inside."""
        return self.expand.out_features

    def macs(self) -> int:
        """Multiply-accumulates of one step."""
        return self.hidden * (2 * self.expand.in_features + self.depthwise.kernel_size[0])

    def forward(self, x: Tensor, kept: Tensor | None, history: Tensor) -> tuple[Tensor, Tensor]:
        """Add the block to the stream.

        Args:
            x: (batch, step, channel).
            kept: (batch, step, 1) of 0/1 (relaxed values in training), which steps run it; None: all.
            history: (batch, past, hidden) the last steps before x inside.

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
        """The history (batch, past, hidden) behind so many steps that leave the block out."""
        return push(history, history.new_zeros(history.shape[0], steps, self.hidden))[1]

    def _convolve(self, x: Tensor) -> Tensor:
        """(batch, past + step, hidden) -> (batch, step, hidden)."""
        assert self.depthwise.bias is not None
        return depthwise(x, self.depthwise.weight, self.depthwise.bias, self.dilation)
