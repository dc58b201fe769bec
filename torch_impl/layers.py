"""The layers that networks are built of: convolutions (plain, transposed, deformable), linear layers, norms."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.config import FrozenNorm
from torch_impl import distributed, ops

_folding = True


class Conv(nn.Conv2d):
    """A convolution (N, in, H, W) -> (N, out, h, w); without `padding` the size stays at stride 1 and an odd kernel."""

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
        """Runs this convolution with another weight and bias than its own."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class ConvTranspose(nn.ConvTranspose2d):
    """A 2x2 transposed convolution of stride 2: (N, in, H, W) -> (N, out, 2H, 2W); weight (in, out, 2, 2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2)


class Linear(nn.Linear):
    """A linear layer (..., in) -> (..., out); weight (out, in)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class PointConv(nn.Conv1d):
    """A linear layer on each of P points: (N, in, P) -> (N, out, P); weight (out, in, 1)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias)


class DeformConv(nn.Module):
    """A deformable 3x3 convolution (DCNv2): a second convolution tells where each tap reads and with what weight."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        # The first 18 channels are the taps' offsets in y and x, the other 9 the logits of their weights.
        self.offset_mask = Conv(in_channels, 27, 3, stride)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Runs this convolution with another weight and bias than its own."""
        offset_mask = self.offset_mask(x)
        offset, mask = offset_mask[:, :18], torch.sigmoid(offset_mask[:, 18:])
        return ops.deform_conv2d(x, offset, mask, weight, bias, stride=self.stride, padding=1, dilation=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class BatchNorm(nn.Module):
    """Batch norm over (N, H, W); a tenth of each batch goes into the running statistics, its variance unbiased."""

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
        """Whether the norm uses its running statistics, and not those of the batch."""
        return self.frozen or not self.training

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The factor and the summand (C,) of each channel that the norm comes to while its statistics stand still."""
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


class FixedBatchNorm(BatchNorm):
    """A batch norm whose statistics stand still, in training too, while its scale and shift learn."""

    frozen = True


class FrozenBatchNorm(FixedBatchNorm):
    """A batch norm whose statistics, scale and shift stand still, in training too."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(channels, eps)
        self.weight.requires_grad = False
        self.bias.requires_grad = False


class SyncBatchNorm(BatchNorm):
    """A batch norm whose batch is that of all processes together; of one process alone it is a batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        if self.standing_still or distributed.start()[1] == 1:
            return super().forward(x)
        axes = (0, 2, 3)
        sums = distributed.sum_with_gradient(torch.cat([x.sum(axes), x.new_tensor([x.numel() / x.shape[1]])]))
        count = sums[-1].item()
        mean = sums[:-1] / count
        centred = x - mean[:, None, None]
        variance = distributed.sum_with_gradient(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, 0.1)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), 0.1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]


class LayerNorm(nn.LayerNorm):
    """Layer norm over the last axis: (..., C) -> (..., C), with an epsilon of 1e-5."""

    def __init__(self, channels: int):
        super().__init__(channels)


class GroupNorm(nn.GroupNorm):
    """Group norm over 32 groups of channels: (N, C, H, W) -> (N, C, H, W), with an epsilon of 1e-5."""

    def __init__(self, channels: int):
        super().__init__(32, channels)


class Embedding(nn.Module):
    """Learned rows: weight (count, C)."""

    def __init__(self, count: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, channels))


class MultiHeadAttention(nn.Module):
    """Attention in several heads between queries and the keys of values; in_proj has the rows of all three."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj = Linear(channels, 3 * channels)
        self.out_proj = Linear(channels, channels)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(N, Q, C), (N, T, C) twice -> (N, Q, C); hidden (N, Q, T): which keys a query does not see, never all."""
        projections = zip(self.in_proj.weight.chunk(3), self.in_proj.bias.chunk(3), strict=True)
        projected = [F.linear(x, *each) for x, each in zip((queries, keys, values), projections, strict=True)]
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in projected)
        seen = None if hidden is None else ~hidden[:, None]
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out_proj(x.transpose(1, 2).flatten(2))


def norm_class(frozen: FrozenNorm, learning: type[BatchNorm] = BatchNorm) -> type[BatchNorm]:
    """The batch norm of which so much stands still in training; `learning` is the one of which nothing does."""
    return {True: FrozenBatchNorm, "statistics": FixedBatchNorm, False: learning}[frozen]


def conv_norm(conv: Conv | DeformConv, norm: BatchNorm, x: Tensor) -> Tensor:
    """Gives norm(conv(x)); a norm that stands still is folded into the convolution's weight and bias."""
    if not (norm.standing_still and _folding):
        return norm(conv(x))
    scale, shift = norm.scale_and_shift()
    bias = shift if conv.bias is None else conv.bias * scale + shift
    return conv.convolve(x, conv.weight * scale[:, None, None, None], bias)


def freeze(*modules: nn.Module) -> None:
    """Takes all parameters of the modules out of training."""
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad = False


@contextmanager
def unfolded() -> Iterator[None]:
    """Lets every convolution and norm run as a module of its own, within this context, so that each can be observed."""
    global _folding
    before, _folding = _folding, False
    try:
        yield
    finally:
        _folding = before
