"""PyTorch's ways to its operators agree: the own kernels, torchvision where it has them, and plain operations."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common import kernels, numpy_ops
from tests.contract import attention_cases
from tests.contract.test_wing_vision import IMAGES, ROIS, RULES, deform_arrays
from torch_impl import _kernels, ops

DOUBLE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)
    monkeypatch.setattr(_kernels, "torchvision_ops", lambda: None)


def gradients(function, *arrays: np.ndarray) -> list[np.ndarray]:
    """Value and gradients of the sum of squares, which weighs every element differently."""
    value, found = ops.value_and_grad(lambda *x: (function(*x) ** 2).sum(), *[torch.tensor(a) for a in arrays])
    return [value.numpy(), *[gradient.numpy() for gradient in found]]


def roi_align(x, sampling_ratio, aligned):
    return ops.roi_align(x, torch.tensor(ROIS), (3, 2), 0.9, sampling_ratio, aligned)


@pytest.mark.parametrize("rule", RULES)
def test_roi_align_without_kernels(no_kernels, monkeypatch, rule):
    plain = gradients(lambda x: roi_align(x, *rule), IMAGES)
    exact = roi_align(torch.tensor(IMAGES, dtype=torch.float64), *rule)
    monkeypatch.undo()
    kernel = gradients(lambda x: roi_align(x, *rule), IMAGES)
    for answer, reference in zip(plain, kernel, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5)
    # float64 takes this way always; NumPy's positions are of the images' type too.
    reference = numpy_ops.roi_align(IMAGES.astype(np.float64), ROIS, (3, 2), 0.9, *rule)
    np.testing.assert_allclose(exact.numpy(), reference, **DOUBLE)


def test_roi_align_of_no_rois_without_kernels(no_kernels):
    rois = torch.zeros(0, 5)
    assert ops.roi_align(torch.tensor(IMAGES), rois, (3, 2), 1.0, 0, True).shape == (0, 3, 3, 2)


@pytest.mark.parametrize("rule", [(1, 1, 1), (2, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("modulated", [True, False])
def test_deform_conv2d_without_kernels(no_kernels, monkeypatch, rule, modulated):
    x, offset, mask, weight, bias = deform_arrays(*rule)
    given = (x, offset, weight, bias) + ((mask,) if modulated else ())

    def convolve(x, offset, weight, bias, mask=None):
        return ops.deform_conv2d(x, offset, mask, weight, bias, *rule)

    plain = gradients(convolve, *given)
    monkeypatch.undo()
    kernel = gradients(convolve, *given)
    for answer, reference in zip(plain, kernel, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-4, atol=1e-4)


def attend(value, locations, attention):
    return ops.ms_deform_attn(value, attention_cases.SHAPES, locations, attention)


def test_ms_deform_attn_without_kernels(no_kernels, monkeypatch):
    arrays = attention_cases.arrays()
    plain = gradients(attend, *arrays)
    monkeypatch.undo()
    kernel = gradients(attend, *arrays)
    for answer, reference in zip(plain, kernel, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-4, atol=1e-4)


def test_ms_deform_attn_in_float64():
    exact = [array.astype(np.float64) for array in attention_cases.arrays(queries=2)]
    leaves = [torch.tensor(array, requires_grad=True) for array in exact]
    reference = numpy_ops.ms_deform_attn(exact[0], attention_cases.SHAPES, *exact[1:])
    np.testing.assert_allclose(attend(*leaves).detach().numpy(), reference, **DOUBLE)
    torch.autograd.gradcheck(attend, leaves, fast_mode=True)


def test_ms_deform_attn_at_exact_places_without_kernels(no_kernels):
    locations = attention_cases.exact_places()
    value, _, attention = attention_cases.arrays(images=1, heads=1, queries=locations.shape[1])
    given = value, locations, attention[..., :1]
    reference = numpy_ops.ms_deform_attn(given[0], attention_cases.SHAPES, *given[1:])
    np.testing.assert_allclose(attend(*map(torch.tensor, given)), reference, rtol=1e-5, atol=1e-5)


def test_ms_deform_attn_of_nothing_and_of_nowhere_without_kernels(no_kernels):
    value, locations, attention = map(torch.tensor, attention_cases.arrays())
    assert attend(value, locations[:, :0], attention[:, :0]).shape == (2, 0, 15)
    assert attend(value[:0], locations[:0], attention[:0]).shape == (0, 7, 15)
    kept = attend(value, locations, attention)[0, 1:]
    locations[0, 0] = torch.nan
    torch.testing.assert_close(attend(value, locations, attention)[0, 1:], kept)


def crowd(count: int = 300) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, scores and classes; many scores are equal, and many IoUs are the threshold itself."""
    random = np.random.default_rng(7)
    corners, sides = random.integers(0, 12, (count, 2)) * 5, random.integers(-1, 8, (count, 2)) * 5
    boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    scores = np.round(random.random(count), 2).astype(np.float32)
    return torch.tensor(boxes), torch.tensor(scores), torch.tensor(random.integers(0, 3, count))


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_without_kernels(no_kernels, monkeypatch, threshold, offset):
    boxes, scores, classes = crowd()
    for labels in (None, classes):
        reference = numpy_ops.nms(
            boxes.numpy(), scores.numpy(), threshold, None if labels is None else labels.numpy(), offset
        )
        assert 0 < len(reference) < len(boxes)
        np.testing.assert_array_equal(ops.nms(boxes, scores, threshold, labels, offset), reference)
        for pairs in (1, 700, 5000):  # as with very many boxes: few rows, and few classes, at a time
            with monkeypatch.context() as patch:
                patch.setattr(_kernels, "_PAIRS", pairs)
                np.testing.assert_array_equal(ops.nms(boxes, scores, threshold, labels, offset), reference)


def test_nms_without_kernels_of_a_long_chain(no_kernels):
    """Each box covers the next one alone, so that every second stays: which is known of the last at the very end."""
    starts = torch.arange(99, dtype=torch.float32) * 4
    boxes = torch.stack([starts, torch.zeros(99), starts + 10, torch.ones(99)], 1)
    kept = ops.nms(boxes, -starts, 0.4)
    np.testing.assert_array_equal(kept, np.arange(0, 99, 2))


def test_torchvision_is_called_as_it_wants_to_be(no_kernels, monkeypatch):
    x, offset, mask, weight, bias = map(torch.tensor, deform_arrays(2, 1, 1))

    def vision_roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
        pooled = numpy_ops.roi_align(input.numpy(), boxes.numpy(), output_size, spatial_scale, sampling_ratio, aligned)
        return torch.tensor(pooled)

    def vision_deform(input, offset, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), mask=None):
        arrays = [array.numpy() for array in (input, offset, mask, weight, bias)]
        return torch.tensor(numpy_ops.deform_conv2d(*arrays, stride, padding, dilation))

    plain = ops.deform_conv2d(x, offset, mask, weight, bias, 2, 1, 1), roi_align(x, 0, True)
    stand_in = SimpleNamespace(roi_align=vision_roi_align, deform_conv2d=vision_deform)
    monkeypatch.setattr(_kernels, "torchvision_ops", lambda: stand_in)
    vision = ops.deform_conv2d(x, offset, mask, weight, bias, 2, 1, 1), roi_align(x, 0, True)
    for answer, reference in zip(vision, plain, strict=True):
        torch.testing.assert_close(answer, reference, rtol=1e-5, atol=1e-5)


def test_torchvision_is_spared_rois_that_are_not_finite(no_kernels, monkeypatch):
    """On a GPU its loop over the samples of such a roi would not end."""
    given = []

    def vision_roi_align(input, boxes, *rule):
        given.append(boxes.numpy())
        return torch.tensor(numpy_ops.roi_align(input.numpy(), boxes.numpy(), *rule))

    monkeypatch.setattr(_kernels, "torchvision_ops", lambda: SimpleNamespace(roi_align=vision_roi_align))
    rois = torch.tensor([[0, 0.5, 0.5, 4, 3], [1, 0, 0, np.inf, 2], [0, np.nan, 0, 1, 1]], dtype=torch.float32)
    answer = ops.roi_align(torch.tensor(IMAGES), rois, (3, 2), 1.0, 0, True)
    assert np.isfinite(given[0]).all()
    reference = numpy_ops.roi_align(IMAGES, rois.numpy(), (3, 2), 1.0, 0, True)
    np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5)
