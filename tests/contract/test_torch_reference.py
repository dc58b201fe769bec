"""The reference itself, common/numpy_ops.py, against PyTorch's own functions in float64."""

import numpy as np
import torch
import torch.nn.functional as F

from common import numpy_ops

RANDOM = np.random.default_rng(6)
X = RANDOM.standard_normal((2, 3, 5, 6))
T = torch.tensor(X)


def assert_equal(answer: np.ndarray, reference: torch.Tensor) -> None:
    assert answer.dtype == np.float64
    np.testing.assert_allclose(answer, reference.numpy(), rtol=1e-12, atol=1e-12)


def test_elementwise():
    for name in ("exp", "abs", "floor", "sigmoid", "tanh"):
        assert_equal(getattr(numpy_ops, name)(X), getattr(torch, name)(T))
    assert_equal(numpy_ops.clip(X, -0.5, 0.7), torch.clamp(T, -0.5, 0.7))
    targets = RANDOM.random(X.shape)
    reference = F.binary_cross_entropy_with_logits(T * 9, torch.tensor(targets), reduction="none")
    assert_equal(numpy_ops.binary_cross_entropy_with_logits(X * 9, targets), reference)


def test_reductions():
    assert_equal(numpy_ops.sum(X, (0, 2)), T.sum((0, 2)))
    assert_equal(numpy_ops.logsumexp(X, 1), torch.logsumexp(T, 1))
    assert_equal(numpy_ops.softmax(X, 2), torch.softmax(T, 2))
    assert_equal(numpy_ops.log_softmax(X * 100, 3), torch.log_softmax(T * 100, 3))


def test_order_and_indexing():
    values = RANDOM.integers(0, 9, (4, 50)).astype(np.float64)
    for descending in (False, True):
        order = torch.sort(torch.tensor(values), descending=descending, stable=True).indices
        np.testing.assert_array_equal(numpy_ops.argsort(values, descending=descending), order)


def test_resize():
    for size in ((8, 11), (3, 4), (1, 1), (10, 12), (5, 6)):
        assert_equal(numpy_ops.resize(X, size, "nearest"), F.interpolate(T, size, mode="nearest"))
        for corners in (False, True):
            reference = F.interpolate(T, size, mode="bilinear", align_corners=corners)
            assert_equal(numpy_ops.resize(X, size, "bilinear", corners), reference)
    # Nearest neighbours at every pair of sizes, where float32 rounds the source position to a neighbour now and then.
    for source in range(1, 40):
        line = np.arange(source, dtype=np.float32).reshape(1, 1, 1, source)
        for target in range(1, 60):
            reference = F.interpolate(torch.tensor(line), (1, target), mode="nearest").numpy()
            np.testing.assert_array_equal(numpy_ops.resize(line, (1, target), "nearest"), reference)


def test_grid_sample():
    grid = RANDOM.uniform(-1.4, 1.4, (2, 7, 4, 2))
    for corners in (False, True):
        reference = F.grid_sample(T, torch.tensor(grid), align_corners=corners)
        assert_equal(numpy_ops.grid_sample(X, grid, corners), reference)


def test_deform_conv2d_without_offsets_is_a_convolution():
    weight, bias = RANDOM.standard_normal((4, 3, 3, 3)), RANDOM.standard_normal(4)
    for stride, padding, dilation in ((1, 1, 1), (2, 1, 1), (1, 2, 2), (2, 0, 1)):
        reference = F.conv2d(T, torch.tensor(weight), torch.tensor(bias), stride, padding, dilation)
        offset = np.zeros((2, 18, *reference.shape[2:]))
        answer = numpy_ops.deform_conv2d(X, offset, None, weight, bias, stride, padding, dilation)
        assert_equal(answer, reference)
        # Moving every tap down by one is a convolution with one row less of padding above and one more below.
        offset[:, ::2] = 1
        padded = F.pad(T, (padding, padding, padding - 1, padding + 1))
        reference = F.conv2d(padded, torch.tensor(weight), torch.tensor(bias), stride, 0, dilation)
        mask = np.ones((2, 9, *reference.shape[2:]))
        answer = numpy_ops.deform_conv2d(X, offset, mask, weight, bias, stride, padding, dilation)
        assert_equal(answer, reference)


def test_ms_deform_attn_of_slopes_gives_the_places_themselves():
    """A bilinear reading of x + 100 y finds its own place: in cells, from the middle of each map's first one."""
    shapes, heads = [(5, 8), (7, 3)], 2
    planes = [np.add(*np.mgrid[:h, :w] * np.array([100.0, 1.0])[:, None, None]).reshape(-1) for h, w in shapes]
    value = np.concatenate(planes)[None, :, None, None] * np.arange(1.0, heads + 1)[:, None]
    locations = RANDOM.uniform(0.2, 0.8, (1, 6, heads, 2, 3, 2))
    attention = RANDOM.random((1, 6, heads, 2, 3))
    x, y = np.moveaxis(locations * np.array([[[8, 5]], [[3, 7]]]) - 0.5, -1, 0)
    reference = ((x + 100 * y) * attention).sum((3, 4)) * np.arange(1.0, heads + 1)
    np.testing.assert_allclose(numpy_ops.ms_deform_attn(value, shapes, locations, attention), reference, rtol=1e-12)


def test_roi_align_of_a_slope_gives_the_bins_centres():
    """Bilinear samples of a plane are the plane itself, and so their mean lies at the middle of the bin."""
    y, x = np.mgrid[:20, :30]
    slope = (2.0 * y - 3.0 * x + 5.0)[None, None]
    roi = np.array([[0, 4.0, 6.0, 25.0, 16.0]])
    for sampling_ratio in (0, 1, 3):
        for aligned in (False, True):
            answer = numpy_ops.roi_align(slope, roi, (4, 6), 1.0, sampling_ratio, aligned)[0, 0]
            centre_y = 6 + (np.arange(4)[:, None] + 0.5) * 10 / 4 - 0.5 * aligned
            centre_x = 4 + (np.arange(6) + 0.5) * 21 / 6 - 0.5 * aligned
            np.testing.assert_allclose(answer, 2 * centre_y - 3 * centre_x + 5, rtol=1e-12)
