"""The transforms: ranges and order as the originals have them, and boxes and masks that stay together."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from common.config import Preprocessing
from common.data import figures, transforms
from common.data.coco import Sample, has_area
from common.families.yolact import augmentation
from common.families.yolact.samples import augment, prepare
from common.families.yolact.settings import YolactSettings
from common.models import load_settings

NAMES = figures.KEYPOINT_NAMES
STEPS = ("photometric", "expand", "sample_crop", "mirror")


def tiny(*steps: str) -> YolactSettings:
    """A model of 128 x 128 pixels with these steps of the augmentation."""
    return load_settings("yolact_tiny", [f"augmentation.{step}={str(step in steps).lower()}" for step in STEPS])


class Scripted:
    """A generator that answers coins and uniform numbers (as shares of the range) from lists, and notes the ranges."""

    def __init__(self, coins: list[int], shares: list[float]) -> None:
        self.coins, self.shares, self.ranges = coins, shares, []

    def integers(self, high: int) -> int:
        value = self.coins.pop(0)
        assert value < high
        return value

    def random(self) -> float:
        return self.shares.pop(0)

    def uniform(self, low: float, high: float) -> float:
        self.ranges.append((low, high))
        return low + self.shares.pop(0) * (high - low)


def rectangles(seed: int, size: tuple[int, int] = (90, 120), count: int = 4) -> Sample:
    """Objects that are whole boxes, so that masks tell what the boxes must be."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, np.array(size[::-1]) - 30, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(12, 30, (count, 2))], axis=1)
    masks = np.zeros((count, *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return Sample(
        image_id=seed,
        image=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        boxes=boxes.astype(np.float32),
        labels=np.arange(count, dtype=np.int32),
        crowd=np.zeros(count, bool),
        masks=masks,
        annotation_ids=np.arange(count),
    )


def boxes_of(masks: np.ndarray) -> np.ndarray:
    found = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        found.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else [0, 0, 0, 0])
    return np.array(found, np.float32).reshape(-1, 4)


def plain_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C), pixel centres at half numbers."""
    result = image.astype(np.float64)
    for axis in (0, 1):
        count = result.shape[axis]
        place = np.clip((np.arange(size[axis]) + 0.5) * count / size[axis] - 0.5, 0, count - 1)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if each == axis else 1 for each in range(3)])
        low_part, high_part = (np.take(result, np.minimum(low + step, count - 1), axis=axis) for step in (0, 1))
        result = low_part * (1 - share) + high_part * share
    return result


def hsv(image: np.ndarray, factor: float, shift: float) -> np.ndarray:
    result = np.empty(image.shape, np.float64)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[place] / 255))
        changed = colorsys.hsv_to_rgb((hue + shift / 360) % 1, saturation * factor, value)
        result[place] = np.array(changed) * 255
    return result


def test_photometric_has_contrast_before_colour_or_after_it():
    image = np.random.default_rng(0).uniform(60, 200, (6, 5, 3))
    # brightness +16 (three quarters of -32..32), contrast 0.75, saturation 0.9, hue +9 degrees
    first = Scripted([1, 1, 1, 1, 1], [0.75, 0.25, 0.4, 0.75])
    expected = hsv((image + 16) * 0.75, 0.9, 9)
    np.testing.assert_allclose(augmentation.distort_colours(image, first), expected, atol=0.05)
    assert first.ranges == [(-32, 32), (0.5, 1.5), (0.5, 1.5), (-18, 18)]
    last = Scripted([1, 0, 1, 1, 1], [0.75, 0.4, 0.75, 0.25])
    np.testing.assert_allclose(augmentation.distort_colours(image, last), hsv(image + 16, 0.9, 9) * 0.75, atol=0.05)
    assert last.ranges == [(-32, 32), (0.5, 1.5), (-18, 18), (0.5, 1.5)]


def test_photometric_may_leave_all_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    for contrast_first in (0, 1):
        unchanged = augmentation.distort_colours(image, Scripted([0, contrast_first, 0, 0, 0], []))
        assert unchanged.dtype == np.float32
        np.testing.assert_allclose(unchanged, image, atol=1e-3)


def test_hue_turns_over_at_both_ends():
    # Just under 360 and just over 0 degrees; OpenCV goes another way for rows of sixteen pixels and more.
    red = np.tile(np.array([[[200.0, 20, 21], [200, 21, 20]]], np.float32), (1, 20, 1))
    for share, shift in ((1.0, 18), (0.0, -18)):
        turned = augmentation.change_saturation_and_hue(red, Scripted([0, 1], [share]))
        np.testing.assert_allclose(turned, hsv(red, 1, shift), atol=0.05)


def test_expansion_holds_the_image_and_reaches_four_times_its_sides():
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(2000):
        left, top, right, bottom = augmentation.draw_expansion((30, 50), rng)
        assert left <= 0 and top <= 0 and right >= 50 and bottom >= 30
        assert abs((right - left) / 50 - (bottom - top) / 30) < 0.06  # whole pixels of one ratio
        ratios.append((right - left) / 50)
    assert min(ratios) < 1.05 and max(ratios) > 3.9 and max(ratios) <= 4
    np.testing.assert_allclose(np.mean(ratios), 2.5, atol=0.1)


def test_crop_keeps_to_its_ranges_and_to_its_objects():
    sample = rectangles(0)
    rng = np.random.default_rng(0)
    whole, sides = 0, []
    for _ in range(2000):
        (left, top, right, bottom), kept = augmentation.draw_crop(sample.boxes, sample.crowd, (90, 120), rng)
        assert 0 <= left < right <= 120 and 0 <= top < bottom <= 90
        centres = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2
        inside = [left < x < right and top < y < bottom for x, y in centres.tolist()]
        if (left, top, right, bottom) == (0, 0, 120, 90) and kept.all():
            whole += 1
            continue
        assert kept.any()
        np.testing.assert_array_equal(kept, inside)
        width, height = right - left, bottom - top
        assert width >= 0.3 * 120 - 1 and height >= 0.3 * 90 - 1
        assert 0.5 - 0.05 < height / width < 2 + 0.1
        sides.append(width / 120)
    assert 0.13 < whole / 2000 < 0.21  # one in six, and a few crops that cover it all
    assert min(sides) < 0.4 and max(sides) > 0.95


def test_crop_always_holds_an_object_that_is_no_crowd():
    sample = rectangles(1)
    crowd = np.array([True, True, True, False])
    rng = np.random.default_rng(0)
    for _ in range(300):
        _, kept = augmentation.draw_crop(sample.boxes, crowd, (90, 120), rng)
        assert kept[3]
    for _ in range(5):
        rectangle, kept = augmentation.draw_crop(sample.boxes, np.ones(4, bool), (90, 120), rng)
        assert rectangle == (0, 0, 120, 90) and kept.all()


def test_window_shows_what_lies_there():
    sample = rectangles(2)
    shown = augmentation.cut_out(sample, (-7, 20, 64, 110), (1, 2, 3))
    assert shown.image.shape == (90, 71, 3)
    np.testing.assert_array_equal(shown.image[:70, 7:], sample.image[20:90, :64])
    assert (shown.image[70:] == (1, 2, 3)).all() and (shown.image[:, :7] == (1, 2, 3)).all()
    seen = shown.masks.any(axis=(1, 2))
    np.testing.assert_array_equal(shown.boxes[seen], boxes_of(shown.masks)[seen])
    assert not has_area(shown.boxes[~seen]).any()


def test_a_window_beside_the_image_is_filled():
    shown = augmentation.cut_out(rectangles(2), (200, 200, 210, 205), (4, 5, 6))
    assert shown.image.shape == (5, 10, 3) and (shown.image == (4, 5, 6)).all() and not shown.masks.any()


def test_flip_mirrors_all_and_twice_gives_the_same():
    sample = rectangles(3)
    flipped = augmentation.flip(sample)
    np.testing.assert_array_equal(flipped.image, sample.image[:, ::-1])
    np.testing.assert_array_equal(flipped.boxes, boxes_of(flipped.masks))
    again = augmentation.flip(flipped)
    for name in ("image", "boxes", "masks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sample, name), err_msg=name)


def test_key_points_change_sides_in_pairs():
    assert figures.flip_order(NAMES).tolist() == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


@pytest.mark.parametrize("size", [(45, 60), (128, 128), (200, 77)])
def test_resize_is_bilinear_with_half_pixel_centres(size):
    sample = rectangles(4)
    resized = augmentation.resize(replace(sample, image=sample.image.astype(np.float32)), size)
    np.testing.assert_allclose(resized.image, plain_bilinear(sample.image, size), atol=2e-3)
    assert resized.masks.shape == (4, *size) and set(np.unique(resized.masks)) == {0, 1}
    np.testing.assert_allclose(resized.boxes, boxes_of(resized.masks), atol=1.0)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_normalise_takes_mean_and_deviation_in_the_channel_order(order):
    settings = Preprocessing(size=4, mean=(10, 20, 30), deviation=(2, 4, 5), channel_order=order)
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    result = transforms.normalise(image, settings)
    assert result.dtype == np.float32 and result.shape == (3, 3, 4) and result.flags.c_contiguous
    for channel in range(3):
        source = image[..., channel if order == "rgb" else 2 - channel].astype(float)
        expected = (source - settings.mean[channel]) / settings.deviation[channel]
        np.testing.assert_allclose(result[channel], expected, rtol=1e-6)


def test_prepare_is_resize_and_normalise():
    settings = load_settings("yolact_tiny")
    image = rectangles(6).image
    expected = (plain_bilinear(image, (128, 128)) - settings.preprocessing.mean) / settings.preprocessing.deviation
    np.testing.assert_allclose(prepare(image, settings)["image"], expected.transpose(2, 0, 1), atol=1e-4)


def test_darknet_takes_shares_of_255():
    image = np.full((8, 8, 3), 51, np.uint8)
    np.testing.assert_allclose(prepare(image, load_settings("yolact_darknet53"))["image"], 0.2, rtol=1e-6)


def test_boxes_and_masks_agree_after_yolacts_augmentation():
    settings = tiny(*STEPS)
    rng = np.random.default_rng(0)
    objects = 0
    for seed in range(60):
        result = augment(rectangles(seed), settings, rng)
        assert result.image.shape == (128, 128, 3) and result.image.dtype == np.float32
        # Windows of whole pixels are enlarged to 128 by up to four times.
        np.testing.assert_allclose(result.boxes, boxes_of(result.masks), atol=3)
        assert (result.boxes[:, 2:] - result.boxes[:, :2] > 4 / 550).all()
        objects += len(result.boxes)
    assert objects > 100


def test_expansion_and_crop_in_one_window_are_the_two_one_after_the_other():
    settings = tiny("expand", "sample_crop")
    mean = (123.68, 116.78, 103.94)
    for seed in range(40):
        sample, rng = rectangles(seed), np.random.default_rng(seed)
        result = augment(sample, settings, np.random.default_rng(seed))
        expected = replace(sample, image=sample.image.astype(np.float32))
        if not rng.integers(2):
            expected = augmentation.cut_out(expected, augmentation.draw_expansion((90, 120), rng), mean)
        rectangle, kept = augmentation.draw_crop(expected.boxes, expected.crowd, expected.image.shape[:2], rng)
        expected = augmentation.cut_out(augmentation.select_objects(expected, kept), rectangle, mean)
        expected = augmentation.resize(expected, (128, 128))
        large = (expected.boxes[:, 2:] - expected.boxes[:, :2] > 4 / 550).all(axis=1)
        np.testing.assert_array_equal(result.image, expected.image)
        np.testing.assert_array_equal(result.masks, expected.masks[large])
        np.testing.assert_array_equal(result.boxes, expected.boxes[large])
        np.testing.assert_array_equal(result.labels, expected.labels[large])


@pytest.mark.parametrize("mirrored", [0, 1])
def test_mirroring_comes_before_resizing(mirrored):
    sample = rectangles(9)
    result = augment(sample, tiny("mirror"), Scripted([mirrored], []))
    plain = replace(sample, image=sample.image.astype(np.float32))
    expected = augmentation.resize(augmentation.flip(plain) if mirrored else plain, (128, 128))
    for name in ("image", "masks", "boxes"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)


def test_only_sides_under_a_share_of_a_pixel_are_dropped():
    sample = rectangles(9, count=3)
    sample.boxes[:, 2:] = sample.boxes[:, :2] + [[1, 1], [0.01, 20], [20, 0.01]]
    sample.boxes[1, 2] = sample.boxes[1, 0] + 4 / 550 * 120 / 128 * 0.9
    sample.boxes[2, 3] = sample.boxes[2, 1] + 4 / 550 * 90 / 128 * 1.1
    assert augment(sample, tiny(), Scripted([], [])).labels.tolist() == [0, 2]


@pytest.mark.parametrize(("share", "corner"), [(0.0, (60, 45)), (0.5, (30, 23)), (1.0, (1, 1))])
def test_a_crop_starts_between_one_and_the_room_that_is_left(share, corner):
    boxes, crowd = np.array([[58.5, 43.5, 62.5, 47.5]]), np.zeros(1, bool)  # its centre lies in all three crops
    # Sides of a half of (90, 120), asked for as shares of 0.3 to 1 of them.
    given = Scripted([1], [0.2 / 0.7, 0.2 / 0.7, share, share])
    rectangle, kept = augmentation.draw_crop(boxes, crowd, (90, 120), given)
    assert rectangle[:2] == corner and kept.all()


def test_augmentation_can_be_switched_off():
    sample = rectangles(7)
    result = augment(sample, tiny(), Scripted([], []))
    np.testing.assert_allclose(result.image, plain_bilinear(sample.image, (128, 128)), atol=2e-3)


def test_transforms_leave_what_they_are_given():
    sample = rectangles(8)
    before = replace(sample, **{name: getattr(sample, name).copy() for name in ("image", "boxes", "masks")})
    for seed in range(5):
        augment(sample, tiny(*STEPS), np.random.default_rng(seed))
    augmentation.flip(sample)
    augmentation.cut_out(sample, (-5, -5, 20, 20), (0, 0, 0))
    for name in ("image", "boxes", "masks"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(before, name), err_msg=name)
