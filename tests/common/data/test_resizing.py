"""Resizing by each original's rules, against Pillow, plain NumPy and numbers of the originals."""

import numpy as np
import pytest
from PIL import Image

from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.resizing import find_nearest, resize, resized_size
from common.models import load_settings

MODELS = {
    "maskrcnn_benchmark": "mask_rcnn_r50_fpn",
    "torchvision": "mask_rcnn_r50_fpn_torchvision",
    "detectron2": "mask_rcnn_r50_fpn_detectron2",
}
# Of short side 800 and long side 1333 at most; torchvision's are those of eager mode.
SIZES = {
    (480, 640): [(800, 1066), (800, 1066), (800, 1067)],
    (640, 480): [(1066, 800), (1066, 800), (1067, 800)],
    (427, 640): [(800, 1199), (800, 1199), (800, 1199)],
    (333, 1000): [(444, 1333), (443, 1333), (444, 1333)],
    (500, 375): [(1066, 800), (1066, 800), (1067, 800)],
    (612, 612): [(800, 800), (800, 800), (800, 800)],
    (1, 3000): [(1, 3000), (1, 1333), (1, 1333)],
    (401, 1000): [(535, 1334), (534, 1333), (535, 1333)],  # the long side may become one more than it should
}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_the_originals(size):
    assert [resized_size(size, 800, 1333, CONVENTIONS[family]) for family in MODELS] == SIZES[size]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(40, 61), (9, 13), (20, 30)])
@pytest.mark.parametrize("family", ["maskrcnn_benchmark", "detectron2"])
def test_pillows_bytes_are_normalised(family, size):
    image = picture(20, 30)
    preprocessing = load_settings(MODELS[family]).preprocessing
    expected = np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.BILINEAR)).astype(np.float64)
    expected = expected[:, :, ::-1].transpose(2, 0, 1) - np.array(preprocessing.mean)[:, None, None]
    made = resize(image, size, preprocessing, CONVENTIONS[family])
    assert made.dtype == np.float32 and made.flags.c_contiguous
    np.testing.assert_allclose(made, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(40, 61), (9, 13), (20, 30)])
def test_torchvisions_pixels_lie_between_their_four_neighbours(size):
    image = picture(20, 30)
    preprocessing = load_settings(MODELS["torchvision"]).preprocessing
    values = image.astype(np.float64)
    for axis, length in ((0, size[0]), (1, size[1])):
        before = values.shape[axis]
        places = np.clip((np.arange(length) + 0.5) * before / length - 0.5, 0, before - 1)
        low = np.floor(places).astype(int)
        share = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        upper = values.take(np.minimum(low + 1, before - 1), axis)
        values = values.take(low, axis) * (1 - share) + upper * share
    expected = (values - np.array(preprocessing.mean)) / np.array(preprocessing.deviation)
    made = resize(image, size, preprocessing, CONVENTIONS["torchvision"])
    np.testing.assert_allclose(made, expected.transpose(2, 0, 1), atol=1e-4)


def test_torchs_own_numbers():
    """What torch.nn.functional.interpolate makes of a row of 0, 10, 40 in 5 and in 2 pixels."""
    preprocessing = load_settings(MODELS["torchvision"]).preprocessing
    plain = preprocessing.model_copy(update={"mean": (0, 0, 0), "deviation": (1, 1, 1)})
    row = np.repeat(np.uint8([[[0], [10], [40]]]), 3, axis=2)
    rules = CONVENTIONS["torchvision"]
    np.testing.assert_allclose(resize(row, (1, 5), plain, rules)[0, 0], [0, 4, 10, 28, 40], atol=1e-5)
    np.testing.assert_allclose(resize(row, (1, 2), plain, rules)[0, 0], [2.5, 32.5], atol=1e-5)


def test_masks_show_the_nearest_pixel():
    assert find_nearest(4, 6, CONVENTIONS["torchvision"]).tolist() == [0, 0, 1, 2, 2, 3]
    assert find_nearest(4, 6, CONVENTIONS["detectron2"]).tolist() == [0, 1, 1, 2, 3, 3]
    mask = np.random.default_rng(0).integers(0, 2, (20, 31), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(mask).resize((47, 13), Image.NEAREST))
    rules = CONVENTIONS["detectron2"]
    rows, columns = find_nearest(20, 13, rules), find_nearest(31, 47, rules)
    np.testing.assert_array_equal(mask[rows[:, None], columns], expected)
