"""MindSpore's two ways to roi_align, nms and deform_conv2d agree: the own kernels, and its own operations."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from common import kernels
from mindspore_impl import _kernels, ops
from tests.contract.comparing import assert_agrees
from tests.contract.test_wing_vision import IMAGES, deform, deform_arrays, rois


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)
    _kernels._path.cache_clear()
    yield
    _kernels._path.cache_clear()


def test_roi_align_without_kernels(no_kernels, xp, like):
    assert_agrees(xp, like, rois, IMAGES, slack=1e-3)


@pytest.mark.parametrize("rule", [(1, 1, 1), (2, 1, 1), (1, 2, 2)])
def test_deform_conv2d_without_kernels(no_kernels, xp, like, rule):
    assert_agrees(xp, like, deform(*rule), *deform_arrays(*rule), slack=1e-3)


def test_nms_without_kernels(no_kernels, monkeypatch):
    random = np.random.default_rng(7)
    corners = random.integers(0, 60, (200, 2))
    boxes = np.concatenate([corners, corners + random.integers(5, 40, (200, 2))], 1).astype(np.float32)
    scores = np.round(random.random(200), 2).astype(np.float32)
    arguments = Tensor(boxes), Tensor(scores), 0.5, Tensor(random.integers(0, 3, 200).astype(np.int32))
    plain = ops.nms(*arguments).asnumpy()
    monkeypatch.undo()
    assert 0 < len(plain) < 200
    np.testing.assert_array_equal(plain, ops.nms(*arguments).asnumpy())


def test_a_compiled_deform_conv2d_is_the_same(xp):
    arrays = [Tensor(array) for array in deform_arrays(1, 1, 1)]

    def convolve(*given):
        return ops.deform_conv2d(*given, 1, 1, 1)

    def compiled(*given):
        return ms.jit(convolve)(*given)

    for plain, fast in zip(both(convolve, arrays), both(compiled, arrays), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5)


def both(function, arrays):
    """Value and gradients of the sum of squares."""
    value, gradients = ops.value_and_grad(lambda *x: (function(*x) ** 2).sum(), *arrays)
    return [value.asnumpy(), *[gradient.asnumpy() for gradient in gradients]]
