"""The array contract in PyTorch; `common.array.Operations` says what each function does."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.array import Axes, DType, Shape, register
from torch_impl import _kernels

# Creation and conversion


def asarray(values: Any, like: Tensor, dtype: DType | None = None) -> Tensor:
    if not isinstance(values, Tensor):
        values = torch.tensor(np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values)
    if dtype is not None:
        wanted = getattr(torch, dtype)
    elif values.is_floating_point():
        wanted = torch.float64 if like.dtype == torch.float64 else torch.float32
    else:
        wanted = torch.bool if values.dtype == torch.bool else torch.int32
    return values.to(like.device, wanted)


def to_numpy(x: Tensor) -> np.ndarray:
    x = x.detach().cpu()
    # Under autocast a network answers in half the bits, some of which NumPy has no type for.
    return (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x).numpy().copy()


def astype(x: Tensor, dtype: DType) -> Tensor:
    return x.to(getattr(torch, dtype))


def zeros(shape: Shape, like: Tensor, dtype: DType = "float32") -> Tensor:
    return torch.zeros(tuple(shape), dtype=getattr(torch, dtype), device=like.device)


def full(shape: Shape, value: float, like: Tensor, dtype: DType = "float32") -> Tensor:
    return torch.full(tuple(shape), value, dtype=getattr(torch, dtype), device=like.device)


def arange(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=torch.int32, device=like.device)


# Elementwise


def exp(x: Tensor) -> Tensor:
    return torch.exp(x)


def log(x: Tensor) -> Tensor:
    return torch.log(x)


def sqrt(x: Tensor) -> Tensor:
    return torch.sqrt(x)


def abs(x: Tensor) -> Tensor:
    return torch.abs(x)


def floor(x: Tensor) -> Tensor:
    return torch.floor(x)


def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


def maximum(a: Tensor, b: Tensor | float) -> Tensor:
    return torch.maximum(a, _beside(a, b))


def minimum(a: Tensor, b: Tensor | float) -> Tensor:
    return torch.minimum(a, _beside(a, b))


def _beside(a: Tensor, b: Tensor | float) -> Tensor:
    """`b` in the type of `a`; a number is filled in where `a` lies, as a copy would make a GPU wait."""
    return b.to(a.dtype) if isinstance(b, Tensor) else torch.full((), b, dtype=a.dtype, device=a.device)


def clip(x: Tensor, low: float, high: float) -> Tensor:
    return torch.clamp(x, low, high)


def where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    chosen = torch.where(condition, a, b)
    return chosen.to(torch.int32) if chosen.dtype == torch.int64 else chosen


def logical_and(a: Tensor, b: Tensor) -> Tensor:
    return torch.logical_and(a, b)


def logical_or(a: Tensor, b: Tensor) -> Tensor:
    return torch.logical_or(a, b)


def binary_cross_entropy_with_logits(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")


# Reductions


def sum(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    return torch.sum(x, _axes(x, axis), keepdims, dtype=x.dtype if x.is_floating_point() else torch.int32)


def max(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    if axis is not None:
        return torch.max(x, axis, keepdim=keepdims).values
    # Along an axis too: PyTorch would share the gradient out among equals otherwise.
    out = torch.max(x.reshape(-1), 0).values
    return out.reshape((1,) * x.ndim) if keepdims else out


def any(x: Tensor, axis: int | None = None) -> Tensor:
    return torch.any(x) if axis is None else torch.any(x, axis)


def logsumexp(x: Tensor, axis: int) -> Tensor:
    return torch.logsumexp(x, axis)


def argmax(x: Tensor, axis: int) -> Tensor:
    return torch.argmax(x, axis).to(torch.int32)


def _axes(x: Tensor, axis: Axes) -> int | tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else axis


# Shape


def reshape(x: Tensor, shape: Shape) -> Tensor:
    return torch.reshape(x, tuple(shape))


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    return torch.permute(x, tuple(axes))


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    return torch.broadcast_to(x, tuple(shape))


def concatenate(arrays: Sequence[Tensor], axis: int = 0) -> Tensor:
    return torch.cat(tuple(arrays), axis)


# Indexing and order


def take(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    return torch.index_select(x, axis, indices)


def take_along_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    return torch.take_along_dim(x, indices.to(torch.int64), axis)


def put_along_axis(x: Tensor, indices: Tensor, values: Tensor, axis: int) -> Tensor:
    return torch.scatter(x, axis, indices.to(torch.int64), values)


def nonzero(mask: Tensor) -> Tensor:
    return torch.nonzero(mask)[:, 0].to(torch.int32)


def argsort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    return torch.sort(x, dim=axis, descending=descending, stable=True).indices.to(torch.int32)


def topk(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # torch.topk is several times as fast as sorting all, but orders equals as it likes: what it chooses is put in order
    # here, and it serves where no equals of the last one are left out.
    if k < x.shape[-1]:
        values, indices = torch.topk(x, k + 1)
        if not torch.any(values[..., k] == values[..., k - 1]):
            indices = torch.sort(indices[..., :k]).values
            values, order = torch.sort(torch.gather(x, -1, indices), descending=True, stable=True)
            return values, torch.gather(indices, -1, order).to(torch.int32)
    values, indices = torch.sort(x, descending=True, stable=True)
    return values[..., :k], indices[..., :k].to(torch.int32)


# Neural network


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


def softmax(x: Tensor, axis: int) -> Tensor:
    return torch.softmax(x, axis)


def log_softmax(x: Tensor, axis: int) -> Tensor:
    return torch.log_softmax(x, axis)


def resize(x: Tensor, size: Shape, mode: str = "bilinear", align_corners: bool = False) -> Tensor:
    corners = align_corners if mode == "bilinear" else None
    return F.interpolate(x, tuple(size), mode=mode, align_corners=corners)


def grid_sample(x: Tensor, grid: Tensor, align_corners: bool = False) -> Tensor:
    return F.grid_sample(x.expand(len(grid), -1, -1, -1), grid, "bilinear", "zeros", align_corners)


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
    return x.detach()


# Beyond the contract, for tests and benchmarks: neutral code takes no gradients, and a learner those of its parameters.


def value_and_grad(function: Callable[..., Tensor], *arrays: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The value of a scalar function of arrays, and its gradient with respect to each of them."""
    leaves = [array.detach().requires_grad_() for array in arrays]
    with torch.enable_grad():
        value = function(*leaves)
    if not value.requires_grad:  # it depends on none of them
        return value, tuple(torch.zeros_like(leaf) for leaf in leaves)
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return value.detach(), gradients


register(Tensor, sys.modules[__name__])
