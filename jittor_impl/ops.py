"""The array contract in Jittor; `common.array.Operations` says what each function does.

Jittor has no zero-dimensional arrays: a scalar, the sum over everything for one, has the shape (1,) here. It takes part
in arithmetic as a scalar does, and `reshape(x, (1,))` makes the same of it in every framework.
Integers are int32.
"""

import builtins
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jittor as jt
import numpy as np
from jittor import Var

from common.array import Axes, DType, Shape, register
from jittor_impl import _code_ops as code_ops
from jittor_impl import _kernels as kernels

_NARROWED = {"f": "float32", "b": "bool"}  # and all else int32

# Creation and conversion


def asarray(values: Any, like: Var, dtype: DType | None = None) -> Var:
    if isinstance(values, Var):
        return values if dtype is None else astype(values, dtype)
    values = np.asarray(values)
    return jt.array(values.astype(dtype or _NARROWED.get(values.dtype.kind, "int32")))


def to_numpy(x: Var) -> np.ndarray:
    return x.numpy()


def astype(x: Var, dtype: DType) -> Var:
    return x if x.dtype == dtype else x.cast(dtype)


def zeros(shape: Shape, like: Var, dtype: DType = "float32") -> Var:
    return jt.zeros(_shape(shape), dtype)


def full(shape: Shape, value: float, like: Var, dtype: DType = "float32") -> Var:
    return jt.full(_shape(shape), value, dtype)


def arange(count: int, like: Var) -> Var:
    return jt.arange(count) if count else jt.zeros((0,), "int32")


# Elementwise


def exp(x: Var) -> Var:
    return jt.exp(x)


def log(x: Var) -> Var:
    return jt.log(x)


def sqrt(x: Var) -> Var:
    return jt.sqrt(x)


def abs(x: Var) -> Var:
    # Jittor's own has gradient 1 at 0.
    return x * stop_gradient(astype(x > 0, x.dtype) - astype(x < 0, x.dtype))


def floor(x: Var) -> Var:
    return jt.floor(x)


def sigmoid(x: Var) -> Var:
    return jt.sigmoid(x)


def tanh(x: Var) -> Var:
    # Jittor's own gradient, 1 / cosh(x)^2, is NaN from about 89 on.
    return code_ops.Differentiable(jt.tanh, lambda gradient, output: gradient * (1 - output * output))(x)


def maximum(a: Var, b: Var | float) -> Var:
    return _extreme_of_two(a, b, lambda a, b: a > b)


def minimum(a: Var, b: Var | float) -> Var:
    return _extreme_of_two(a, b, lambda a, b: a < b)


def clip(x: Var, low: float, high: float) -> Var:
    return where(x < low, low, where(x > high, high, x))


def where(condition: Var, a: Var | float, b: Var | float) -> Var:
    a, b = _same_type(a, b)
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    return jt.ternary(broadcast_to(condition, shape), broadcast_to(a, shape), broadcast_to(b, shape))


def logical_and(a: Var, b: Var) -> Var:
    return jt.logical_and(a, b)


def logical_or(a: Var, b: Var) -> Var:
    return jt.logical_or(a, b)


def binary_cross_entropy_with_logits(logits: Var, targets: Var) -> Var:
    def forward(logits: Var, targets: Var) -> Var:
        return _softplus(logits) - logits * targets

    def backward(gradient: Var, output: Var) -> tuple[Var, Var]:
        return gradient * (jt.sigmoid(logits) - targets), -gradient * logits

    return code_ops.Differentiable(forward, backward)(logits, targets)


# Reductions


def sum(x: Var, axis: Axes = None, keepdims: bool = False) -> Var:
    axes = _axes(x, axis)
    if len(axes) == x.ndim > 1 and not keepdims:
        # Jittor adds one number after the other; a million of them cost three digits. So one axis after the other.
        for axis in reversed(range(1, x.ndim)):
            x = x.sum(axis)
        return x.sum()
    return x.sum(axes, keepdims=keepdims)


def max(x: Var, axis: int | None = None, keepdims: bool = False) -> Var:
    if axis is None:
        best = max(reshape(x, (-1,)), 0)
        return reshape(best, [1] * x.ndim) if keepdims else best
    if x.shape[axis] == 0:
        raise ValueError("max of nothing")
    # By its position, so that the gradient goes to the first of equals.
    kept = [1 if one == axis % x.ndim else side for one, side in enumerate(x.shape)]
    best = code_ops.take_along(x, reshape(argmax(x, axis), kept), axis)
    return best if keepdims else reshape(best, kept[: axis % x.ndim] + kept[axis % x.ndim + 1 :])


def any(x: Var, axis: int | None = None) -> Var:
    return astype(x, "int32").sum(_axes(x, axis)) > 0


def logsumexp(x: Var, axis: int) -> Var:
    largest = stop_gradient(max(x, axis, keepdims=True))
    total = log(sum(exp(x - largest), axis, keepdims=True)) + largest
    return sum(total, axis)


def argmax(x: Var, axis: int) -> Var:
    return code_ops.extremum(x, axis, largest=True)


# Shape


def reshape(x: Var, shape: Shape) -> Var:
    return x.reshape(_shape(shape))


def transpose(x: Var, axes: Sequence[int]) -> Var:
    return x.transpose(tuple(axes))


def broadcast_to(x: Var, shape: Shape) -> Var:
    shape = _shape(shape)
    return x if tuple(x.shape) == shape else x.broadcast(shape)


def concatenate(arrays: Sequence[Var], axis: int = 0) -> Var:
    return jt.concat(list(arrays), axis)


# Indexing and order


def take(x: Var, indices: Var, axis: int = 0) -> Var:
    return code_ops.take(x, indices, axis)


def take_along_axis(x: Var, indices: Var, axis: int) -> Var:
    axis %= x.ndim
    # As in NumPy the other axes broadcast.
    sides = [builtins.max(a, b) for a, b in zip(x.shape, indices.shape, strict=True)]
    from_shape = [*sides[:axis], x.shape[axis], *sides[axis + 1 :]]
    at_shape = [*sides[:axis], indices.shape[axis], *sides[axis + 1 :]]
    return code_ops.take_along(broadcast_to(x, from_shape), broadcast_to(indices, at_shape), axis)


def put_along_axis(x: Var, indices: Var, values: Var, axis: int) -> Var:
    return jt.scatter(x, axis % x.ndim, indices, values)


def nonzero(mask: Var) -> Var:
    return code_ops.nonzero(mask)


def argsort(x: Var, axis: int = -1, descending: bool = False) -> Var:
    return code_ops.order(x, axis, x.shape[axis], descending)


def topk(x: Var, k: int) -> tuple[Var, Var]:
    indices = code_ops.order(x, -1, min(k, x.shape[-1]), descending=True)
    return take_along_axis(x, indices, -1), indices


# Neural network


def matmul(a: Var, b: Var) -> Var:
    # Batches of matrices Jittor multiplies number by number, and two matrices by oneDNN, in a tenth of the time.
    if len(a.shape) == len(b.shape) == 3 and a.shape[0] == b.shape[0] > 0 and not jt.flags.use_cuda:
        return jt.stack([jt.matmul(x, y) for x, y in zip(a, b, strict=True)])
    return jt.matmul(a, b)


def softmax(x: Var, axis: int) -> Var:
    return code_ops.softmax(x, axis, logarithm=False)


def log_softmax(x: Var, axis: int) -> Var:
    return code_ops.softmax(x, axis, logarithm=True)


def resize(x: Var, size: Shape, mode: str = "bilinear", align_corners: bool = False) -> Var:
    return code_ops.resize(x, tuple(size), mode == "bilinear", align_corners and mode == "bilinear")


def grid_sample(x: Var, grid: Var, align_corners: bool = False) -> Var:
    return kernels.grid_sample(x, grid, align_corners)


def roi_align(x: Var, rois: Var, output_size: Shape, scale: float, sampling_ratio: int, aligned: bool) -> Var:
    return kernels.roi_align(x, rois, output_size, scale, sampling_ratio, aligned)


def nms(boxes: Var, scores: Var, iou_threshold: float, classes: Var | None = None, offset: float = 0.0) -> Var:
    return kernels.nms(boxes, scores, iou_threshold, classes, offset)


def deform_conv2d(
    x: Var, offset: Var, mask: Var | None, weight: Var, bias: Var | None, stride: int, padding: int, dilation: int
) -> Var:
    return kernels.deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation)


def ms_deform_attn(value: Var, shapes: Sequence[tuple[int, int]], locations: Var, attention: Var) -> Var:
    return kernels.ms_deform_attn(value, shapes, locations, attention)


# Gradient


def stop_gradient(x: Var) -> Var:
    return x.detach()


# Beyond the contract, for tests and benchmarks: neutral code takes no gradients, and a learner those of its parameters.


def value_and_grad(function: Callable[..., Var], *arrays: Var) -> tuple[Var, tuple[Var, ...]]:
    """The value of a scalar function of arrays, and its gradient with respect to each of them."""
    arrays = [array.copy() for array in arrays]
    for array in arrays:
        array.start_grad()
    value = function(*arrays)
    return value, tuple(jt.grad(value, arrays))


def _shape(shape: Shape) -> tuple[int, ...]:
    return tuple(int(side) for side in shape) or (1,)


def _axes(x: Var, axis: Axes) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(one % x.ndim for one in ((axis,) if isinstance(axis, int) else axis))


def _same_type(a: Var | float, b: Var | float) -> tuple[Var, Var]:
    """Numbers become arrays of the other's type."""
    arrays = [x for x in (a, b) if isinstance(x, Var)]
    dtype = str(arrays[0].dtype) if arrays else _NARROWED.get(np.asarray([a, b]).dtype.kind, "int32")
    return tuple(x if isinstance(x, Var) else jt.array(np.asarray([x], dtype)) for x in (a, b))


def _softplus(x: Var) -> Var:
    return jt.nn.relu(x) + jt.log(1 + jt.exp(-jt.abs(x)))


def _extreme_of_two(a: Var, b: Var | float, better: Callable[[Var, Var], Var]) -> Var:
    """Elementwise; of equals each takes half of the gradient."""
    a, b = _same_type(a, b)
    best = where(better(a, b), a, b)
    return best if a.dtype != "float32" else where(a == b, 0.5 * a + 0.5 * b, best)


register(Var, sys.modules[__name__])
