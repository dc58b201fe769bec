"""The array contract: the few functions that framework-neutral code needs, in every framework under one name.

Neutral code takes the arrays of any framework, or NumPy's, and finds the functions from the arrays themselves:

    xp = namespace(deltas, anchors)
    widths = xp.exp(deltas[:, 2]) * anchor_widths

Arithmetic and comparison operators, slices, `None` in an index, `.shape` and `.ndim` are the same in all of them and
are written as usual. Everything else goes through `Operations`, which says what each function takes and gives. Its
reference is `common/numpy_ops.py`; each wing's `ops.py` registers itself here when it is imported.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

Array = Any  # numpy.ndarray, torch.Tensor, jittor.Var or mindspore.Tensor
Shape = Sequence[int]
Axes = int | tuple[int, ...] | None
# Jittor has no wider integer by default; a wing widens indices where its framework wants that.
DType = Literal["float32", "int32", "bool"]


class Operations(Protocol):
    """The functions of the contract, as a module has them.

    All integers that they give are int32. A reduction over nothing gives 0 and gradients at ties follow PyTorch, where
    a function does not say otherwise. A reduction over everything has the shape (), or (1,) in Jittor, which has no
    arrays without an axis; in arithmetic the two do the same.
    """

    __name__: str

    # Creation and conversion

    def asarray(self, values: Any, like: Array, dtype: DType | None = None) -> Array:
        """An array, a list or a number as an array of the framework and on the device of `like`.

        Without a dtype floats become float32, whole numbers int32, and booleans stay so. NumPy's arrays are copied.
        """

    def to_numpy(self, x: Array) -> np.ndarray:
        """A copy as NumPy's array, which may be written to."""

    def astype(self, x: Array, dtype: DType) -> Array:
        """The same values in another type; from float32 to int32 they are cut towards zero."""

    def zeros(self, shape: Shape, like: Array, dtype: DType = "float32") -> Array:
        """An array of this shape filled with zeros, on the device of `like`."""

    def full(self, shape: Shape, value: float, like: Array, dtype: DType = "float32") -> Array:
        """An array of this shape filled with one value, on the device of `like`."""

    def arange(self, count: int, like: Array) -> Array:
        """(count,) int32: 0, 1, ..., count - 1."""

    # Elementwise

    def exp(self, x: Array) -> Array:
        """e to the power of each element."""

    def log(self, x: Array) -> Array:
        """The natural logarithm of each element; of 0 it is minus infinity."""

    def sqrt(self, x: Array) -> Array:
        """The square root of each element."""

    def abs(self, x: Array) -> Array:
        """The absolute value of each element; its gradient at 0 is 0."""

    def floor(self, x: Array) -> Array:
        """The largest whole number that is not above each element, in the type of `x`."""

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)), without overflow."""

    def tanh(self, x: Array) -> Array:
        """The hyperbolic tangent of each element."""

    def maximum(self, a: Array, b: Array | float) -> Array:
        """The larger of two, element by element; of equals each takes half of the gradient."""

    def minimum(self, a: Array, b: Array | float) -> Array:
        """The smaller of two, element by element; of equals each takes half of the gradient."""

    def clip(self, x: Array, low: float, high: float) -> Array:
        """Each element, or the bound that it lies beyond; the gradient is 1 at both bounds."""

    def where(self, condition: Array, a: Array | float, b: Array | float) -> Array:
        """`a` where the condition (bool) is true and `b` elsewhere; all three broadcast."""

    def logical_and(self, a: Array, b: Array) -> Array:
        """Whether both of two booleans are true, element by element."""

    def logical_or(self, a: Array, b: Array) -> Array:
        """Whether one of two booleans is true, element by element."""

    def binary_cross_entropy_with_logits(self, logits: Array, targets: Array) -> Array:
        """log(1 + exp(x)) - x * t, element by element, of logits x and targets t in 0..1; without overflow."""

    # Reductions

    def sum(self, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
        """The sum over one axis, several, or all (None); of booleans it is how many are true, int32."""

    def max(self, x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        """The largest element along an axis, or of all (None); the first of equals takes the whole gradient.

        The largest of nothing is an error.
        """

    def any(self, x: Array, axis: int | None = None) -> Array:
        """Whether one of the booleans along an axis, or of all (None), is true."""

    def logsumexp(self, x: Array, axis: int) -> Array:
        """log(sum(exp(x))) along an axis, which goes away; without overflow."""

    def argmax(self, x: Array, axis: int) -> Array:
        """The position of the largest element along an axis, which goes away, int32; of equals the first."""

    # Shape

    def reshape(self, x: Array, shape: Shape) -> Array:
        """The same elements in another shape; one side may be -1, which stands for what is left."""

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        """`x` with its axes in another order: axis k of the answer is axis `axes[k]` of `x`."""

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """`x` repeated along its axes of length 1 until it has this shape."""

    def concatenate(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Arrays joined along an axis; their other sides are equal."""

    # Indexing and order

    def take(self, x: Array, indices: Array, axis: int = 0) -> Array:
        """The slices of `x` at indices (K,) int32 along an axis, whose length becomes K."""

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """The elements of `x` at `indices` along an axis; the two have equally many axes, and the others broadcast."""

    def put_along_axis(self, x: Array, indices: Array, values: Array, axis: int) -> Array:
        """A copy of `x` with its elements at `indices` along an axis replaced by `values`.

        `indices` and `values` have one shape, and but for the axis the sides of `x`; no position is there twice.
        """

    def nonzero(self, mask: Array) -> Array:
        """(N,) bool -> (K,) int32, the positions of those that are true, in ascending order."""

    def argsort(self, x: Array, axis: int = -1, descending: bool = False) -> Array:
        """The positions that sort `x` along an axis, int32; of equals the first comes first, descending too."""

    def topk(self, x: Array, k: int) -> tuple[Array, Array]:
        """(..., N) -> values (..., K) and positions (..., K) int32 of the K largest of the last axis, K = min(k, N).

        They are in the order of a descending `argsort`.
        """

    # Neural network

    def matmul(self, a: Array, b: Array) -> Array:
        """(..., N, K) times (..., K, M) -> (..., N, M)."""

    def softmax(self, x: Array, axis: int) -> Array:
        """exp(x) / sum(exp(x)) along an axis, without overflow."""

    def log_softmax(self, x: Array, axis: int) -> Array:
        """x - log(sum(exp(x))) along an axis, without overflow."""

    def resize(self, x: Array, size: Shape, mode: str = "bilinear", align_corners: bool = False) -> Array:
        """(N, C, H, W) -> (N, C, *size), by `mode` "bilinear" or "nearest".

        A bilinear output cell i lies at (i + 0.5) * H / h - 0.5 of the input, held within it, or with `align_corners`
        at i * (H - 1) / (h - 1). The nearest one is floor(i * H / h).
        """

    def grid_sample(self, x: Array, grid: Array, align_corners: bool = False) -> Array:
        """Reads x (N, C, H, W) at grid (N, h, w, 2) -> (N, C, h, w): bilinear, with zeros outside.

        A point of the grid is (x, y) in -1..1: from the outer edges of the border cells or, with `align_corners`, from
        their centres. Of one image (1, C, H, W) all grids read.
        """

    def roi_align(
        self, x: Array, rois: Array, output_size: Shape, scale: float, sampling_ratio: int, aligned: bool
    ) -> Array:
        """Pools regions: x (N, C, H, W), rois (K, 5) of image index, x1, y1, x2, y2 -> (K, C, *output_size).

        A region's corners times `scale` are cells of x, less half a cell where `aligned`. Each bin is the mean of
        `sampling_ratio` squared bilinear samples; 0 takes as many along a side as the bin has cells, rounded up.
        The gradient is with respect to x; a region that is not finite gives 0.
        """

    def nms(
        self, boxes: Array, scores: Array, iou_threshold: float, classes: Array | None = None, offset: float = 0.0
    ) -> Array:
        """Non-maximum suppression: the positions of the boxes (N, 4) xyxy to keep, int32, by descending score (N,).

        A box goes where its IoU with one that is kept is above the threshold; with classes (N,) only boxes of one class
        are compared. A side is x2 - x1 + offset.
        """

    def deform_conv2d(
        self,
        x: Array,
        offset: Array,
        mask: Array | None,
        weight: Array,
        bias: Array | None,
        stride: int,
        padding: int,
        dilation: int,
    ) -> Array:
        """Deformable convolution (DCNv2) in one group: x (N, C, H, W), weight (O, C, kh, kw) -> (N, O, h, w).

        offset (N, 2 * kh * kw, h, w) moves each tap by y and x in cells; mask (N, kh * kw, h, w) weighs what it reads,
        None leaves it; bias (O,) or None.
        """

    def ms_deform_attn(
        self, value: Array, shapes: Sequence[tuple[int, int]], locations: Array, attention: Array
    ) -> Array:
        """Multi-scale deformable attention: each query's weighted sum of what it reads -> (N, queries, heads * D).

        value (N, S, heads, D): the cells of the maps of `shapes` (H, W), one map after the other, each row by row;
        locations (N, queries, heads, maps, points, 2) as (x, y), from 0 to 1 between the outer edges of a map's border
        cells; attention (N, queries, heads, maps, points). It reads bilinearly, with zeros outside.
        """

    # Gradient

    def stop_gradient(self, x: Array) -> Array:
        """The same values, through which no gradient flows."""


_namespaces: dict[type, Operations] = {}


def register(array_type: type, operations: Operations) -> None:
    """Makes `operations` the contract's functions for arrays of `array_type`."""
    _namespaces[array_type] = operations


def namespace(*arrays: Array) -> Operations:
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
