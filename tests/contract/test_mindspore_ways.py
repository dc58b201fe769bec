"""MindSpore's two ways to what has a kernel of the project agree: that one, and its own operations."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from common import kernels, numpy_ops
from mindspore_impl import _kernels, ops
from mindspore_impl import _transformer_ops as transformer_ops
from mindspore_impl.layers import DeformConv
from tests.contract import attention_cases
from tests.contract.comparing import assert_agrees
from tests.contract.test_wing_attention import attend
from tests.contract.test_wing_vision import GRID, IMAGES, deform, deform_arrays, grids, rois


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)
    _kernels.library_file.cache_clear()
    yield
    _kernels.library_file.cache_clear()


def test_roi_align_without_kernels(no_kernels, xp, like):
    assert_agrees(xp, like, rois, IMAGES, slack=1e-3)


@pytest.mark.parametrize("rule", [(1, 1, 1), (2, 1, 1), (1, 2, 2)])
def test_deform_conv2d_without_kernels(no_kernels, xp, like, rule):
    assert_agrees(xp, like, deform(*rule), *deform_arrays(*rule), slack=1e-3)


def test_grid_sample_without_kernels(no_kernels, xp, like):
    assert_agrees(xp, like, grids, IMAGES, GRID, slack=2e-4)
    assert_agrees(xp, like, grids, IMAGES[1:], GRID, slack=2e-4)


def test_ms_deform_attn_without_kernels(no_kernels, xp, like):
    assert_agrees(xp, like, attend, *attention_cases.arrays(), slack=1e-3)


def test_ms_deform_attn_at_exact_places_without_kernels(no_kernels, xp):
    locations = attention_cases.exact_places()
    value, _, attention = attention_cases.arrays(images=1, heads=1, queries=locations.shape[1])
    given = value, locations, attention[..., :1]
    reference = numpy_ops.ms_deform_attn(given[0], attention_cases.SHAPES, *given[1:])
    found = ops.ms_deform_attn(Tensor(given[0]), attention_cases.SHAPES, *map(Tensor, given[1:])).asnumpy()
    np.testing.assert_allclose(found, reference, rtol=1e-5, atol=1e-5)


def test_norms_of_groups_and_attention_without_kernels(monkeypatch):
    """As with them, forward and backward; that they are right is held against NumPy elsewhere."""
    random = np.random.default_rng(4)
    x, queries, keys, values = (
        Tensor(random.standard_normal(shape).astype(np.float32))
        for shape in ((2, 6, 3, 5), (2, 5, 12), (2, 7, 12), (2, 7, 12))
    )
    weight, bias = (Tensor(random.standard_normal(6).astype(np.float32)) for _ in range(2))
    hidden = random.random((2, 5, 7)) < 0.5
    hidden[..., 0] = False
    of_norm, of_attention = Tensor(np.array([1e-5, 3], np.float32)), Tensor(np.array([3], np.int32))
    slopes = [Tensor(random.standard_normal(each.shape).astype(np.float32)) for each in (x, queries)]

    def answers():
        def normed(*given):
            return (_kernels.group_norm(*given, of_norm) * slopes[0]).sum()

        def seen(*given):
            return (transformer_ops.masked_attention(*given, Tensor(hidden), of_attention) * slopes[1]).sum()

        found = [
            ms.value_and_grad(normed, (0, 1, 2))(x, weight, bias),
            ms.value_and_grad(seen, (0, 1, 2))(queries, keys, values),
        ]
        return [each.asnumpy() for value, gradients in found for each in (value, *gradients)]

    by_kernels = answers()
    monkeypatch.setattr(kernels, "library", lambda: None)
    _kernels.library_file.cache_clear()
    plain = answers()
    monkeypatch.undo()
    _kernels.library_file.cache_clear()
    for one, other in zip(by_kernels, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


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


class Chain(nn.Cell):
    """Two deformable layers: the first one's gradients are taken after the second one has run."""

    def __init__(self):
        super().__init__()
        self.first, self.second = DeformConv(3, 3), DeformConv(3, 3)
        random = np.random.default_rng(5)
        for parameter in self.get_parameters():
            parameter.set_data(Tensor(random.standard_normal(parameter.shape).astype(np.float32) / 4))

    def construct(self, x):
        return self.second(ms.ops.relu(self.first(x)))


@pytest.mark.compiled
def test_compiled_deformable_layers_have_the_same_gradients(xp):
    chain, answers = Chain(), []
    for run in (chain.construct, ms.jit(chain.construct)):
        found = ms.value_and_grad(lambda run=run: (run(Tensor(IMAGES)) ** 2).sum(), None, chain.trainable_params())()
        answers.append([found[0].asnumpy(), *[gradient.asnumpy() for gradient in found[1]]])
    for plain, compiled in zip(*answers, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-4)


class Attention(nn.Cell):
    """Two attentions, one after the other: the first one's gradients are taken after the second one has run."""

    def construct(self, value, locations, attention):
        queries = ops.ms_deform_attn(value, attention_cases.SHAPES, locations, attention)
        again = queries.reshape(value.shape) + value
        return ops.ms_deform_attn(again, attention_cases.SHAPES, locations, attention)


@pytest.mark.compiled
def test_compiled_deformable_attention_has_the_same_gradients(xp):
    cell, answers = Attention(), []
    given = [Tensor(array) for array in attention_cases.arrays(queries=33)]
    for run in (cell.construct, ms.jit(cell.construct)):
        value, gradients = ms.value_and_grad(lambda *x, run=run: (run(*x) ** 2).sum(), (0, 1, 2))(*given)
        answers.append([value.asnumpy(), *[gradient.asnumpy() for gradient in gradients]])
    for plain, compiled in zip(*answers, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-4)
