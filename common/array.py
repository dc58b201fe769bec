"""The array contract: the few functions that framework-neutral code needs, in every framework under one name.

Neutral code takes the arrays of any framework, or NumPy's, and finds the functions from the arrays themselves:

    xp = namespace(deltas, anchors)
    widths = xp.exp(deltas[:, 2]) * anchor_widths

Arithmetic and comparison operators, slices, `None` in an index, `.shape` and `.ndim` are the same in all of them and
are written as usual. Everything else goes through the functions below; `common/numpy_ops.py` is their reference, and
each wing's `ops.py` registers itself here when it is imported. dtypes are the strings "float32", "int32" and "bool"
(Jittor knows no wider integer by default; a wing widens an index where its framework wants that).

Creation and conversion
    asarray(values, like, dtype=None)         values: an array, a list or a number; on the device of `like`
    to_numpy(x)                               a copy that may be written to
    astype(x, dtype)
    zeros(shape, like, dtype="float32")
    full(shape, value, like, dtype="float32")
    arange(count, like)                       int32
Elementwise
    exp(x) log(x) sqrt(x) abs(x) floor(x) sigmoid(x) tanh(x)
    maximum(a, b) minimum(a, b)               b may be a number
    clip(x, low, high)                        the gradient is 1 at both bounds
    where(condition, a, b)                    a and b may be numbers
    logical_and(a, b) logical_or(a, b)
    binary_cross_entropy_with_logits(logits, targets)      elementwise, stable
Reductions; over all when axis is None, over nothing they give 0 (the max of nothing is an error)
    sum(x, axis=None, keepdims=False)         axis may be a tuple
    max(x, axis=None, keepdims=False)
    any(x, axis=None)
    logsumexp(x, axis)
    argmax(x, axis)                           int32; of equals the first
Shape
    reshape(x, shape) transpose(x, axes) broadcast_to(x, shape)
    concatenate(arrays, axis=0)
Indexing and order
    take(x, indices, axis=0)                  indices: (K,) integers
    take_along_axis(x, indices, axis)         indices: as many axes as x
    nonzero(mask)                             (N,) bool -> (K,) int32
    argsort(x, axis=-1, descending=False)     int32, stable: of equals the first comes first, descending too
    topk(x, k)                                the k largest of the last axis (all if there are fewer), as argsort orders
                                              them: (values, indices)
Neural network
    matmul(a, b) softmax(x, axis) log_softmax(x, axis)
    resize(x, size, mode="bilinear", align_corners=False)  (N, C, H, W) -> (N, C, *size); mode "nearest" floors
    grid_sample(x, grid, align_corners=False) x (N, C, H, W), grid (N, h, w, 2): x, y in -1..1; bilinear, zeros outside;
                                              of one image (1, C, H, W) all grids read
    roi_align(x, rois, output_size, scale, sampling_ratio, aligned)
                                              rois (K, 5): image index, x1, y1, x2, y2 -> (K, C, *output_size);
                                              sampling_ratio 0 adapts to each roi; gradient with respect to x; a roi
                                              that is not finite gives 0
    nms(boxes, scores, iou_threshold, classes=None, offset=0.0)
                                              kept indices, int32, by descending score (stable); IoU > threshold goes;
                                              with classes (N,) only boxes of one class meet; offset 1.0: the legacy +1
    deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation)
                                              modulated (DCNv2), one group; offset (N, 2*kh*kw, H, W): y, x of a tap,
                                              mask (N, kh*kw, H, W) after the sigmoid, or None; bias may be None too
Gradient
    stop_gradient(x)
    value_and_grad(function, *arrays)         (value, gradients with respect to each array) of a scalar function
                                              (NumPy has no gradients and says so)

Gradients at ties follow PyTorch: abs(0) has 0, max gives all to the first of equals along an axis.
"""

from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray, torch.Tensor, jittor.Var or mindspore.Tensor

_namespaces: dict[type, ModuleType] = {}


def register(array_type: type, operations: ModuleType) -> None:
    """Makes `operations` the contract's functions for arrays of `array_type`."""
    _namespaces[array_type] = operations


def namespace(*arrays: Array) -> ModuleType:
    """The contract's functions for these arrays; NumPy gives way to a framework when both are among them."""
    found = None
    for array in arrays:
        operations = next((m for t, m in _namespaces.items() if isinstance(array, t)), None)
        if operations is not None:
            if found is not None and operations is not found:
                raise TypeError(f"arrays of two frameworks in one call: {found.__name__} and {operations.__name__}")
            found = operations
    if found is not None:
        return found
    if any(isinstance(array, np.ndarray | np.generic) for array in arrays):
        from common import numpy_ops

        return numpy_ops
    raise TypeError(f"no array among {[type(array).__name__ for array in arrays]}")
