"""The layers that the networks share: convolutions, plain, transposed and deformable, linear layers and batch norm."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torch_impl import ops

_folding = True


class Conv(nn.Conv2d):
    """A convolution that keeps the size at stride 1 unless `padding` says otherwise."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        padding = dilation * (kernel // 2) if padding is None else padding
        super().__init__(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """This convolution with other numbers in place of its own."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class ConvTranspose(nn.ConvTranspose2d):
    """Doubles the size: a 2x2 transposed convolution of stride 2; weight (in, out, 2, 2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2)


class Linear(nn.Linear):
    """(N, in) -> (N, out); weight (out, in)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class DeformConv(nn.Module):
    """DCNv2: a 3x3 convolution whose taps move and weigh themselves, as a second 3x3 convolution tells them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        # 18 channels of y, x offsets a tap, then 9 mask logits.
        self.offset_mask = Conv(in_channels, 27, 3, stride)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """This convolution with other numbers in place of its own."""
        offset_mask = self.offset_mask(x)
        offset, mask = offset_mask[:, :18], torch.sigmoid(offset_mask[:, 18:])
        return ops.deform_conv2d(x, offset, mask, weight, bias, stride=self.stride, padding=1, dilation=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class BatchNorm(nn.Module):
    """Batch norm over (N, H, W): eps 1e-5, momentum 0.1, unbiased running variance."""

    frozen = False

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    @property
    def standing_still(self) -> bool:
        """Whether the statistics are constants at this time."""
        return self.frozen or not self.training

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What the norm does to each channel when its statistics stand still."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        if self.standing_still and self.eps == 0:  # which PyTorch 2.11 refuses
            scale, shift = (each[:, None, None] for each in self.scale_and_shift())
            return x * scale + shift
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=not self.standing_still,
            momentum=0.1,
            eps=self.eps,
        )


class FrozenBatchNorm(BatchNorm):
    """Batch norm whose statistics, scale and shift stand still, in training too."""

    frozen = True

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(channels, eps)
        self.weight.requires_grad = False
        self.bias.requires_grad = False


def conv_norm(conv: Conv | DeformConv, norm: BatchNorm, x: Tensor) -> Tensor:
    """norm(conv(x)); a norm that stands still goes into the convolution's numbers and saves a pass."""
    if not (norm.standing_still and _folding):
        return norm(conv(x))
    scale, shift = norm.scale_and_shift()
    bias = shift if conv.bias is None else conv.bias * scale + shift
    return conv.convolve(x, conv.weight * scale[:, None, None, None], bias)


@contextmanager
def unfolded() -> Iterator[None]:
    """Within it every convolution and norm runs as itself, so that each can be observed."""
    global _folding
    before, _folding = _folding, False
    try:
        yield
    finally:
        _folding = before
