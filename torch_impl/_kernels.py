"""roi_align, nms, deform_conv2d and ms_deform_attn in PyTorch, each in the fastest way that is at hand.

On the CPU that is this project's own kernel, which sums in a fixed order too; on a GPU roi_align and deform_conv2d are
torchvision's where that loads. Elsewhere, and in other types than float32 on the CPU, operations of PyTorch do it. So
they do NMS on a GPU: torchvision's lets the compiler fuse products and sums, has no offset, and goes class by class.
"""

import ctypes
import functools
from collections.abc import Sequence
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from common import kernels

# For NMS in operations of PyTorch: how many pairs of boxes are compared at a time, and how many rounds are made before
# it is asked whether anything has changed.
_PAIRS, _ROUNDS = 1 << 24, 4
# The types of autocast. Places in an image have more digits than these hold, so that sampling is done in float32.
_HALVES = (torch.float16, torch.bfloat16)


def roi_align(
    x: Tensor, rois: Tensor, output_size: Sequence[int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """x (N, C, H, W), rois (K, 5) -> (K, C, *output_size)"""
    if x.dtype in _HALVES:
        return roi_align(x.float(), rois, output_size, scale, sampling_ratio, aligned).to(x.dtype)
    rois = rois.detach().to(x.dtype)
    library = _library(x)
    if library is not None:
        return _RoiAlign.apply(library, x, rois, tuple(output_size), float(scale), int(sampling_ratio), bool(aligned))
    vision = torchvision_ops()
    if vision is not None:
        # Where a roi is not finite torchvision's loop over its samples has no end.
        finite = torch.isfinite(rois).all(1)
        rois = torch.where(finite[:, None], rois, 0)
        pooled = vision.roi_align(x, rois, tuple(output_size), scale, sampling_ratio, aligned)
        return pooled * finite[:, None, None, None]
    return _roi_align(x, rois, output_size, scale, sampling_ratio, aligned)


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, classes: Tensor | None = None, offset: float = 0.0
) -> Tensor:
    """boxes (N, 4), scores (N,), classes (N,) or None -> (K,) int32, the positions to keep by descending score"""
    order = torch.sort(scores.detach(), descending=True, stable=True).indices
    boxes = boxes.detach().to(torch.float32)[order].contiguous()
    classes = None if classes is None else classes[order].to(torch.int32).contiguous()
    library = _library(boxes)
    if library is not None:
        keep = torch.empty(len(boxes), dtype=torch.int32)
        library.triseg_nms(_address(boxes), _address(classes), len(boxes), iou_threshold, offset, _address(keep))
        return order[keep.to(torch.bool)].to(torch.int32)
    return order[_nms(boxes, iou_threshold, classes, offset)].to(torch.int32)


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
    if x.dtype in _HALVES:
        wide = [None if array is None else array.float() for array in (x, offset, mask, weight, bias)]
        return deform_conv2d(*wide, stride, padding, dilation).to(x.dtype)
    library, kernel = _library(x), tuple(weight.shape[2:])
    if library is not None:
        columns = _DeformColumns.apply(library, x, offset, mask, kernel, stride, padding, dilation)
    elif (vision := torchvision_ops()) is not None:
        return vision.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)
    else:
        columns = _deform_columns(x, offset, mask, kernel, stride, padding, dilation)
    out = torch.matmul(weight.reshape(len(weight), -1), columns)
    out = out.reshape(len(x), len(weight), *offset.shape[2:])
    return out if bias is None else out + bias[:, None, None]


def ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, attention: Tensor) -> Tensor:
    """value (N, S, heads, D), locations (N, Q, heads, L, P, 2), attention (N, Q, heads, L, P) -> (N, Q, heads * D)"""
    if value.dtype in _HALVES:
        return ms_deform_attn(value.float(), shapes, locations, attention).to(value.dtype)
    locations, attention = locations.to(value.dtype), attention.to(value.dtype)
    library = _library(value)
    if library is not None:
        sides = torch.from_numpy(kernels.sides_of_levels(shapes, value.shape[1]))
        return _MsDeformAttn.apply(library, value, sides, locations, attention)
    return _ms_deform_attn(value, shapes, locations, attention)


# The project's own kernels


def _library(x: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels, or None where they cannot take this tensor."""
    return kernels.library() if x.device.type == "cpu" and x.dtype == torch.float32 else None


def _address(x: Tensor | None) -> int | None:
    """Returns the address of a tensor's numbers in memory; None stays None."""
    return None if x is None else x.data_ptr()


class _RoiAlign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, library, x, rois, output_size, scale, sampling_ratio, aligned):
        x, rois = x.contiguous(), rois.contiguous()
        shape = kernels.int64s(len(rois), *x.shape, *output_size)
        out = x.new_empty((len(rois), x.shape[1], *output_size))
        library.triseg_roi_align(_address(x), _address(rois), shape, scale, sampling_ratio, aligned, _address(out))
        ctx.save_for_backward(rois)
        ctx.settings = library, x.shape, shape, scale, sampling_ratio, aligned
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (rois,) = ctx.saved_tensors
        library, x_shape, shape, scale, sampling_ratio, aligned = ctx.settings
        gradient = gradient.contiguous()
        dx = gradient.new_empty(x_shape)
        inputs = _address(gradient), _address(rois), shape, scale, sampling_ratio, aligned
        library.triseg_roi_align_grad(*inputs, _address(dx))
        return None, dx, None, None, None, None, None


class _DeformColumns(torch.autograd.Function):
    """(N, C, H, W) -> (N, C * taps, pixels), the readings of the kernel's taps, for a product with the weights."""

    @staticmethod
    def forward(ctx, library, x, offset, mask, kernel, stride, padding, dilation):
        x, offset = x.contiguous(), offset.contiguous()
        mask = None if mask is None else mask.contiguous()
        steps = [length for length in (stride, padding, dilation) for _ in range(2)]
        shape = kernels.int64s(*x.shape, *kernel, *steps, *offset.shape[2:])
        columns = x.new_empty((len(x), x.shape[1] * kernel[0] * kernel[1], offset.shape[2] * offset.shape[3]))
        library.triseg_deform_columns(_address(x), _address(offset), _address(mask), shape, _address(columns))
        ctx.save_for_backward(x, offset, mask)
        ctx.settings = library, shape
        return columns

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, offset, mask = ctx.saved_tensors
        library, shape = ctx.settings
        gradient = gradient.contiguous()
        dx = doffset = dmask = None
        given = _address(offset), _address(mask), shape
        if ctx.needs_input_grad[1]:
            dx = torch.empty_like(x)
            library.triseg_deform_columns_grad_input(_address(gradient), *given, _address(dx))
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
            doffset = torch.empty_like(offset)
            dmask = None if mask is None else torch.empty_like(mask)
            outputs = _address(doffset), _address(dmask)
            library.triseg_deform_columns_grad_offset(_address(gradient), _address(x), *given, *outputs)
        return None, dx, doffset, dmask, None, None, None, None


class _MsDeformAttn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, library, value, sides, locations, attention):
        value, locations, attention = (x.contiguous() for x in (value, locations, attention))
        images, queries, heads, levels, points = attention.shape
        shape = kernels.int64s(*value.shape, queries, levels, points)
        out = value.new_empty((images, queries, heads * value.shape[3]))
        given = _address(value), _address(locations), _address(attention), shape, _address(sides)
        library.triseg_ms_deform_attn(*given, _address(out))
        ctx.save_for_backward(value, sides, locations, attention)
        ctx.settings = library, shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        value, sides, locations, attention = ctx.saved_tensors
        library, shape = ctx.settings
        gradient = gradient.contiguous()
        given = _address(value), _address(locations), _address(attention), shape, _address(sides)
        gradients = [torch.empty_like(x) for x in (value, locations, attention)]
        library.triseg_ms_deform_attn_grad(_address(gradient), *given, *map(_address, gradients))
        return None, gradients[0], None, *gradients[1:]


# torchvision


@functools.cache
def torchvision_ops() -> ModuleType | None:
    """torchvision.ops, or None where it does not load; its import takes a while and so waits until it is needed."""
    try:
        from torchvision import ops
    except (ImportError, RuntimeError):  # a build for another PyTorch finds its operators missing
        return None
    # Later releases say so when one is called.
    return ops if hasattr(torch.ops.torchvision, "roi_align") else None


# The same in operations of PyTorch


def _roi_align(
    x: Tensor, rois: Tensor, output_size: Sequence[int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """x (N, C, H, W), rois (K, 5) -> (K, C, *output_size)"""
    finite = torch.isfinite(rois).all(1)
    rois = torch.where(finite[:, None], rois, 0)
    settings = scale, sampling_ratio, aligned
    low_y, high_y, upper_y, share_y = _roi_samples(rois[:, 2], rois[:, 4], x.shape[2], output_size[0], *settings)
    low_x, high_x, upper_x, share_x = _roi_samples(rois[:, 1], rois[:, 3], x.shape[3], output_size[1], *settings)
    image = rois[:, 0].to(torch.int64)[:, None, None]
    total = 0
    for y, weight_y in ((low_y, (1 - upper_y) * share_y), (high_y, upper_y * share_y)):
        for z, weight_x in ((low_x, (1 - upper_x) * share_x), (high_x, upper_x * share_x)):
            values = x.permute(0, 2, 3, 1)[image, y[:, :, None], z[:, None, :]]  # (K, bins * samples, .., C)
            total = total + values * (weight_y[:, :, None] * weight_x[:, None, :] * finite[:, None, None])[..., None]
    samples = low_y.shape[1] // output_size[0], low_x.shape[1] // output_size[1]
    bins = total.reshape(len(rois), output_size[0], samples[0], output_size[1], samples[1], x.shape[1])
    return bins.sum((2, 4)).permute(0, 3, 1, 2)


def _roi_samples(
    start: Tensor, end: Tensor, side: int, bins: int, scale: float, sampling_ratio: int, aligned: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gives each sample's lower cell, upper cell, the upper one's weight and its own weight, (K, bins * samples) each.

    A sample that lies outside, or that its roi does not have, weighs 0.
    """
    shift = 0.5 if aligned else 0.0
    start, end = start * scale - shift, end * scale - shift
    length = end - start if aligned else torch.clamp(end - start, min=1)
    bin_length = length / bins
    if sampling_ratio > 0:
        counts, most = torch.full_like(bin_length, sampling_ratio), sampling_ratio
    else:
        counts = torch.ceil(bin_length).clamp(min=0)
        most = max(int(counts.max()), 1) if len(counts) else 1
    sample = torch.arange(most, dtype=start.dtype, device=start.device)
    within = (sample + 0.5) * bin_length[:, None] / counts.clamp(min=1)[:, None]
    origin = start[:, None] + torch.arange(bins, dtype=start.dtype, device=start.device) * bin_length[:, None]
    positions = origin[:, :, None] + within[:, None, :]
    counted = (positions >= -1) & (positions <= side) & (sample < counts[:, None])[:, None, :]
    share = counted / counts.clamp(min=1)[:, None, None]
    positions = positions.clamp(0, side - 1)
    low = positions.floor()
    high = (low + 1).clamp(max=side - 1)
    upper = positions - low
    return low.flatten(1).to(torch.int64), high.flatten(1).to(torch.int64), upper.flatten(1), share.flatten(1)


def _nms(boxes: Tensor, threshold: float, classes: Tensor | None, offset: float) -> Tensor:
    """Boxes (N, 4) by descending score, classes (N,) or None -> (N,) bool, whether a box is kept"""
    if classes is None or len(boxes) == 0:
        return _nms_in_groups(boxes[None], threshold, offset)[0]
    # Each class has a row of its own, with boxes of no size behind its own; the largest classes come first, and as many
    # rows are worked on together as there is memory for.
    _, group, counts = torch.unique(classes, return_inverse=True, return_counts=True)
    counts, by_count = torch.sort(counts, descending=True, stable=True)
    row = torch.empty_like(by_count)
    row[by_count] = torch.arange(len(by_count), device=boxes.device)
    row = row[group]
    order = torch.sort(row, stable=True).indices
    row = row[order]
    column = torch.arange(len(boxes), device=boxes.device) - (torch.cumsum(counts, 0) - counts)[row]
    sizes = counts.tolist()
    keep = torch.empty(len(boxes), dtype=torch.bool, device=boxes.device)
    first = begin = 0
    while first < len(sizes):
        last = first + max(1, _PAIRS // sizes[first] ** 2)
        end = begin + sum(sizes[first:last])
        own = row[begin:end] - first, column[begin:end]
        padded = boxes.new_zeros(len(sizes[first:last]), sizes[first], 4)
        padded[own] = boxes[order[begin:end]]
        keep[order[begin:end]] = _nms_in_groups(padded, threshold, offset)[own]
        first, begin = last, end
    return keep


def _nms_in_groups(boxes: Tensor, threshold: float, offset: float) -> Tensor:
    """Groups of boxes (G, N, 4), each by descending score -> (G, N) bool, whether a box of its group is kept"""
    groups, count = boxes.shape[:2]
    over = torch.empty(groups, count, count, dtype=torch.bool, device=boxes.device)
    rows = max(1, _PAIRS // max(1, groups * count))
    for start in range(0, count, rows):
        over[:, start : start + rows] = _overlapping(boxes, slice(start, start + rows), threshold, offset)
    over = over.triu_(diagonal=1)
    # A box stays when no box that stays suppresses it. Each round settles at least one box more, from the first on;
    # what no longer changes is what the greedy pass over the boxes would find. To ask whether it does makes the
    # processor wait for the GPU, so that several rounds are made at a time.
    keep = torch.ones(groups, count, dtype=torch.bool, device=boxes.device)
    while True:
        before = keep
        for _ in range(_ROUNDS):
            keep = ~torch.any(over & keep[:, :, None], 1)
        if torch.equal(before, keep):
            return keep


def _overlapping(boxes: Tensor, rows: slice, threshold: float, offset: float) -> Tensor:
    """Boxes (G, N, 4) -> (G, rows, N) bool, whether an IoU is above the threshold; each operation rounds by itself"""
    areas = (boxes[..., 2] - boxes[..., 0] + offset) * (boxes[..., 3] - boxes[..., 1] + offset)
    some = boxes[:, rows, None]
    sides = torch.minimum(some[..., 2:], boxes[:, None, :, 2:]) - torch.maximum(some[..., :2], boxes[:, None, :, :2])
    sides = (sides + offset).clamp_(min=0)
    overlap = sides[..., 0] * sides[..., 1]
    return (overlap > 0) & (overlap / (areas[:, rows, None] + areas[:, None] - overlap) > threshold)


def _deform_columns(
    x: Tensor, offset: Tensor, mask: Tensor | None, kernel: tuple[int, int], stride: int, padding: int, dilation: int
) -> Tensor:
    """(N, C, H, W) -> (N, C * taps, pixels), the reading of each tap of the kernel times the mask"""
    (images, channels, height, width), (high, wide) = x.shape, offset.shape[2:]
    taps = kernel[0] * kernel[1]

    def steps(count: int, factor: int) -> Tensor:
        return torch.arange(count, dtype=x.dtype, device=x.device) * factor

    tap_y = steps(kernel[0], dilation).repeat_interleave(kernel[1])[:, None, None]
    tap_x = steps(kernel[1], dilation).repeat(kernel[0])[:, None, None]
    pairs = offset.reshape(images, taps, 2, high, wide)
    y = pairs[:, :, 0] + tap_y + (steps(high, stride) - padding)[:, None]
    z = pairs[:, :, 1] + tap_x + (steps(wide, stride) - padding)
    grid = torch.stack([(2 * z + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    read = F.grid_sample(x, grid.reshape(images, taps * high, wide, 2), "bilinear", "zeros", align_corners=False)
    read = read.reshape(images, channels, taps, high * wide)
    if mask is not None:
        read = read * mask.reshape(images, 1, taps, high * wide)
    return read.reshape(images, channels * taps, high * wide)


def _ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, attention: Tensor) -> Tensor:
    """value (N, S, heads, D), locations (N, Q, heads, L, P, 2), attention (N, Q, heads, L, P) -> (N, Q, heads * D)"""
    images, queries, heads, levels, points = attention.shape
    size = value.shape[3]
    # Each head of each image is an image to grid_sample, and each query a row of its grid.
    maps = value.permute(0, 2, 3, 1).split([height * width for height, width in shapes], 3)
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    weights = attention.transpose(1, 2).reshape(images * heads, 1, queries, levels, points)
    total = 0
    for level, (height, width) in enumerate(shapes):
        cells = maps[level].reshape(images * heads, size, height, width)
        read = F.grid_sample(cells, grids[:, :, level], "bilinear", "zeros", align_corners=False)
        total = total + (read * weights[:, :, :, level]).sum(3)
    return total.reshape(images, heads * size, queries).transpose(1, 2)
