"""Convolutions and linear layers by oneDNN itself on the CPU, in two thirds of the time of MindSpore's operations.

MindSpore's oneDNN has the processor's newest instructions switched off (see `mindspore_impl`), and only one way of
convolving is left to it then. Elsewhere, and where the library is not installed, MindSpore's operations do it.
"""

import functools

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from common.kernels import onednn
from mindspore_impl._kernels import custom, first


@functools.cache
def library_file() -> str | None:
    """The compiled library's file, or None where they cannot take MindSpore's arrays."""
    found = onednn.compiled() if ms.get_context("device_target") == "CPU" else ""
    return str(found) if not isinstance(found, str) else None


@functools.cache
def convolution(stride: int, padding: int, dilation: int, groups: int) -> "Convolution":
    """The operator of these settings: a cell keeps what is compiled for it."""
    return Convolution(stride, padding, dilation, groups)


class Convolution(nn.Cell):
    """x (N, C, H, W), weight (O, C / groups, kh, kw), bias (O,) -> (N, O, h, w), zeros around x"""

    def __init__(self, stride: int, padding: int, dilation: int, groups: int):
        super().__init__()
        file = library_file()
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self.settings = Tensor(np.array(list(settings.values()), np.int32))

        def shape(x, weight, bias, _):
            sides = [(x[i] + 2 * padding - dilation * (weight[i] - 1) - 1) // stride + 1 for i in (2, 3)]
            return (x[0], weight[0], *sides)

        self.convolve = custom("convolution", shape, first, file, **settings)
        self.grad_input = custom("convolution_grad_input", _last, _last, file)
        self.grad_weight = custom(
            "convolution_grad_weight", lambda g, x, s, w: (w, w[:1]), lambda g, x, s, w: (w, w), file
        )

    def construct(self, x, weight, bias):
        return self.convolve(x, weight, bias, self.settings)

    def bprop(self, x, weight, bias, out, gradient):
        dweight, dbias = self.grad_weight(gradient, x, self.settings, weight)
        return self.grad_input(gradient, weight, self.settings, x), dweight, dbias


@functools.cache
def linear() -> "Linear":
    """The operator of linear layers: a cell keeps what is compiled for it."""
    return Linear()


class Linear(nn.Cell):
    """x (M, K), weight (N, K), bias (N,) -> (M, N)"""

    def __init__(self):
        super().__init__()
        file = library_file()
        self.multiply = custom("linear", lambda x, w, b: (x[0], w[0]), first, file)
        self.grad_input = custom("linear_grad_input", lambda g, w: (g[0], w[1]), first, file)
        self.grad_weight = custom("linear_grad_weight", lambda g, x: ((g[1], x[1]), (g[1],)), lambda g, x: (g, g), file)

    def construct(self, x, weight, bias):
        return self.multiply(x, weight, bias)

    def bprop(self, x, weight, bias, out, gradient):
        dweight, dbias = self.grad_weight(gradient, x)
        return self.grad_input(gradient, weight), dweight, dbias


def _last(*values):
    return values[-1]
