"""Operators of vision and norms, each in the fastest way that is right.

On the CPU that is this project's own kernel: ops.ROIAlign has wrong gradients there and other samples where their
number adapts, ops.NMSWithMask sorts its answer, ops.deformable_conv2d takes twice as long, ops.grid_sample ten times,
ops.group_norm seven times, and a batch norm of large maps is 1e-3 off. Elsewhere operations of MindSpore do it.
"""

import functools
from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore import ops as F

from common import kernels, numpy_ops


def roi_align(
    x: Tensor, rois: Tensor, output_size: Sequence[int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """x (N, C, H, W), rois (K, 5) -> (K, C, *output_size)"""
    rois = F.stop_gradient(rois)
    if len(rois) == 0:
        return F.zeros((0, x.shape[1], *output_size), dtype=ms.float32)
    if library_file() is None:
        return _roi_align(x, rois, output_size, scale, sampling_ratio, aligned)
    settings = Tensor(np.array([scale, sampling_ratio, aligned], np.float32))
    return _roi_align_kernel(tuple(output_size))(x, rois, settings)


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, classes: Tensor | None = None, offset: float = 0.0
) -> Tensor:
    """boxes (N, 4), scores (N,), classes (N,) or None -> (K,) int32, the positions to keep by descending score"""
    library = kernels.library()
    boxes, scores = boxes.asnumpy(), scores.asnumpy()
    classes = None if classes is None else classes.asnumpy()
    if library is None:
        return Tensor(numpy_ops.nms(boxes, scores, iou_threshold, classes, offset))
    order = numpy_ops.argsort(scores, descending=True)
    ordered = np.ascontiguousarray(boxes[order], np.float32)
    groups = None if classes is None else np.ascontiguousarray(classes[order], np.int32)
    keep = np.empty(len(order), np.int32)
    group_address = None if groups is None else groups.ctypes.data
    library.triseg_nms(ordered.ctypes.data, group_address, len(order), iou_threshold, offset, keep.ctypes.data)
    return Tensor(order[keep.astype(bool)])


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
    """x (N, C, H, W), offset (N, 2 * taps, h, w), mask (N, taps, h, w), weight (O, C, kh, kw) -> (N, O, h, w)"""
    kernel = tuple(weight.shape[2:])
    size = offset.shape[2:]
    if mask is None:
        mask = F.ones((len(x), kernel[0] * kernel[1], *size), dtype=ms.float32)
    if library_file() is None:
        # MindSpore takes all x offsets, all y offsets and the mask, in one array.
        order = np.arange(offset.shape[1]).reshape(-1, 2)[:, ::-1].T.reshape(-1)
        moves = F.cat((F.gather(offset, Tensor(order), 1), mask), 1)
        steps, margins = (1, 1, stride, stride), (padding,) * 4
        out = F.deformable_conv2d(x, weight, moves, kernel, steps, margins, dilations=(1, 1, dilation, dilation))
    else:
        settings = Tensor(np.array([*kernel, stride, stride, padding, padding, dilation, dilation], np.int32))
        out = _deform_product()(x, offset, mask, weight.reshape(len(weight), -1), settings)
        out = out.reshape(len(x), len(weight), *size)
    return out if bias is None else out + bias.reshape(1, -1, 1, 1)


def has_batch_norm() -> bool:
    """Whether `batch_norm` can run here."""
    return library_file() is not None


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, settings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gives x (N, C, H, W) normalised by its own statistics, and these: mean and biased variance (C,).

    settings (1,) float32: the epsilon.
    """
    return _batch_norm_kernel()(x, weight, bias, settings)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, settings: Tensor) -> Tensor:
    """x (N, C, H, W), weight, bias (C,) -> (N, C, H, W), each image's groups of channels normalised by themselves

    settings (2,) float32: the epsilon, the number of groups.
    """
    if library_file() is None:
        eps, groups = settings.asnumpy().tolist()
        return F.group_norm(x, int(groups), weight, bias, eps)
    return norm_kernel("group_norm")(x, weight, bias, settings)


def grid_sample(x: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """x (N, C, H, W), grid (N, h, w, 2) -> (N, C, h, w)"""
    if grid.size == 0:
        return F.zeros((len(grid), x.shape[1], *grid.shape[1:3]), dtype=ms.float32)
    if library_file() is None:
        return _grid_sample(x, grid, align_corners)
    return _grid_sample_kernel()(x, grid, Tensor(np.array([align_corners], np.int32)))


def ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, attention: Tensor) -> Tensor:
    """value (N, S, heads, D), locations (N, Q, heads, L, P, 2), attention (N, Q, heads, L, P) -> (N, Q, heads * D)"""
    if locations.size == 0:
        return F.zeros((len(value), locations.shape[1], value.shape[2] * value.shape[3]), dtype=ms.float32)
    sides = kernels.sides_of_levels(shapes, value.shape[1])
    if library_file() is None:
        return _ms_deform_attn(value, shapes, locations, attention)
    return _ms_deform_attn_kernel()(value, locations, attention, Tensor(sides))


# The project's own kernels


@functools.cache
def library_file() -> str | None:
    """The compiled kernels' file, or None where they cannot take MindSpore's arrays."""
    on_cpu = ms.get_context("device_target") == "CPU"
    return str(kernels.library_path()) if on_cpu and kernels.library() is not None else None


def custom(name: str, shape, dtype, file: str | None = None, **parameters) -> F.Custom:
    """Makes an operator of a compiled kernel of the kernels' file, or of another one.

    `parameters` are what `shape` depends on beside the inputs' shapes. They become attributes: MindSpore takes
    operators of one name and equal attributes for the same, with the first one's shapes.
    """
    operator = F.Custom(f"{file or library_file()}:triseg_{name}_aot", shape, dtype, func_type="aot")
    for key, value in parameters.items():
        operator.add_prim_attr(key, value)
    return operator


def first(*values):
    return values[0]


def _third_and_fourth(*values):
    return values[2], values[3]


class _RoiAlign(nn.Cell):
    def __init__(self, output_size: tuple[int, int]):
        super().__init__()
        self.align = custom(
            "roi_align", lambda x, rois, settings: (rois[0], x[1], *output_size), first, output_size=list(output_size)
        )
        self.grad = custom("roi_align_grad", lambda gradient, rois, settings, x: x, first)

    def construct(self, x, rois, settings):
        return self.align(x, rois, settings)

    def bprop(self, x, rois, settings, out, gradient):
        return self.grad(gradient, rois, settings, x), F.zeros_like(rois), F.zeros_like(settings)


class _DeformProduct(nn.Cell):
    """The product of weight (O, C * taps) and columns (N, C * taps, pixels), the readings of the kernel's taps.

    The gradient makes the columns again: in a compiled network a custom operator's output is overwritten by then.
    """

    def __init__(self):
        super().__init__()
        self.columns = custom("deform_columns", lambda x, o, m, s: (x[0], x[1] * m[1], o[2] * o[3]), first)
        self.grad_input = custom("deform_columns_grad_input", lambda gradient, o, m, s, x: x, first)
        self.grad_offset = custom("deform_columns_grad_offset", _third_and_fourth, _third_and_fourth)

    def construct(self, x, offset, mask, weight, settings):
        return F.matmul(weight, self.columns(x, offset, mask, settings))

    def bprop(self, x, offset, mask, weight, settings, out, gradient):
        columns = self.columns(x, offset, mask, settings)
        dweight = F.matmul(gradient, F.transpose(columns, (0, 2, 1))).sum(0)
        dcolumns = F.matmul(F.transpose(weight, (1, 0)), gradient)
        dx = self.grad_input(dcolumns, offset, mask, settings, x)
        doffset, dmask = self.grad_offset(dcolumns, x, offset, mask, settings)
        return dx, doffset, dmask, dweight, F.zeros_like(settings)


class _BatchNorm(nn.Cell):
    """The gradient computes the statistics again: see `_DeformProduct`."""

    def __init__(self):
        super().__init__()
        self.norm = custom("batch_norm", lambda x, w, b, s: (x, w, w), lambda x, w, b, s: (x, w, w))
        self.grad = custom("batch_norm_grad", lambda g, x, w, s: (x, w, w), lambda g, x, w, s: (x, w, w))

    def construct(self, x, weight, bias, settings):
        return self.norm(x, weight, bias, settings)

    def bprop(self, x, weight, bias, settings, out, gradient):
        dx, dweight, dbias = self.grad(gradient[0], x, weight, settings)
        return dx, dweight, dbias, F.zeros_like(settings)


class Norm(nn.Cell):
    """A norm whose kernel gives its output alone, without its statistics: `group_norm` or `layer_norm`."""

    def __init__(self, kernel: str):
        super().__init__()
        self.norm = custom(kernel, first, first)
        self.grad = custom(f"{kernel}_grad", lambda g, x, w, s: (x, w, w), lambda g, x, w, s: (x, w, w))

    def construct(self, x, weight, bias, settings):
        return self.norm(x, weight, bias, settings)

    def bprop(self, x, weight, bias, settings, out, gradient):
        dx, dweight, dbias = self.grad(gradient, x, weight, settings)
        return dx, dweight, dbias, F.zeros_like(settings)


class _GridSample(nn.Cell):
    def __init__(self):
        super().__init__()
        self.sample = custom("grid_sample", lambda x, grid, s: (grid[0], x[1], grid[1], grid[2]), first)
        self.grad_input = custom("grid_sample_grad_input", lambda gradient, grid, s, x: x, first)
        self.grad_grid = custom("grid_sample_grad_grid", lambda gradient, x, grid, s: grid, first)

    def construct(self, x, grid, settings):
        return self.sample(x, grid, settings)

    def bprop(self, x, grid, settings, out, gradient):
        dx = self.grad_input(gradient, grid, settings, x)
        return dx, self.grad_grid(gradient, x, grid, settings), F.zeros_like(settings)


class _MsDeformAttn(nn.Cell):
    def __init__(self):
        super().__init__()
        self.attend = custom("ms_deform_attn", lambda v, x, a, s: (v[0], x[1], v[2] * v[3]), first)
        self.grad = custom("ms_deform_attn_grad", lambda g, v, x, a, s: (v, x, a), lambda g, v, x, a, s: (v, x, a))

    def construct(self, value, locations, attention, sides):
        return self.attend(value, locations, attention, sides)

    def bprop(self, value, locations, attention, sides, out, gradient):
        dvalue, dlocations, dattention = self.grad(gradient, value, locations, attention, sides)
        return dvalue, dlocations, dattention, F.zeros_like(sides)


# Cached functions rather than objects: compiled networks can call these, and nothing is built before it is needed.
_roi_align_kernel = functools.cache(_RoiAlign)
_deform_product = functools.cache(_DeformProduct)
_batch_norm_kernel = functools.cache(_BatchNorm)
norm_kernel = functools.cache(Norm)
_grid_sample_kernel = functools.cache(_GridSample)
_ms_deform_attn_kernel = functools.cache(_MsDeformAttn)


# The same in operations of MindSpore


def _roi_align(
    x: Tensor, rois: Tensor, output_size: Sequence[int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """x (N, C, H, W), rois (K, 5) -> (K, C, *output_size)"""
    # Only the positions depend on the rois, and these have no gradient: NumPy works them out.
    boxes = rois.asnumpy()
    finite = np.isfinite(boxes).all(1)
    boxes = np.where(finite[:, None], boxes, np.float32(0))
    settings = scale, sampling_ratio, aligned
    low_y, high_y, upper_y, share_y = _roi_samples(boxes[:, 2], boxes[:, 4], x.shape[2], output_size[0], *settings)
    low_x, high_x, upper_x, share_x = _roi_samples(boxes[:, 1], boxes[:, 3], x.shape[3], output_size[1], *settings)
    images, channels, height, width = x.shape
    cells = F.transpose(x, (0, 2, 3, 1)).reshape(images * height * width, channels)
    total = 0
    for y, weight_y in ((low_y, (1 - upper_y) * share_y), (high_y, upper_y * share_y)):
        for z, weight_x in ((low_x, (1 - upper_x) * share_x), (high_x, upper_x * share_x)):
            cell = (boxes[:, :1, None].astype(int) * height + y[:, :, None]) * width + z[:, None, :]
            weight = weight_y[:, :, None] * weight_x[:, None, :] * finite[:, None, None]
            values = F.gather(cells, Tensor(cell.reshape(-1).astype(np.int32)), 0).reshape(*cell.shape, channels)
            total = total + values * Tensor(weight[..., None].astype(np.float32))
    samples = low_y.shape[1] // output_size[0], low_x.shape[1] // output_size[1]
    bins = total.reshape(len(boxes), output_size[0], samples[0], output_size[1], samples[1], channels)
    return F.transpose(bins.sum((2, 4)), (0, 3, 1, 2))


def _roi_samples(
    start: np.ndarray, end: np.ndarray, side: int, bins: int, scale: float, sampling_ratio: int, aligned: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives each sample's lower cell, upper cell, the upper one's weight and its own weight, (K, bins * samples) each.

    A sample that lies outside, or that its roi does not have, weighs 0.
    """
    shift = np.float32(0.5 if aligned else 0.0)
    start, end = start * np.float32(scale) - shift, end * np.float32(scale) - shift
    length = end - start if aligned else np.maximum(end - start, np.float32(1))
    bin_length = length / np.float32(bins)
    counts = np.maximum(np.ceil(bin_length), 0) if sampling_ratio == 0 else np.full_like(bin_length, sampling_ratio)
    sample = np.arange(max(int(counts.max()), 1), dtype=np.float32)
    within = (sample + np.float32(0.5)) * bin_length[:, None] / np.maximum(counts, 1)[:, None]
    origin = start[:, None] + np.arange(bins, dtype=np.float32) * bin_length[:, None]
    positions = origin[:, :, None] + within[:, None, :]
    counted = (positions >= -1) & (positions <= side) & (sample < counts[:, None])[:, None, :]
    share = counted / np.maximum(counts, 1)[:, None, None]
    positions = np.clip(positions, 0, side - 1).reshape(len(start), -1)
    low = np.floor(positions).astype(int)
    return low, np.minimum(low + 1, side - 1), positions - low, share.reshape(len(start), -1)


def _grid_sample(x: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """x (N, C, H, W), grid (N, h, w, 2) -> (N, C, h, w)"""
    # The gradient's kernel works on eight points at a time and complains of a rest, although it does it right.
    count, height, width, _ = grid.shape
    points = grid.reshape((count, 1, height * width, 2))
    rest = -(height * width) % 8
    if rest:
        points = F.cat((points, F.zeros((count, 1, rest, 2), dtype=ms.float32)), 2)
    x = F.broadcast_to(x, (count, *x.shape[1:]))
    out = F.grid_sample(x, points, align_corners=align_corners)[:, :, 0, : height * width]
    return out.reshape((count, x.shape[1], height, width))


def _ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, attention: Tensor) -> Tensor:
    """value (N, S, heads, D), locations (N, Q, heads, L, P, 2), attention (N, Q, heads, L, P) -> (N, Q, heads * D)"""
    images, queries, heads, levels, points = attention.shape
    size = value.shape[3]
    # Each head of each image is an image to grid_sample, and each query a row of its grid.
    rows = F.transpose(value, (0, 2, 3, 1)).reshape(images * heads, size, -1)
    grids = F.transpose(2 * locations - 1, (3, 0, 2, 1, 4, 5)).reshape(levels, images * heads, queries, points, 2)
    weights = F.transpose(attention, (3, 0, 2, 1, 4)).reshape(levels, images * heads, 1, queries, points)
    total, start = 0, 0
    for level, (height, width) in enumerate(shapes):
        cells = rows[:, :, start : start + height * width].reshape(images * heads, size, height, width)
        total = total + (_grid_sample(cells, grids[level], False) * weights[level]).sum(3)
        start += height * width
    return F.transpose(total.reshape(images, heads * size, queries), (0, 2, 1))
