"""The array contract in MindSpore; `common.array.Operations` says what each function does.

Several of MindSpore's own functions answer wrongly or noisily on a CPU; where one is passed over, the reason stands
beside what is used in its place.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor
from mindspore import ops as F

from common import numpy_ops
from common.array import Axes, DType, Shape, register
from mindspore_impl import _kernels

_DTYPES = {"float32": ms.float32, "int32": ms.int32, "bool": ms.bool_}

# Creation and conversion


def asarray(values: Any, like: Tensor, dtype: DType | None = None) -> Tensor:
    if isinstance(values, Tensor):
        return values if dtype is None else values.astype(_DTYPES[dtype])
    values = np.asarray(values)
    if dtype is None:
        dtype = {"f": "float32", "i": "int32", "u": "int32", "b": "bool"}[values.dtype.kind]
    return Tensor(values.astype(dtype))


def to_numpy(x: Tensor) -> np.ndarray:
    return x.asnumpy().copy()  # asnumpy shares the tensor's memory


def astype(x: Tensor, dtype: DType) -> Tensor:
    return x.astype(_DTYPES[dtype])


def zeros(shape: Shape, like: Tensor, dtype: DType = "float32") -> Tensor:
    return F.zeros(tuple(shape), dtype=_DTYPES[dtype])


def full(shape: Shape, value: float, like: Tensor, dtype: DType = "float32") -> Tensor:
    return F.full(tuple(shape), value, dtype=_DTYPES[dtype])


def arange(count: int, like: Tensor) -> Tensor:
    return F.arange(0, count, dtype=ms.int32)


# Elementwise


def exp(x: Tensor) -> Tensor:
    return F.exp(x)


def log(x: Tensor) -> Tensor:
    return F.log(x)


def sqrt(x: Tensor) -> Tensor:
    return F.sqrt(x)


def abs(x: Tensor) -> Tensor:
    return F.abs(x)


def floor(x: Tensor) -> Tensor:
    return F.floor(x)


def sigmoid(x: Tensor) -> Tensor:
    return F.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    # F.tanh is off by up to 1e-4 on a CPU, this by 2e-6.
    return 2 * F.sigmoid(2 * x) - 1


def maximum(a: Tensor, b: Tensor | float) -> Tensor:
    return F.maximum(a, b)


def minimum(a: Tensor, b: Tensor | float) -> Tensor:
    return F.minimum(a, b)


def clip(x: Tensor, low: float, high: float) -> Tensor:
    return F.clamp(x, low, high)


def where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    chosen = F.where(condition, a, b)
    return chosen.astype(ms.int32) if chosen.dtype == ms.int64 else chosen


def logical_and(a: Tensor, b: Tensor) -> Tensor:
    return F.logical_and(a, b)


def logical_or(a: Tensor, b: Tensor) -> Tensor:
    return F.logical_or(a, b)


def binary_cross_entropy_with_logits(logits: Tensor, targets: Tensor) -> Tensor:
    # A fifth of the time of MindSpore's own.
    return F.softplus(logits) - logits * targets


# Reductions


def sum(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    if x.size == 0:  # MindSpore answers what happens to lie in the memory
        return F.zeros(_reduced(x, axis, keepdims), dtype=ms.float32 if x.dtype == ms.float32 else ms.int32)
    out = F.sum(x, axis, keepdims)
    return out.astype(ms.int32) if out.dtype == ms.int64 else out


def max(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    if axis is None:
        # Along an axis too: MindSpore would share the gradient out among equals otherwise.
        out = F.max(x.reshape(-1), 0)[0]
        return out.reshape((1,) * x.ndim) if keepdims else out
    if x.size == 0 and x.shape[axis] > 0:
        return F.zeros(_reduced(x, axis, keepdims), dtype=x.dtype)
    return F.max(x, axis, keepdims)[0]


def any(x: Tensor, axis: int | None = None) -> Tensor:
    return sum(x.astype(ms.int32), axis) > 0


def logsumexp(x: Tensor, axis: int) -> Tensor:
    # F.logsumexp takes four times as long.
    peak = F.stop_gradient(max(x, axis, keepdims=True))
    return F.log(sum(F.exp(x - peak), axis)) + peak.squeeze(axis)


def argmax(x: Tensor, axis: int) -> Tensor:
    if x.size == 0:
        return F.zeros(_reduced(x, axis), dtype=ms.int32)
    return F.argmax(x, axis).astype(ms.int32)


def _reduced(x: Tensor, axis: Axes, keepdims: bool = False) -> tuple[int, ...]:
    """The shape that is left of x."""
    return np.zeros(x.shape, np.bool_).any(axis, keepdims=keepdims).shape


# Shape


def reshape(x: Tensor, shape: Shape) -> Tensor:
    return F.reshape(x, tuple(shape))


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    return F.transpose(x, tuple(axes))


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    return F.broadcast_to(x, tuple(shape))


def concatenate(arrays: Sequence[Tensor], axis: int = 0) -> Tensor:
    return F.cat(tuple(arrays), axis)


# Indexing and order


def take(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    return F.gather(x, indices, axis)


def take_along_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    return F.gather_elements(x, axis, indices)


def put_along_axis(x: Tensor, indices: Tensor, values: Tensor, axis: int) -> Tensor:
    return F.tensor_scatter_elements(x, indices, values, axis)


def nonzero(mask: Tensor) -> Tensor:
    return F.nonzero(mask)[:, 0].astype(ms.int32)


def argsort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    return F.argsort(x, axis, descending)


def topk(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # F.topk takes longer than NumPy does, and orders equals as it likes.
    array, kept = x.asnumpy(), min(k, x.shape[-1])
    rows = array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
    indices = np.array([_largest(row, kept) for row in rows], np.int32).reshape(*array.shape[:-1], kept)
    return F.gather_elements(x, x.ndim - 1, Tensor(indices)), Tensor(indices)


def _largest(row: np.ndarray, k: int) -> np.ndarray:
    """The positions of the k largest of row (N,), in descending order; of equals the first leads.

    Those that are larger than the k-th are found first, as sorting few takes a fraction of sorting all.
    """
    if not 0 < k < len(row) or np.isnan(row).any():
        return numpy_ops.argsort(row, descending=True)[:k]
    last = np.partition(row, -k)[-k]
    larger, equal = np.flatnonzero(row > last), np.flatnonzero(row == last)
    return np.concatenate([larger[numpy_ops.argsort(row[larger], descending=True)], equal[: k - len(larger)]])


# Neural network


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return F.matmul(a, b)


def softmax(x: Tensor, axis: int) -> Tensor:
    return F.softmax(x, axis)


def log_softmax(x: Tensor, axis: int) -> Tensor:
    return F.log_softmax(x, axis)


def resize(x: Tensor, size: Shape, mode: str = "bilinear", align_corners: bool = False) -> Tensor:
    if mode == "nearest":
        return F.interpolate(x, size=tuple(size), mode="nearest")
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)


def grid_sample(x: Tensor, grid: Tensor, align_corners: bool = False) -> Tensor:
    return _kernels.grid_sample(x, grid, align_corners)


def roi_align(x: Tensor, rois: Tensor, output_size: Shape, scale: float, sampling_ratio: int, aligned: bool) -> Tensor:
    return _kernels.roi_align(x, rois, output_size, scale, sampling_ratio, aligned)


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, classes: Tensor | None = None, offset: float = 0.0
) -> Tensor:
    return _kernels.nms(boxes, scores, iou_threshold, classes, offset)


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    dilation: int,
) -> Tensor:
    return _kernels.deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation)


def ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, attention: Tensor) -> Tensor:
    return _kernels.ms_deform_attn(value, shapes, locations, attention)


# Gradient


def stop_gradient(x: Tensor) -> Tensor:
    return F.stop_gradient(x)


# Beyond the contract, for tests and benchmarks: neutral code takes no gradients, and a learner those of its parameters.


def value_and_grad(function: Callable[..., Tensor], *arrays: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The value of a scalar function of arrays, and its gradient with respect to each of them."""
    value, gradients = ms.value_and_grad(function, tuple(range(len(arrays))))(*arrays)
    return value, gradients if isinstance(gradients, tuple) else (gradients,)  # of one array it comes bare


register(Tensor, sys.modules[__name__])
