"""Convolutions by oneDNN's own library on the CPU, which takes half the time of MindSpore's operation there.

MindSpore's oneDNN has the processor's newest instructions switched off (see `mindspore_impl`), and only one way of
convolving is left to it then. Elsewhere, and where the library is not installed, MindSpore's operation does it.
"""

import functools

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from common.kernels import onednn
from mindspore_impl._kernels import custom


@functools.cache
def library_file() -> str | None:
    """The compiled convolutions' file, or None where they cannot take MindSpore's arrays."""
    found = onednn.convolutions() if ms.get_context("device_target") == "CPU" else ""
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

        self.convolve = custom("convolution", shape, _first, file, **settings)
        self.grad_input = custom("convolution_grad_input", _last, _last, file)
        self.grad_weight = custom(
            "convolution_grad_weight", lambda g, x, s, w: (w, w[:1]), lambda g, x, s, w: (w, w), file
        )

    def construct(self, x, weight, bias):
        return self.convolve(x, weight, bias, self.settings)

    def bprop(self, x, weight, bias, out, gradient):
        dweight, dbias = self.grad_weight(gradient, x, self.settings, weight)
        return self.grad_input(gradient, weight, self.settings, x), dweight, dbias


def _first(*values):
    return values[0]


def _last(*values):
    return values[-1]
