"""Operators of vision and of transformers in Jittor: the C++ of common/kernels as code operators."""

from collections.abc import Sequence

import jittor as jt
from jittor import Var

from common import kernels
from jittor_impl import _code_ops as code_ops
from jittor_impl._code_ops import Differentiable, call

_ROI_ALIGN, _NMS, _DEFORM_CONV2D, _GRID_SAMPLE, _MS_DEFORM_ATTN = map(
    kernels.header, ("roi_align", "nms", "deform_conv2d", "grid_sample", "ms_deform_attn")
)


def roi_align(x: Var, rois: Var, output_size: Sequence[int], scale: float, sampling_ratio: int, aligned: bool) -> Var:
    """x (N, C, H, W), rois (K, 5) -> (K, C, *output_size)"""
    n, c, h, w = x.shape
    high, wide = output_size
    numbers = {"rois": rois.shape[0], "images": n, "channels": c, "height": h, "width": w, "high": high, "wide": wide}
    names = ", ".join(f'(int64_t)data["{name}"]' for name in numbers)
    rule = 'triseg::RoiAlignRule{(float)data["scale"], (int)data["sampling_ratio"], data["aligned"] != 0}'
    arguments = f"in0_p, in1_p, triseg::RoiAlignShape{{{names}}}, {rule}, out0_p"
    numbers |= {"scale": scale, "sampling_ratio": sampling_ratio, "aligned": aligned}

    def forward(x: Var) -> Var:
        source = f"triseg::roi_align_forward({arguments});"
        return call(source, [x, rois], [(rois.shape[0], c, high, wide)], header=_ROI_ALIGN, **numbers)[0]

    def backward(gradient: Var, output: Var) -> Var:
        source = f"triseg::roi_align_backward({arguments});"
        return call(source, [gradient, rois], [(n, c, h, w)], header=_ROI_ALIGN, **numbers)[0]

    return Differentiable(forward, backward)(x)


def nms(boxes: Var, scores: Var, iou_threshold: float, classes: Var | None = None, offset: float = 0.0) -> Var:
    """boxes (N, 4), scores (N,), classes (N,) or None -> (K,) int32, the positions to keep by descending score"""
    by_score = code_ops.order(scores, 0, scores.shape[0], descending=True)
    classes = None if classes is None else code_ops.take(classes, by_score, 0)
    kept = _nms(code_ops.take(boxes, by_score, 0), classes, iou_threshold, offset)
    return code_ops.take(by_score, code_ops.nonzero(kept > 0), 0)


def deform_conv2d(
    x: Var,
    offset: Var,
    mask: Var | None,
    weight: Var,
    bias: Var | None,
    stride: int,
    padding: int,
    dilation: int,
) -> Var:
    """x (N, C, H, W), offset (N, 2 * taps, h, w), mask (N, taps, h, w), weight (O, C, kh, kw) -> (N, O, h, w)"""
    out_channels, channels, *kernel = weight.shape
    if mask is None:
        mask = jt.ones((x.shape[0], kernel[0] * kernel[1], *offset.shape[2:]))
    columns = _deform_columns(x, offset, mask, tuple(kernel), stride, padding, dilation)
    # The taps' readings are channels here, so that a 1x1 convolution sums them.
    y = code_ops.convolution(columns, weight.reshape((out_channels, channels * kernel[0] * kernel[1], 1, 1)))
    return y if bias is None else y + bias.reshape((1, out_channels, 1, 1))


def grid_sample(x: Var, grid: Var, align_corners: bool) -> Var:
    """x (N, C, H, W), grid (N, h, w, 2) -> (N, C, h, w)"""
    n, c, h, w = x.shape
    grids, high, wide, _ = grid.shape
    numbers = {"images": n, "channels": c, "height": h, "width": w, "grids": grids, "points": high * wide}
    names = ", ".join(f'(int64_t)data["{name}"]' for name in numbers)
    shape = f'triseg::GridShape{{{names}, data["corners"] != 0}}'
    numbers["corners"] = align_corners

    def forward(x: Var, grid: Var) -> Var:
        source = f"triseg::grid_sample_forward(in0_p, in1_p, {shape}, out0_p);"
        return call(source, [x, grid], [(grids, c, high, wide)], header=_GRID_SAMPLE, **numbers)[0]

    def backward(gradient: Var, output: Var) -> tuple[Var, Var]:
        source = f"triseg::grid_sample_grad_input(in0_p, in1_p, {shape}, out0_p);"
        dx = call(source, [gradient, grid], [x.shape], header=_GRID_SAMPLE, **numbers)[0]
        source = f"triseg::grid_sample_grad_grid(in0_p, in1_p, in2_p, {shape}, out0_p);"
        return dx, call(source, [gradient, x, grid], [grid.shape], header=_GRID_SAMPLE, **numbers)[0]

    return Differentiable(forward, backward)(x, grid)


def ms_deform_attn(value: Var, shapes: Sequence[tuple[int, int]], locations: Var, attention: Var) -> Var:
    """value (N, S, heads, D), locations (N, Q, heads, L, P, 2), attention (N, Q, heads, L, P) -> (N, Q, heads * D)"""
    n, cells, heads, size = value.shape
    queries, levels, points = attention.shape[1], *attention.shape[3:]
    sides = jt.array(kernels.sides_of_levels(shapes, cells))
    numbers = {"images": n, "cells": cells, "heads": heads, "size": size}
    numbers |= {"queries": queries, "levels": levels, "points": points}
    names = ", ".join(f'(int64_t)data["{name}"]' for name in numbers)

    def forward(value: Var, locations: Var, attention: Var) -> Var:
        shape = f"triseg::MsDeformShape{{{names}, in3_p}}"
        source = f"triseg::ms_deform_attn_forward(in0_p, in1_p, in2_p, {shape}, out0_p);"
        inputs, shapes = [value, locations, attention, sides], [(n, queries, heads * size)]
        return call(source, inputs, shapes, header=_MS_DEFORM_ATTN, **numbers)[0]

    def backward(gradient: Var, output: Var) -> list[Var]:
        shape = f"triseg::MsDeformShape{{{names}, in4_p}}"
        source = f"triseg::ms_deform_attn_backward(in0_p, in1_p, in2_p, in3_p, {shape}, out0_p, out1_p, out2_p);"
        inputs, shapes = [value, locations, attention], [value.shape, locations.shape, attention.shape]
        return call(source, [gradient, *inputs, sides], shapes, header=_MS_DEFORM_ATTN, **numbers)

    return Differentiable(forward, backward)(value, locations, attention)


def _nms(boxes: Var, classes: Var | None, threshold: float, offset: float) -> Var:
    """boxes (N, 4) in order of consideration -> (N,) int32, 1 where a box is kept"""
    source = f"""
        triseg::nms(in0_p, {"nullptr" if classes is None else "in1_p"}, in0->num / 4, data["threshold"], data["offset"],
                    out0_p);
    """
    inputs = [boxes] if classes is None else [boxes, classes]
    return call(source, inputs, [boxes.shape[:1]], "int32", _NMS, threshold=threshold, offset=offset)[0]


def _deform_columns(
    x: Var, offset: Var, mask: Var, kernel: tuple[int, int], stride: int, padding: int, dilation: int
) -> Var:
    """(N, C, H, W) -> (N, C * taps, h, w), the reading of each tap of the kernel times the mask"""
    n, c, h, w = x.shape
    numbers = {"images": n, "channels": c, "height": h, "width": w, "kernel_h": kernel[0], "kernel_w": kernel[1]}
    numbers |= {"stride_h": stride, "stride_w": stride, "padding_h": padding, "padding_w": padding}
    numbers |= {"dilation_h": dilation, "dilation_w": dilation, "out_h": offset.shape[2], "out_w": offset.shape[3]}
    names = ", ".join(f'(int64_t)data["{name}"]' for name in numbers)
    sizes = f"triseg::DeformShape{{{names}}}"
    shape = (n, c * kernel[0] * kernel[1], *offset.shape[2:])

    def forward(x: Var, offset: Var, mask: Var) -> Var:
        source = f"triseg::deform_columns(in0_p, in1_p, in2_p, {sizes}, out0_p);"
        return call(source, [x, offset, mask], [shape], header=_DEFORM_CONV2D, **numbers)[0]

    def backward(gradient: Var, output: Var) -> tuple[Var, Var, Var]:
        source = f"triseg::deform_columns_grad_input(in0_p, in1_p, in2_p, {sizes}, out0_p);"
        dx = call(source, [gradient, offset, mask], [x.shape], header=_DEFORM_CONV2D, **numbers)[0]
        source = f"triseg::deform_columns_grad_offset(in0_p, in1_p, in2_p, in3_p, {sizes}, out0_p, out1_p);"
        inputs, shapes = [gradient, x, offset, mask], [offset.shape, mask.shape]
        return dx, *call(source, inputs, shapes, header=_DEFORM_CONV2D, **numbers)

    return Differentiable(forward, backward)(x, offset, mask)
