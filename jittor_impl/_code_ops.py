"""Operators in C++ that Jittor lacks, does in no defined order, or compiles anew for every size of an argument.

Their bodies are in _code_ops.h. Arrays are flattened and all sizes are numbers of the call, so that each operator is
compiled once for a type. They run on the CPU; with a GPU in use Jittor copies their arguments to the CPU and back.
"""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import jittor as jt
from jittor import Var

from common import kernels

HEADER = Path(__file__).with_name("_code_ops.h").read_text()
BATCH_NORM = kernels.header("batch_norm")
GROUP_NORM = BATCH_NORM + kernels.header("group_norm")

Shape = Sequence[int]


def call(
    source: str,
    inputs: Sequence[Var],
    shapes: Sequence[Shape],
    dtype: str = "float32",
    header: str = HEADER,
    **numbers: float,
) -> list[Var]:
    """Runs C++ on flat arrays and gives the outputs in their shapes.

    In the source `in0_p` ... are the inputs, `out0_p` ... the outputs, and `data["NAME"]` is one of the numbers.
    """
    flat = [x.reshape((prod(x.shape),)) for x in inputs]
    sizes = [(prod(shape),) for shape in shapes]
    data = {name: float(number) for name, number in numbers.items()}
    outputs = jt.code(sizes, [dtype] * len(sizes), flat, cpu_header=header, cpu_src=source, data=data)
    return [output.reshape(tuple(shape) or (1,)) for output, shape in zip(outputs, shapes, strict=True)]


class Differentiable(jt.Function):
    """A function with a gradient of its own.

    forward(*arrays) gives an array; backward(gradient, output) gives the gradient with respect to each of the arrays.
    """

    def __init__(self, forward: Callable, backward: Callable):
        self.forward, self.backward = forward, backward

    def execute(self, *arrays: Var) -> Var:
        self.output = self.forward(*arrays)
        return self.output

    def grad(self, gradient: Var):
        return self.backward(gradient, self.output)


def around(shape: Shape, axis: int) -> dict[str, int]:
    """The sizes before, along and behind an axis; to the C++ every array has these three axes."""
    axis %= len(shape)
    return {"outer": prod(shape[:axis]), "n": shape[axis], "inner": prod(shape[axis + 1 :])}


_SIZES = 'data["outer"], data["n"], data["inner"]'


def order(x: Var, axis: int, kept: int, descending: bool) -> Var:
    """The first `kept` positions that sort `x` along an axis, int32; of equals the first leads, NaN is the largest."""
    sizes = around(x.shape, axis)
    shape = list(x.shape)
    shape[axis] = kept
    source = f'code_ops::order(in0_p, out0_p, {_SIZES}, data["kept"], data["descending"]);'
    return call(source, [x], [shape], "int32", **sizes, kept=kept, descending=descending)[0]


def extremum(x: Var, axis: int, largest: bool) -> Var:
    """The position of the largest (or smallest) element along an axis, which goes away, int32; of equals the first."""
    sizes = around(x.shape, axis)
    shape = list(x.shape)
    del shape[axis]
    source = f'code_ops::extremum(in0_p, out0_p, {_SIZES}, data["largest"]);'
    return call(source, [x], [shape], "int32", **sizes, largest=largest)[0]


def take(x: Var, indices: Var, axis: int) -> Var:
    """The slices of `x` at indices (K,) along an axis, whose length becomes K."""
    sizes = around(x.shape, axis) | {"k": indices.shape[0]}
    before, taken = list(x.shape), list(x.shape)
    taken[axis] = indices.shape[0]

    def forward(x: Var) -> Var:
        source = f'code_ops::take(in0_p, in1_p, out0_p, {_SIZES}, data["k"]);'
        return call(source, [x, indices], [taken], x.dtype, **sizes)[0]

    def backward(gradient: Var, output: Var) -> Var:
        return scatter_add(gradient, indices, before, axis)

    return Differentiable(forward, backward)(x)


def scatter_add(values: Var, indices: Var, shape: Shape, axis: int) -> Var:
    """Gives zeros of this shape to which `values` are added at indices (K,) along an axis."""
    sizes = around(shape, axis) | {"k": indices.shape[0]}

    def forward(values: Var) -> Var:
        source = f'code_ops::scatter_add(in0_p, in1_p, out0_p, {_SIZES}, data["k"]);'
        return call(source, [indices, values], [shape], values.dtype, **sizes)[0]

    def backward(gradient: Var, output: Var) -> Var:
        return take(gradient, indices, axis)

    return Differentiable(forward, backward)(values)


def take_along(x: Var, indices: Var, axis: int) -> Var:
    """The elements of `x` at `indices` along an axis; the other axes have the same lengths in both."""
    sizes = around(x.shape, axis) | {"k": indices.shape[axis]}
    shape, taken = x.shape, indices.shape

    def forward(x: Var) -> Var:
        source = f'code_ops::take_along(in0_p, in1_p, out0_p, {_SIZES}, data["k"]);'
        return call(source, [x, indices], [taken], x.dtype, **sizes)[0]

    def backward(gradient: Var, output: Var) -> Var:
        source = f'code_ops::scatter_add_along(in0_p, in1_p, out0_p, {_SIZES}, data["k"]);'
        return call(source, [indices, gradient], [shape], gradient.dtype, **sizes)[0]

    return Differentiable(forward, backward)(x)


def softmax(x: Var, axis: int, logarithm: bool) -> Var:
    """The softmax along an axis, or its logarithm."""
    numbers = around(x.shape, axis) | {"logarithm": logarithm}

    def forward(x: Var) -> Var:
        source = f'code_ops::softmax(in0_p, out0_p, {_SIZES}, data["logarithm"]);'
        return call(source, [x], [x.shape], **numbers)[0]

    def backward(gradient: Var, output: Var) -> Var:
        source = f'code_ops::softmax_gradient(in0_p, in1_p, out0_p, {_SIZES}, data["logarithm"]);'
        return call(source, [output, gradient], [output.shape], **numbers)[0]

    return Differentiable(forward, backward)(x)


def nonzero(mask: Var) -> Var:
    """(N,) bool -> (K,) int32, the positions of those that are true; whoever reads its size waits for the result."""
    if mask.shape[0] == 0:
        return jt.zeros((0,), "int32")
    source = "out0->set_shape({code_ops::nonzero(in0_p, out0_p, in0->num)});"
    return jt.code([(-mask.shape[0],)], ["int32"], [mask], cpu_header=HEADER, cpu_src=source)[0]


def resize(x: Var, size: tuple[int, int], bilinear: bool, corners: bool) -> Var:
    """(N, C, H, W) -> (N, C, *size), bilinearly or by the nearest cell; `corners` is the contract's align_corners."""
    before, after = x.shape, (*x.shape[:2], *size)
    numbers = {"planes": x.shape[0] * x.shape[1], "h": x.shape[2], "w": x.shape[3], "height": size[0], "width": size[1]}
    numbers |= {"bilinear": bilinear, "corners": corners}
    names = ", ".join(f'data["{name}"]' for name in numbers)

    def forward(x: Var) -> Var:
        return call(f"code_ops::resize(in0_p, out0_p, {names});", [x], [after], **numbers)[0]

    def backward(gradient: Var, output: Var) -> Var:
        source = f"code_ops::resize_gradient(in0_p, out0_p, {names});"
        return call(source, [gradient], [before], **numbers)[0]

    return Differentiable(forward, backward)(x)


class Convolution(jt.Function):
    """A convolution by oneDNN's operators, compiled once; nn.conv2d compiles each stride and kernel size anew."""

    def __init__(self, stride: int, padding: int, dilation: int, groups: int):
        self.numbers = stride, stride, padding, padding, dilation, dilation, groups

    def execute(self, x: Var, weight: Var) -> Var:
        self.x, self.weight = x, weight
        return jt.mkl_ops.mkl_conv(x, weight, *self.numbers)

    def grad(self, gradient: Var) -> tuple[Var, Var]:
        dx = jt.mkl_ops.mkl_conv_backward_x(self.weight, gradient, *self.x.shape[2:], *self.numbers)
        dweight = jt.mkl_ops.mkl_conv_backward_w(self.x, gradient, *self.weight.shape[2:], *self.numbers)
        return dx, dweight


def convolution(x: Var, weight: Var, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> Var:
    """x (N, C, H, W), weight (O, C / groups, kh, kw) -> (N, O, h, w)"""
    if jt.flags.use_cuda or jt.mkl_ops is None:
        return jt.nn.conv2d(x, weight, None, stride, padding, dilation, groups)
    return Convolution(stride, padding, dilation, groups)(x, weight)


class BatchNormalisation(jt.Function):
    """x (N, C, H, W), weight, bias (C,) -> normalised x, and the batch's mean and biased variance (C,)."""

    def __init__(self, eps: float):
        self.eps = eps

    def execute(self, x: Var, weight: Var, bias: Var) -> list[Var]:
        n, c, h, w = x.shape
        self.numbers = {"images": n, "channels": c, "area": h * w, "eps": self.eps}
        sizes = ", ".join(f'(int64_t)data["{name}"]' for name in ("images", "channels", "area"))
        self.names = f'triseg::BatchNormShape{{{sizes}}}, (float)data["eps"]'
        source = f"triseg::batch_norm_forward(in0_p, in1_p, in2_p, {self.names}, out0_p, out1_p, out2_p);"
        outputs = call(source, [x, weight, bias], [x.shape, (c,), (c,)], header=BATCH_NORM, **self.numbers)
        self.inputs = [x, weight, *outputs[1:]]
        return outputs

    def grad(self, gradient: Var, *_) -> list[Var]:
        x, weight = self.inputs[:2]
        arguments = f"in0_p, in1_p, in2_p, in3_p, in4_p, {self.names}, out0_p, out1_p, out2_p"
        inputs, shapes = [gradient, *self.inputs], [x.shape, weight.shape, weight.shape]
        return call(f"triseg::batch_norm_backward({arguments});", inputs, shapes, header=BATCH_NORM, **self.numbers)


def batch_norm(x: Var, weight: Var, bias: Var, eps: float) -> list[Var]:
    """Gives x (N, C, H, W) normalised by its own statistics, and these: mean and biased variance (C,)."""
    if not jt.flags.use_cuda:
        return BatchNormalisation(eps)(x, weight, bias)
    mean = x.mean((0, 2, 3), keepdims=True)
    variance = ((x - mean) * (x - mean)).mean((0, 2, 3), keepdims=True)
    scale = weight.reshape(mean.shape) / jt.sqrt(variance + eps)
    return [(x - mean) * scale + bias.reshape(mean.shape), mean.reshape(weight.shape), variance.reshape(weight.shape)]


def group_norm(x: Var, weight: Var, bias: Var, groups: int, eps: float) -> Var:
    """Gives x (N, C, H, W), each image's groups of channels normalised by their own statistics; weight, bias (C,)."""
    if jt.flags.use_cuda:
        rows = x.reshape((x.shape[0], groups, -1))
        centred = rows - rows.mean(2, keepdims=True)
        normed = centred / jt.sqrt((centred * centred).mean(2, keepdims=True) + eps)
        return normed.reshape(x.shape) * weight.reshape((1, -1, 1, 1)) + bias.reshape((1, -1, 1, 1))
    n, c, h, w = x.shape
    numbers = {"images": n, "channels": c, "groups": groups, "area": h * w, "eps": eps}
    sizes = ", ".join(f'(int64_t)data["{name}"]' for name in ("images", "channels", "groups", "area"))
    names = f'triseg::GroupNormShape{{{sizes}}}, (float)data["eps"]'

    def forward(x: Var, weight: Var, bias: Var) -> Var:
        source = f"triseg::group_norm_forward(in0_p, in1_p, in2_p, {names}, out0_p);"
        return call(source, [x, weight, bias], [x.shape], header=GROUP_NORM, **numbers)[0]

    def backward(gradient: Var, output: Var) -> list[Var]:
        source = f"triseg::group_norm_backward(in0_p, in1_p, in2_p, {names}, out0_p, out1_p, out2_p);"
        return call(source, [gradient, x, weight], [x.shape, (c,), (c,)], header=GROUP_NORM, **numbers)

    return Differentiable(forward, backward)(x, weight, bias)
