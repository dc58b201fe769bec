"""The layers that networks are built of: convolutions (plain, transposed, deformable), linear layers, norms."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import ops as F

from common.config import FrozenNorm
from mindspore_impl import _kernels, _onednn, distributed, ops
from mindspore_impl import _transformer_ops as transformer_ops

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
        super().__init__(
            in_channels, out_channels, kernel, stride, "pad", padding, dilation, groups, bias, "zeros", "zeros"
        )
        self._settings = (stride, padding, dilation, groups)
        self._no_bias = Tensor(np.zeros(out_channels, np.float32))

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Runs this convolution with another weight and bias than its own."""
        if _onednn.library_file() is not None and x.size > 0:
            out = _onednn.convolution(*self._settings)(x, weight, self._no_bias)
            # In a compiled network a custom operator's output is overwritten before gradients need it; a sum is not.
            return self.bias_add(out, self._no_bias if bias is None else bias)
        out = self.conv2d(x, weight)
        return out if bias is None else self.bias_add(out, bias)

    def construct(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class ConvTranspose(nn.Conv2dTranspose):
    """A 2x2 transposed convolution of stride 2: (N, in, H, W) -> (N, out, 2H, 2W); weight (in, out, 2, 2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            in_channels, out_channels, 2, 2, "valid", has_bias=True, weight_init="zeros", bias_init="zeros"
        )


class Linear(nn.Dense):
    """A linear layer (..., in) -> (..., out); weight (out, in)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, "zeros", "zeros", bias)
        self._no_bias = Tensor(np.zeros(out_channels, np.float32))

    def construct(self, x: Tensor) -> Tensor:
        if _onednn.library_file() is None or x.size == 0:
            return super().construct(x)
        return _linear(x, self.weight, self.bias if self.has_bias else self._no_bias)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (..., K), weight (N, K), bias (N,) -> (..., N)"""
    if _onednn.library_file() is None or x.size == 0:
        return F.matmul(x, F.transpose(weight, (1, 0))) + bias
    # What reads the answer in a compiled network may be no custom operator with a gradient: see `Conv.convolve`.
    rows = F.reshape(x, (-1, x.shape[-1]))
    return F.reshape(_onednn.linear()(rows, weight, bias), (*x.shape[:-1], weight.shape[0]))


class PointConv(nn.Cell):
    """A linear layer on each of P points: (N, in, P) -> (N, out, P); weight (out, in, 1)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = Parameter(F.zeros((out_channels, in_channels, 1)))
        self.bias = Parameter(F.zeros((out_channels,)))

    def construct(self, x: Tensor) -> Tensor:
        y = F.conv2d(F.expand_dims(x, 3), F.expand_dims(self.weight, 3))
        return F.squeeze(y, 3) + F.reshape(self.bias, (1, -1, 1))


class DeformConv(nn.Cell):
    """A deformable 3x3 convolution (DCNv2): a second convolution tells where each tap reads and with what weight."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.weight = Parameter(F.zeros((out_channels, in_channels, 3, 3)))
        self.bias = Parameter(F.zeros((out_channels,)))
        # The first 18 channels are the taps' offsets in y and x, the other 9 the logits of their weights.
        self.offset_mask = Conv(in_channels, 27, 3, stride)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Runs this convolution with another weight and bias than its own."""
        offset_mask = self.offset_mask(x)
        offset, mask = offset_mask[:, :18], F.sigmoid(offset_mask[:, 18:])
        return ops.deform_conv2d(x, offset, mask, weight, bias, stride=self.stride, padding=1, dilation=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over (N, H, W); a tenth of each batch goes into the running statistics, its variance unbiased."""

    frozen = False

    def __init__(self, channels: int, eps: float = 1e-5):
        # MindSpore refuses an eps of 0; this one is lost beside any variance.
        eps = max(eps, 1e-20)
        super().__init__(channels, eps, momentum=0.9, use_batch_statistics=False if self.frozen else None)
        self._settings = Tensor(np.array([eps], np.float32))

    @property
    def standing_still(self) -> bool:
        """Whether the norm uses its running statistics, and not those of the batch."""
        return self.frozen or not self.training

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The factor and the summand (C,) of each channel that the norm comes to while its statistics stand still."""
        scale = self.gamma * F.rsqrt(self.moving_variance + self.eps)
        return scale, self.beta - self.moving_mean * scale

    def construct(self, x: Tensor) -> Tensor:
        if self.standing_still or not _kernels.has_batch_norm():
            return super().construct(x)
        y, mean, variance = _kernels.batch_norm(x, self.gamma, self.beta, self._settings)
        count = x.shape[0] * x.shape[2] * x.shape[3]
        self._advance(self.moving_mean, mean)
        self._advance(self.moving_variance, variance * (count / max(count - 1, 1)))
        return y

    def _advance(self, statistic: Parameter, batch_value: Tensor) -> None:
        F.assign(statistic, 0.9 * statistic + 0.1 * F.stop_gradient(batch_value))


class FixedBatchNorm(BatchNorm):
    """A batch norm whose statistics stand still, in training too, while its scale and shift learn."""

    frozen = True


class FrozenBatchNorm(FixedBatchNorm):
    """A batch norm whose statistics, scale and shift stand still, in training too."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(channels, eps)
        self.gamma.requires_grad = False
        self.beta.requires_grad = False


class SyncBatchNorm(BatchNorm):
    """A batch norm whose batch is that of all processes together; of one process alone it is a batch norm."""

    def construct(self, x: Tensor) -> Tensor:
        if self.standing_still or distributed.start()[1] == 1:
            return super().construct(x)
        axes = (0, 2, 3)
        rows = F.full((1,), x.shape[0] * x.shape[2] * x.shape[3], dtype=x.dtype)
        sums = distributed.sum_with_gradient(F.cat((x.sum(axes), rows)))
        count = sums[-1].asnumpy().item()
        mean = sums[:-1] / count
        centred = x - mean.reshape(-1, 1, 1)
        variance = distributed.sum_with_gradient(F.square(centred).sum(axes)) / count
        self._advance(self.moving_mean, mean)
        self._advance(self.moving_variance, variance * (count / max(count - 1, 1)))
        scale = self.gamma * F.rsqrt(variance + self.eps)
        return centred * scale.reshape(-1, 1, 1) + self.beta.reshape(-1, 1, 1)


class LayerNorm(nn.Cell):
    """Layer norm over the last axis: (..., C) -> (..., C), with an epsilon of 1e-5."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = Parameter(F.ones((channels,)))
        self.bias = Parameter(F.zeros((channels,)))
        self._settings = Tensor(np.array([1e-5], np.float32))

    def construct(self, x: Tensor) -> Tensor:
        return transformer_ops.layer_norm(x, self.weight, self.bias, self._settings)


class GroupNorm(nn.Cell):
    """Group norm over 32 groups of channels: (N, C, H, W) -> (N, C, H, W), with an epsilon of 1e-5."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = Parameter(F.ones((channels,)))
        self.bias = Parameter(F.zeros((channels,)))
        self._settings = Tensor(np.array([1e-5, 32], np.float32))

    def construct(self, x: Tensor) -> Tensor:
        return _kernels.group_norm(x, self.weight, self.bias, self._settings)


class Embedding(nn.Cell):
    """Learned rows: weight (count, C)."""

    def __init__(self, count: int, channels: int):
        super().__init__()
        self.weight = Parameter(F.zeros((count, channels)))


class MultiHeadAttention(nn.Cell):
    """Attention in several heads between queries and the keys of values; in_proj has the rows of all three."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.in_proj = Linear(channels, 3 * channels)
        self.out_proj = Linear(channels, channels)
        self._settings = Tensor(np.array([heads], np.int32))

    def construct(self, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(N, Q, C), (N, T, C) twice -> (N, Q, C); hidden (N, Q, T): which keys a query does not see, never all."""
        q, k, v = (self._project(x, part) for part, x in enumerate((queries, keys, values)))
        if hidden is None:
            hidden = F.zeros((*queries.shape[:2], keys.shape[1]), dtype=ms.bool_)
        return self.out_proj(transformer_ops.masked_attention(q, k, v, hidden, self._settings))

    def _project(self, x: Tensor, part: int) -> Tensor:
        """(N, T, C) -> (N, T, C), by the rows of queries, keys or values."""
        channels = x.shape[2]
        rows = slice(part * channels, (part + 1) * channels)
        return _linear(x, self.in_proj.weight[rows], self.in_proj.bias[rows])


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


def freeze(*modules: nn.Cell) -> None:
    """Takes all parameters of the modules out of training."""
    for module in modules:
        for parameter in module.get_parameters():
            parameter.requires_grad = False


@contextmanager
def unfolded() -> Iterator[None]:
    """Lets every convolution and norm run as a module of its own, within this context, so that each can be observed."""
    global _folding
    before, _folding = (_folding, os.environ.get("MS_JIT")), False
    os.environ["MS_JIT"] = "0"  # MindSpore's switch: what is marked to be compiled runs as Python
    try:
        yield
    finally:
        _folding, jit = before
        if jit is None:
            del os.environ["MS_JIT"]
        else:
            os.environ["MS_JIT"] = jit
