"""The layers that networks are built of: convolutions (plain, transposed, deformable), linear layers, norms."""

from collections.abc import Iterator
from contextlib import contextmanager

import jittor as jt
from jittor import Var, nn

from common.config import FrozenNorm
from jittor_impl import _code_ops as code_ops
from jittor_impl import _transformer_ops as transformer_ops
from jittor_impl import distributed, ops

_folding = True


class Conv(nn.Module):
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
        super().__init__()
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.padding = dilation * (kernel // 2) if padding is None else padding
        self.weight = jt.zeros((out_channels, in_channels // groups, kernel, kernel))
        self.bias = jt.zeros((out_channels,)) if bias else None

    def convolve(self, x: Var, weight: Var, bias: Var | None) -> Var:
        """Runs this convolution with another weight and bias than its own."""
        y = code_ops.convolution(x, weight, self.stride, self.padding, self.dilation, self.groups)
        return y if bias is None else y + bias.reshape((1, -1, 1, 1))

    def execute(self, x: Var) -> Var:
        return self.convolve(x, self.weight, self.bias)


class ConvTranspose(nn.Module):
    """A 2x2 transposed convolution of stride 2: (N, in, H, W) -> (N, out, 2H, 2W); weight (in, out, 2, 2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = jt.zeros((in_channels, out_channels, 2, 2))
        self.bias = jt.zeros((out_channels,))

    def execute(self, x: Var) -> Var:
        n, _, h, w = x.shape
        into, out = self.weight.shape[:2]
        # Each pixel becomes four on its own, so it is a 1x1 convolution to four times the channels.
        weight = self.weight.reshape((into, out * 4)).transpose((1, 0)).reshape((out * 4, into, 1, 1))
        y = code_ops.convolution(x, weight).reshape((n, out, 2, 2, h, w))
        y = y.transpose((0, 1, 4, 2, 5, 3)).reshape((n, out, 2 * h, 2 * w))
        return y + self.bias.reshape((1, -1, 1, 1))


class Linear(nn.Module):
    """A linear layer (..., in) -> (..., out); weight (out, in)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__()
        self.weight = jt.zeros((out_channels, in_channels))
        self.bias = jt.zeros((out_channels,)) if bias else None

    def execute(self, x: Var) -> Var:
        y = nn.matmul_transpose(x, self.weight)
        return y if self.bias is None else y + self.bias


class PointConv(nn.Module):
    """A linear layer on each of P points: (N, in, P) -> (N, out, P); weight (out, in, 1)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = jt.zeros((out_channels, in_channels, 1))
        self.bias = jt.zeros((out_channels,))

    def execute(self, x: Var) -> Var:
        y = code_ops.convolution(x.unsqueeze(3), self.weight.unsqueeze(3))
        return y[:, :, :, 0] + self.bias.reshape((1, -1, 1))


class DeformConv(nn.Module):
    """A deformable 3x3 convolution (DCNv2): a second convolution tells where each tap reads and with what weight."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.weight = jt.zeros((out_channels, in_channels, 3, 3))
        self.bias = jt.zeros((out_channels,))
        # The first 18 channels are the taps' offsets in y and x, the other 9 the logits of their weights.
        self.offset_mask = Conv(in_channels, 27, 3, stride)

    def convolve(self, x: Var, weight: Var, bias: Var) -> Var:
        """Runs this convolution with another weight and bias than its own."""
        offset_mask = self.offset_mask(x)
        offset, mask = offset_mask[:, :18], jt.sigmoid(offset_mask[:, 18:])
        return ops.deform_conv2d(x, offset, mask, weight, bias, stride=self.stride, padding=1, dilation=1)

    def execute(self, x: Var) -> Var:
        return self.convolve(x, self.weight, self.bias)


class BatchNorm(nn.Module):
    """Batch norm over (N, H, W); a tenth of each batch goes into the running statistics, its variance unbiased."""

    frozen = False

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = jt.ones((channels,))
        self.bias = jt.zeros((channels,))
        self.running_mean = jt.zeros((channels,)).stop_grad()
        self.running_var = jt.ones((channels,)).stop_grad()

    @property
    def standing_still(self) -> bool:
        """Whether the norm uses its running statistics, and not those of the batch."""
        return self.frozen or not self.is_training()

    def scale_and_shift(self) -> tuple[Var, Var]:
        """The factor and the summand (C,) of each channel that the norm comes to while its statistics stand still."""
        scale = self.weight / jt.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def execute(self, x: Var) -> Var:
        if self.standing_still:
            scale, shift = self.scale_and_shift()
            return x * scale.reshape((1, -1, 1, 1)) + shift.reshape((1, -1, 1, 1))
        # Jittor's own norm keeps the biased variance.
        y, mean, variance = code_ops.batch_norm(x, self.weight, self.bias, self.eps)
        count = x.shape[0] * x.shape[2] * x.shape[3]
        self._advance(self.running_mean, mean)
        self._advance(self.running_var, variance * (count / max(count - 1, 1)))
        return y

    def _advance(self, statistic: Var, batch_value: Var) -> None:
        statistic.update(0.9 * statistic + 0.1 * batch_value.detach())


class FixedBatchNorm(BatchNorm):
    """A batch norm whose statistics stand still, in training too, while its scale and shift learn."""

    frozen = True


class FrozenBatchNorm(FixedBatchNorm):
    """A batch norm whose statistics, scale and shift stand still, in training too."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(channels, eps)
        self.weight.stop_grad()
        self.bias.stop_grad()


class SyncBatchNorm(BatchNorm):
    """A batch norm whose batch is that of all processes together; of one process alone it is a batch norm."""

    def execute(self, x: Var) -> Var:
        if self.standing_still or distributed.start()[1] == 1:
            return super().execute(x)
        own_count = jt.array([float(x.shape[0] * x.shape[2] * x.shape[3])])
        sums = distributed.sum_with_gradient(jt.concat([_sum_of_channels(x), own_count]))
        count = sums[-1].item()
        mean = sums[:-1] / count
        centred = x - mean.reshape((1, -1, 1, 1))
        variance = distributed.sum_with_gradient(_sum_of_channels(centred * centred)) / count
        self._advance(self.running_mean, mean)
        self._advance(self.running_var, variance * (count / max(count - 1, 1)))
        scale = self.weight / jt.sqrt(variance + self.eps)
        return centred * scale.reshape((1, -1, 1, 1)) + self.bias.reshape((1, -1, 1, 1))


class LayerNorm(nn.Module):
    """Layer norm over the last axis: (..., C) -> (..., C), with an epsilon of 1e-5."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = jt.ones((channels,))
        self.bias = jt.zeros((channels,))

    def execute(self, x: Var) -> Var:
        return transformer_ops.layer_norm(x, self.weight, self.bias, 1e-5)


class GroupNorm(nn.Module):
    """Group norm over 32 groups of channels: (N, C, H, W) -> (N, C, H, W), with an epsilon of 1e-5."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = jt.ones((channels,))
        self.bias = jt.zeros((channels,))

    def execute(self, x: Var) -> Var:
        groups = x.reshape((x.shape[0], 32, -1))
        centred = groups - groups.mean(2, keepdims=True)
        normed = centred / jt.sqrt((centred * centred).mean(2, keepdims=True) + 1e-5)
        return normed.reshape(x.shape) * self.weight.reshape((1, -1, 1, 1)) + self.bias.reshape((1, -1, 1, 1))


class Embedding(nn.Module):
    """Learned rows: weight (count, C)."""

    def __init__(self, count: int, channels: int):
        super().__init__()
        self.weight = jt.zeros((count, channels))


class MultiHeadAttention(nn.Module):
    """Attention in several heads between queries and the keys of values; in_proj has the rows of all three."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj = Linear(channels, 3 * channels)
        self.out_proj = Linear(channels, channels)

    def execute(self, queries: Var, keys: Var, values: Var, hidden: Var | None = None) -> Var:
        """(N, Q, C), (N, T, C) twice -> (N, Q, C); hidden (N, Q, T): which keys a query does not see, never all."""
        q, k, v = (self._project(x, part) for part, x in enumerate((queries, keys, values)))
        if hidden is None:
            hidden = jt.zeros((*queries.shape[:2], keys.shape[1]), "bool")
        return self.out_proj(transformer_ops.masked_attention(q, k, v, hidden, self.heads))

    def _project(self, x: Var, part: int) -> Var:
        """(N, T, C) -> (N, T, C), by the rows of queries, keys or values."""
        channels = x.shape[2]
        rows = slice(part * channels, (part + 1) * channels)
        return nn.matmul_transpose(x, self.in_proj.weight[rows]) + self.in_proj.bias[rows]


def norm_class(frozen: FrozenNorm, learning: type[BatchNorm] = BatchNorm) -> type[BatchNorm]:
    """The batch norm of which so much stands still in training; `learning` is the one of which nothing does."""
    return {True: FrozenBatchNorm, "statistics": FixedBatchNorm, False: learning}[frozen]


def conv_norm(conv: Conv | DeformConv, norm: BatchNorm, x: Var) -> Var:
    """Gives norm(conv(x)); a norm that stands still is folded into the convolution's weight and bias."""
    if not (norm.standing_still and _folding):
        return norm(conv(x))
    scale, shift = norm.scale_and_shift()
    bias = shift if conv.bias is None else conv.bias * scale + shift
    return conv.convolve(x, conv.weight * scale.reshape((-1, 1, 1, 1)), bias)


def freeze(*modules: nn.Module) -> None:
    """Takes all parameters of the modules out of training."""
    for module in modules:
        for parameter in module.parameters():
            parameter.stop_grad()


@contextmanager
def unfolded() -> Iterator[None]:
    """Lets every convolution and norm run as a module of its own, within this context, so that each can be observed."""
    global _folding
    before, _folding = _folding, False
    try:
        yield
    finally:
        _folding = before


def _sum_of_channels(x: Var) -> Var:
    """(N, C, H, W) -> (C,), one axis after the other: Jittor adds one number after the other, which costs digits."""
    return x.sum(3).sum(2).sum(0)
