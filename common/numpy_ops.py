"""The array contract in NumPy, the reference that every wing's ops.py is tested against.

`common.array.Operations` says what each function does. They are written to be read, not to be fast. float64 stays
float64, so that finite differences can be taken of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.array import Axes, DType, Shape

# Creation and conversion


def asarray(values: Any, like: np.ndarray, dtype: DType | None = None) -> np.ndarray:
    array = np.array(values)
    if dtype is None:
        floating = "float64" if like.dtype == np.float64 else "float32"
        dtype = {"f": floating, "b": "bool"}.get(array.dtype.kind, "int32")
    return array.astype(dtype)


def to_numpy(x: np.ndarray) -> np.ndarray:
    return np.array(x)


def astype(x: np.ndarray, dtype: DType) -> np.ndarray:
    return np.asarray(x).astype(dtype)


def zeros(shape: Shape, like: np.ndarray, dtype: DType = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def full(shape: Shape, value: float, like: np.ndarray, dtype: DType = "float32") -> np.ndarray:
    return np.full(shape, value, dtype)


def arange(count: int, like: np.ndarray) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


# Elementwise


def exp(x: np.ndarray) -> np.ndarray:
    return np.exp(x)


def log(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(x)


def sqrt(x: np.ndarray) -> np.ndarray:
    return np.sqrt(x)


def abs(x: np.ndarray) -> np.ndarray:
    return np.abs(x)


def floor(x: np.ndarray) -> np.ndarray:
    return np.floor(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-_softplus(-x))


def tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x)


def maximum(a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    return np.maximum(a, b)


def minimum(a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    return np.minimum(a, b)


def clip(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(x, low, high)


def where(condition: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    chosen = np.where(condition, a, b)
    if np.ndim(a) == np.ndim(b) == 0:  # of two numbers NumPy makes float64 or int64
        return chosen.astype("float32" if chosen.dtype.kind == "f" else "int32")
    return chosen


def logical_and(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.logical_and(a, b)


def logical_or(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.logical_or(a, b)


def binary_cross_entropy_with_logits(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return _softplus(logits) - logits * targets


# Reductions


def sum(x: np.ndarray, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    return np.sum(x, axis, _sum_type(x), keepdims=keepdims)


def max(x: np.ndarray, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    return np.max(x, axis, keepdims=keepdims)


def any(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    return np.any(x, axis)


def logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
    peak = np.max(x, axis, keepdims=True)
    return np.log(np.sum(np.exp(x - peak), axis)) + np.squeeze(peak, axis)


def argmax(x: np.ndarray, axis: int) -> np.ndarray:
    return np.argmax(x, axis).astype(np.int32)


def _sum_type(x: np.ndarray) -> np.dtype:
    """The type of a sum: whole numbers stay int32, where NumPy would widen them."""
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.int32)


# Shape


def reshape(x: np.ndarray, shape: Shape) -> np.ndarray:
    return np.reshape(x, shape)


def transpose(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    return np.transpose(x, axes)


def broadcast_to(x: np.ndarray, shape: Shape) -> np.ndarray:
    return np.broadcast_to(x, shape)


def concatenate(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    return np.concatenate(arrays, axis)


# Indexing and order


def take(x: np.ndarray, indices: np.ndarray, axis: int = 0) -> np.ndarray:
    return np.take(x, indices, axis)


def take_along_axis(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    return np.take_along_axis(x, indices, axis)


def put_along_axis(x: np.ndarray, indices: np.ndarray, values: np.ndarray, axis: int) -> np.ndarray:
    changed = x.copy()
    np.put_along_axis(changed, indices, values, axis)
    return changed


def nonzero(mask: np.ndarray) -> np.ndarray:
    return np.nonzero(mask)[0].astype(np.int32)


def argsort(x: np.ndarray, axis: int = -1, descending: bool = False) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis, kind="stable").astype(np.int32)
    # Sorted from the end, and then turned round: of equals the first comes first again.
    backwards = np.argsort(np.flip(x, axis), axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - backwards, axis).astype(np.int32)


def topk(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    indices = argsort(x, descending=True)[..., :k]
    return np.take_along_axis(x, indices, -1), indices


# Neural network


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.matmul(a, b)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    return np.exp(log_softmax(x, axis))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    shifted = x - np.max(x, axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis, keepdims=True))


def resize(x: np.ndarray, size: Shape, mode: str = "bilinear", align_corners: bool = False) -> np.ndarray:
    rows = _source_positions(x.shape[2], size[0], mode, align_corners, x.dtype)
    columns = _source_positions(x.shape[3], size[1], mode, align_corners, x.dtype)
    if mode == "nearest":
        return x[:, :, rows[:, None], columns]
    out = np.zeros((*x.shape[:2], *size), x.dtype)
    for n, image in enumerate(x):
        out[n] = _bilinear(image, rows[:, None], columns)
    return out


def _source_positions(source: int, target: int, mode: str, align_corners: bool, dtype: np.dtype) -> np.ndarray:
    """(target,) where each output row, or column, lies in the input."""
    cells = np.arange(target).astype(dtype)
    if mode == "nearest":  # rounded as in PyTorch, where a product just below a whole number falls to the one before
        return np.minimum(np.floor(cells * (dtype.type(source) / dtype.type(target))).astype(int), source - 1)
    if align_corners:
        return cells * dtype.type((source - 1) / (target - 1) if target > 1 else 0)
    return np.clip((cells + 0.5) * dtype.type(source / target) - 0.5, 0, source - 1).astype(dtype)


def _bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(C, H, W) at the positions y, x, which broadcast to the shape S -> (C, *S); zeros outside."""
    y, x = np.broadcast_arrays(y, x)
    top, left = np.floor(y), np.floor(x)
    total = np.zeros((len(image), *y.shape), image.dtype)
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, column_weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (row >= 0) & (row < image.shape[1]) & (column >= 0) & (column < image.shape[2])
            values = image[:, np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)]
            total += np.where(inside, row_weight * column_weight, 0) * values
    return total


def grid_sample(x: np.ndarray, grid: np.ndarray, align_corners: bool = False) -> np.ndarray:
    height, width = x.shape[2:]
    out = np.zeros((len(grid), x.shape[1], *grid.shape[1:3]), x.dtype)
    for n, image in enumerate(np.broadcast_to(x, (len(grid), *x.shape[1:]))):
        across, down = grid[n, :, :, 0], grid[n, :, :, 1]
        if align_corners:
            out[n] = _bilinear(image, (down + 1) / 2 * (height - 1), (across + 1) / 2 * (width - 1))
        else:
            out[n] = _bilinear(image, ((down + 1) * height - 1) / 2, ((across + 1) * width - 1) / 2)
    return out


def roi_align(
    x: np.ndarray, rois: np.ndarray, output_size: Shape, scale: float, sampling_ratio: int, aligned: bool
) -> np.ndarray:
    height, width = x.shape[2:]
    out = np.zeros((len(rois), x.shape[1], *output_size), x.dtype)
    for k, roi in enumerate(rois.astype(x.dtype)):
        if not np.isfinite(roi).all():
            continue
        across = _roi_samples(roi[1], roi[3], output_size[1], scale, sampling_ratio, aligned)[None, None]
        down = _roi_samples(roi[2], roi[4], output_size[0], scale, sampling_ratio, aligned)[:, :, None, None]
        if across.size and down.size:
            counts = (down >= -1) & (down <= height) & (across >= -1) & (across <= width)
            values = _bilinear(x[int(roi[0])], np.clip(down, 0, height - 1), np.clip(across, 0, width - 1))
            out[k] = np.mean(values * counts, axis=(2, 4))
    return out


def _roi_samples(
    start: np.floating, end: np.floating, bins: int, scale: float, sampling_ratio: int, aligned: bool
) -> np.ndarray:
    """(bins, samples) positions along one axis; each step is rounded to the type of the roi, as torchvision does it."""
    number = start.dtype.type
    shift = number(0.5 if aligned else 0)
    start, end = start * number(scale) - shift, end * number(scale) - shift
    length = end - start if aligned else np.maximum(end - start, number(1))
    bin_length = length / number(bins)
    samples = np.arange(sampling_ratio if sampling_ratio > 0 else int(np.ceil(bin_length)), dtype=number)
    within = (samples + number(0.5)) * bin_length / number(np.maximum(len(samples), 1))
    return start + np.arange(bins, dtype=number)[:, None] * bin_length + within


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    iou_threshold: float,
    classes: np.ndarray | None = None,
    offset: float = 0.0,
) -> np.ndarray:
    boxes = boxes.astype(np.float32)
    x1, y1, x2, y2 = boxes.T
    offset, threshold = np.float32(offset), np.float32(iou_threshold)
    areas = (x2 - x1 + offset) * (y2 - y1 + offset)
    alive = np.ones(len(boxes), bool)
    kept = []
    for i in argsort(scores, descending=True):
        if not alive[i]:
            continue
        kept.append(i)
        width = np.maximum(np.minimum(x2[i], x2) - np.maximum(x1[i], x1) + offset, 0)
        height = np.maximum(np.minimum(y2[i], y2) - np.maximum(y1[i], y1) + offset, 0)
        overlap = width * height
        union = areas[i] + areas - overlap
        iou = np.divide(overlap, union, out=np.zeros_like(union), where=overlap > 0)
        same = np.ones_like(alive) if classes is None else classes == classes[i]
        alive &= ~(same & (iou > threshold))
    return np.array(kept, np.int32)


def deform_conv2d(
    x: np.ndarray,
    offset: np.ndarray,
    mask: np.ndarray | None,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: int,
    padding: int,
    dilation: int,
) -> np.ndarray:
    high, wide = weight.shape[2:]
    rows = (np.arange(offset.shape[2]) * stride - padding)[:, None]
    columns = np.arange(offset.shape[3]) * stride - padding
    out = np.zeros((len(x), len(weight), *offset.shape[2:]), x.dtype)
    for n, image in enumerate(x):
        for tap in range(high * wide):
            y = rows + tap // wide * dilation + offset[n, 2 * tap]
            z = columns + tap % wide * dilation + offset[n, 2 * tap + 1]
            sampled = _bilinear(image, y, z) * (1 if mask is None else mask[n, tap])
            out[n] += np.einsum("oc,chw->ohw", weight[:, :, tap // wide, tap % wide], sampled)
    return out if bias is None else out + bias[:, None, None]


def ms_deform_attn(
    value: np.ndarray, shapes: Sequence[tuple[int, int]], locations: np.ndarray, attention: np.ndarray
) -> np.ndarray:
    images, _, heads, size = value.shape
    out = np.zeros((images, locations.shape[1], heads, size), value.dtype)
    ends = np.cumsum([height * width for height, width in shapes])
    for level, (height, width) in enumerate(shapes):
        cells = value[:, ends[level] - height * width : ends[level]].reshape(images, height, width, heads, size)
        for n, head in np.ndindex(images, heads):
            x, y = np.moveaxis(locations[n, :, head, level], -1, 0)
            read = _bilinear(np.moveaxis(cells[n, :, :, head], -1, 0), y * height - 0.5, x * width - 0.5)
            out[n, :, head] += np.einsum("dqp,qp->qd", read, attention[n, :, head, level])
    return out.reshape(images, locations.shape[1], heads * size)


# Gradient


def stop_gradient(x: np.ndarray) -> np.ndarray:
    return x


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, np.zeros_like(x))
