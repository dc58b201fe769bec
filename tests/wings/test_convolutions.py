"""A convolution of every setting that the networks have: its answer and its gradients against NumPy in float64."""

import numpy as np
import pytest

from tests.wings.test_backbones import conv

IMAGES, CHANNELS, HEIGHT, WIDTH = 2, 8, 9, 11
# kernel, stride, padding, dilation, groups, output channels
SETTINGS = {
    "three by three": (3, 1, None, 1, 1, 6),
    "with a stride": (3, 2, None, 1, 1, 6),
    "without padding": (3, 1, 0, 1, 1, 6),
    "with holes": (3, 1, None, 2, 1, 6),
    "in groups": (3, 1, None, 1, 4, 8),
    "of each channel": (3, 1, None, 1, 8, 8),
    "of points": (1, 1, None, 1, 1, 6),
    "of every second point": (1, 2, None, 1, 1, 6),
    "in groups of points": (1, 1, None, 1, 2, 6),
    "seven by seven": (7, 2, 3, 1, 1, 6),
}


def exact(x, weight, stride, padding, dilation, groups):
    """(N, C, H, W), (O, C / groups, k, k) -> (N, O, h, w); a kernel with holes is a larger one with zeros."""
    size = weight.shape[2]
    spread = np.zeros((*weight.shape[:2], *(dilation * (size - 1) + 1,) * 2))
    spread[:, :, ::dilation, ::dilation] = weight
    if padding == 0 and size > 1:
        inner = conv(x, spread, groups=groups)
        return inner[:, :, size // 2 : -(size // 2), size // 2 : -(size // 2)]
    return conv(x, spread, stride=stride, groups=groups)


@pytest.mark.compiled
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_answers_and_gradients(settings, with_bias, wing, xp, like):
    kernel, stride, padding, dilation, groups, outputs = settings
    rng = np.random.default_rng(0)
    x = rng.standard_normal((IMAGES, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    weight = rng.standard_normal((outputs, CHANNELS // groups, kernel, kernel)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32) if with_bias else np.zeros(outputs, np.float32)
    expected = exact(x, weight, stride, padding, dilation, groups) + bias[:, None, None]
    by_output = rng.standard_normal(expected.shape).astype(np.float32)
    layer = wing("layers").Conv(CHANNELS, outputs, kernel, stride, padding, dilation, groups)
    weights = xp.asarray(by_output, like)

    def weighted(x, weight, bias=None):
        return xp.sum(layer.convolve(x, weight, bias) * weights)

    given = [xp.asarray(array, like) for array in (x, weight, bias)]
    answer = xp.to_numpy(layer.convolve(given[0], given[1], given[2] if with_bias else None))
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=5e-5)
    _, found = xp.value_and_grad(weighted, *given[: 3 if with_bias else 2])
    # As all is linear in the image and in the weight, the gradient by a number is the answer to it alone.
    units = np.eye(CHANNELS * HEIGHT * WIDTH).reshape(-1, CHANNELS, HEIGHT, WIDTH)
    by_x = np.einsum("uohw,nohw->nu", exact(units, weight, stride, padding, dilation, groups), by_output)
    units = np.eye(weight.size).reshape(-1, *weight.shape)
    by_weight = [(exact(x, unit, stride, padding, dilation, groups) * by_output).sum() for unit in units]
    wanted = [by_x, by_weight, *([by_output.sum((0, 2, 3))] if with_bias else [])]
    for array, numbers in zip(found, wanted, strict=True):
        np.testing.assert_allclose(xp.to_numpy(array).reshape(-1), np.ravel(numbers), rtol=0, atol=1e-4)


def test_no_image_gives_no_answer(wing, xp, like):
    layer = wing("layers").Conv(CHANNELS, 6, 3)
    assert xp.to_numpy(layer(xp.asarray(np.zeros((0, CHANNELS, 4, 5), np.float32), like))).shape == (0, 6, 4, 5)
