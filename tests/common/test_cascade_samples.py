"""The samples of Cascade Mask R-CNN on Swin: cut, jittered and pasted images, held against whole arrays and OpenCV."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from common.data.coco import CocoDataset, resolve
from common.data.transforms import normalise
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.copy_paste import copy_paste, paste
from common.families.mask_rcnn.crop import draw_rectangle, maybe_crop
from common.families.mask_rcnn.jitter import jitter
from common.families.mask_rcnn.objects import TrainedObjects
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.samples import Training
from common.families.mask_rcnn.settings import RcnnCrop, RcnnJitter
from common.families.mask_rcnn.views import View, cut_out, frame, mirror, resize
from common.models import load_settings
from common.training.randomness import stream
from tests.common.data.coco_files import annotation, image, write
from tests.goldens.data_kinds import GivenDraws

RULES = CONVENTIONS["mmdetection"]
MODEL = "cascade_mask_rcnn_swin_t"
PREPROCESSING = load_settings(MODEL).preprocessing
SIZE = (120, 90)  # height and width


def settings_of(*overrides):
    return load_settings(MODEL, ["num_classes=2", *overrides])


def data_set(root, annotations, sizes=(SIZE,)) -> CocoDataset:
    """Images of noise of the given sizes (H, W), with the numbers 1, 2, ..."""
    records = [image(number, height=height, width=width) for number, (height, width) in enumerate(sizes, 1)]
    write(root, records, annotations, draw=False)
    rng = np.random.default_rng(0)
    for number, size in enumerate(sizes, 1):
        cv2.imwrite(str(root / f"images/{number}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return resolve(root, "train")


def by_rle(identity, mask, **changes):
    packed = rle.encode(np.asfortranarray(mask))
    segmentation = {"size": packed["size"], "counts": packed["counts"].decode()}
    return annotation(identity, 1, **{"segmentation": segmentation, "bbox": rle.toBbox(packed).tolist()} | changes)


def noise_view(size, *rectangles) -> View:
    """An image of noise, and objects that are rectangles (x1, y1, x2, y2) full of pixels."""
    rng = np.random.default_rng(len(rectangles))
    outlines = [Outline(bitmap=np.ones((y2 - y1, x2 - x1), np.uint8), corner=(x1, y1)) for x1, y1, x2, y2 in rectangles]
    boxes = np.array(rectangles, np.float32).reshape(-1, 4)
    objects = TrainedObjects(boxes, np.arange(len(rectangles), dtype=np.int32), outlines)
    return View(rng.integers(0, 256, (*size, 3), dtype=np.uint8), objects)


def whole(outline: Outline, size) -> np.ndarray:
    canvas = np.zeros(size, np.uint8)
    (x, y), (height, width) = outline.corner, outline.bitmap.shape
    canvas[y : y + height, x : x + width] = outline.bitmap
    return canvas


def ends_with_zeros(outline: Outline, size) -> bool:
    """Whether a window has zeros about all pixels, but for where the image of `size` ends."""
    (x, y), (height, width) = outline.corner, outline.bitmap.shape
    edges = [(x > 0, outline.bitmap[:, 0]), (y > 0, outline.bitmap[0])]
    edges += [(x + width < size[1], outline.bitmap[:, -1]), (y + height < size[0], outline.bitmap[-1])]
    return not any(edge.any() for goes_on, edge in edges if goes_on)


def nearest(mask, size):
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)


def test_an_image_is_mirrored_before_it_is_resized(tmp_path):
    mask = np.random.default_rng(1).integers(0, 2, SIZE, dtype=np.uint8)
    settings = settings_of("augmentation.flip=1", "augmentation.short_sides=[139]", "augmentation.crop=null")
    sample = Training(data_set(tmp_path, [by_rle(1, mask)]), settings)(0, stream(0, 0, "augmentation"))
    pixels = resolve(tmp_path, "train").image(0)
    right, wrong = cv2.resize(pixels[:, ::-1], (139, 185)), cv2.resize(pixels, (139, 185))[:, ::-1]
    assert (right != wrong).any()
    np.testing.assert_array_equal(sample["image"], normalise(right, settings.preprocessing))
    shown = nearest(np.ascontiguousarray(mask[:, ::-1]), (185, 139))
    assert (shown != nearest(mask, (185, 139))[:, ::-1]).any()
    np.testing.assert_array_equal(whole(sample["outlines"][0], (185, 139)), shown)


def test_a_cut_image_is_the_original_s_step_by_step(tmp_path):
    """Objects: inside; across a border of the crop; outside; in it by its box alone; all that is left is a border."""
    masks = np.zeros((5, *SIZE), np.uint8)
    masks[0, 40:60, 30:50] = masks[1, 20:50, 60:88] = masks[2, 0:5, 0:5] = masks[3, 0:9, 10:80] = masks[4, :, 0:24] = 1
    boxes = {3: [10.5, 0, 70.25, 60.75], 4: [-2, -1, 25.5, 124]}
    objects = [by_rle(row, mask, **({"bbox": boxes[row]} if row in boxes else {})) for row, mask in enumerate(masks)]
    crop = "{short_sides: [135, 45], sides: [60, 100], probability: 1}"
    settings = settings_of("augmentation.short_sides=[200, 64]", f"augmentation.crop={crop}", "augmentation.flip=0")
    draws = GivenDraws(np.array([0.1, 0.9, 0.6, 0.35, 0.4, 0.7, 0.0]))
    sample = Training(data_set(tmp_path, objects), settings)(0, draws)
    assert len(draws) == 0

    first = (180, 135)  # the factor is 1.5
    height, width = 60 + int(41 * 0.9), 60 + int(41 * 0.6)
    top, left = int((181 - height) * 0.35), int((136 - width) * 0.4)
    assert (height, width, top, left) == (96, 84, 29, 20)
    last = (int(96 * 64 / 84 + 0.5), 64)
    pixels = cv2.resize(resolve(tmp_path, "train").image(0), first[::-1])[top : top + height, left : left + width]
    pixels = cv2.resize(pixels, last[::-1])
    np.testing.assert_array_equal(sample["image"], normalise(pixels, settings.preprocessing))

    expected = np.array([np.add(each["bbox"], [0, 0, *each["bbox"][:2]]) for each in objects], np.float32)
    expected = np.clip(expected * np.float32(1.5), 0, [135, 180, 135, 180]) - np.float32([left, top, left, top])
    expected = np.clip(expected, 0, [width, height, width, height])
    kept = [0, 1, 3, 4]
    assert (expected[2, 2:] <= expected[2, :2]).any()
    expected = expected[kept] * np.tile(np.float32([last[1] / width, last[0] / height]), 2)
    np.testing.assert_allclose(sample["boxes"], expected, rtol=1e-6)
    assert sample["boxes"][3].tolist()[:2] == [0, 0]
    for row, outline in zip(kept, sample["outlines"], strict=True):
        shown = nearest(nearest(masks[row], first)[top : top + height, left : left + width], last)
        np.testing.assert_array_equal(whole(outline, last), shown)
        assert shown.any() == (row != 3) and ends_with_zeros(outline, last)


def test_boxes_are_cut_where_an_image_is_resized(tmp_path):
    settings = settings_of("augmentation.short_sides=[180]", "augmentation.crop=null", "augmentation.flip=1")
    made = Training(data_set(tmp_path, [annotation(1, 1, bbox=[-3, 100, 20, 70])]), settings)
    assert made(0, stream(0, 0, "x"))["boxes"].tolist() == [[146, 200, 180, 240]]


def test_images_are_resized_to_the_original_s_sides():
    augmentation = load_settings(MODEL).augmentation
    assert augmentation.short_sides == tuple(range(480, 801, 32))
    assert augmentation.crop == RcnnCrop(probability=0.5, short_sides=(400, 500, 600), sides=(384, 600))


def test_a_crop_has_the_sides_that_it_may_have():
    ends = [draw_rectangle((700, 650), (384, 600), GivenDraws(np.full(4, share))) for share in (0.0, 0.999999)]
    assert ends == [(0, 0, 384, 384), (50, 100, 650, 700)]
    rng = np.random.default_rng(0)
    found = np.array([draw_rectangle((700, 500), (384, 600), rng) for _ in range(2000)])
    widths, heights = (found[:, 2:] - found[:, :2]).T
    assert (widths.min(), widths.max()) == (384, 500) and heights.min() < 387 and 597 < heights.max() <= 600
    assert heights.mean() == pytest.approx(492, abs=6) and abs(np.corrcoef(widths, heights)[0, 1]) < 0.1
    assert (found >= 0).all() and (found[:, 2:] <= [500, 700]).all()


@pytest.mark.parametrize("size", [(300, 200), (1, 500), (500, 1), (1, 1), (385, 383)])
def test_a_side_shorter_than_the_crop_is_taken_whole(size):
    for seed in range(20):
        left, top, right, bottom = draw_rectangle(size, (384, 600), np.random.default_rng(seed))
        assert right - left == size[1] if size[1] <= 384 else 384 <= right - left <= size[1]
        assert bottom - top == size[0] if size[0] <= 384 else 384 <= bottom - top <= size[0]


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (1, 1)])
def test_a_line_of_pixels_can_be_cut_and_jittered(size):
    view = noise_view(size, (0, 0, size[1], size[0]))
    cut = maybe_crop(view, RcnnCrop(short_sides=(40,), sides=(30, 60), probability=1), 133, RULES, stream(0, 0, "x"))
    assert min(cut.image.shape[:2]) >= 1 and len(frame(cut).objects.labels) == 1
    jittered = jitter(view, RcnnJitter(size=64), PREPROCESSING, RULES, stream(0, 0, "x"))
    assert jittered.image.shape == (64, 64, 3)


def test_half_of_the_images_are_cut():
    crop, view, rng = RcnnCrop(short_sides=(40,), sides=(10, 20)), noise_view((80, 80)), stream(0, 0, "x")
    cut = sum(maybe_crop(view, crop, 100, RULES, rng).image.shape != view.image.shape for _ in range(400))
    assert 160 < cut < 240
    assert maybe_crop(view, None, 100, RULES, rng) is view


def test_a_crop_without_objects_is_trained_on(tmp_path):
    crop = "{short_sides: [90], sides: [30, 30], probability: 1}"
    settings = settings_of("augmentation.short_sides=[64]", f"augmentation.crop={crop}", "augmentation.flip=0")
    made = Training(data_set(tmp_path, [annotation(1, 1)]), settings)
    sample = made(0, GivenDraws(np.array([0, 0, 0, 0.9, 0.9, 0, 0])))
    assert sample["boxes"].shape == (0, 4) and sample["image"].shape == (3, 64, 64)
    batch = made.collate([sample])
    assert batch["host.counts"].tolist() == [0] and batch["image"].shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("changes", "trains"),
    [
        ({}, True),
        ({"ignore": 1}, False),
        ({"area": 0}, False),
        ({"area": 0.5}, True),
        ({"bbox": [5, 5, 0.99, 10]}, False),
        ({"bbox": [5, 5, 10, 0.99]}, False),
        ({"bbox": [5, 5, 1, 1]}, True),
        ({"bbox": [-12, 5, 12, 10]}, False),  # ends where the image begins
        ({"bbox": [90, 5, 10, 10]}, False),
        ({"bbox": [-12, 5, 12.5, 10]}, True),
        ({"iscrowd": 1, "segmentation": {"size": list(SIZE), "counts": [0, 20, SIZE[0] * SIZE[1] - 20]}}, False),
    ],
)
def test_annotations_are_chosen_as_mmdetection_does(tmp_path, changes, trains):
    settings = settings_of("augmentation.short_sides=[90]", "augmentation.crop=null", "augmentation.flip=0")
    data = data_set(tmp_path, [annotation(1, 1), annotation(2, 1, **changes)])
    assert len(Training(data, settings)(0, stream(0, 0, "x"))["boxes"]) == 1 + trains


def test_small_images_and_those_without_objects_are_left_out(tmp_path):
    sizes = [(32, 40), (31, 40), (40, 31), (32, 32), (50, 50)]
    objects = [annotation(number, number) for number in range(1, 5)]
    data = data_set(tmp_path, objects, sizes)
    assert Training(data, settings_of()).positions.tolist() == [0, 3]
    assert Training(data, settings_of("augmentation.empty_images=true")).positions.tolist() == [0, 3, 4]
    assert Training(data, settings_of(), np.array([1, 3])).positions.tolist() == [3]


def test_batches_hold_images_that_are_wider_than_high_or_others(tmp_path):
    sizes = [(40, 41), (40, 40), (41, 40)]
    data = data_set(tmp_path, [annotation(number, number) for number in (1, 2, 3)], sizes)
    wide, square, high = Training(data, settings_of()).groups.tolist()
    assert square == high != wide
    assert Training(data, settings_of("augmentation.jitter={}")).groups is None


def test_jitter_reduces_an_image_and_fills_the_square_up():
    view = noise_view((100, 200), (10, 20, 50, 60), (198, 98, 199, 99))
    small = jitter(view, RcnnJitter(smallest=0.25, largest=0.25, size=160), PREPROCESSING, RULES, stream(0, 0, "x"))
    np.testing.assert_array_equal(small.image[:20, :40], cv2.resize(view.image, (40, 20)))
    assert np.abs(normalise(small.image, PREPROCESSING)[:, 20:]).max() < 0.01
    assert np.abs(normalise(small.image, PREPROCESSING)[:, :, 40:]).max() < 0.01
    # The second object's pixel is not among those that are left.
    assert small.objects.boxes.tolist() == [[2, 4, 10, 12]] and small.objects.labels.tolist() == [0]
    assert frame(small).objects.outlines[0].bitmap.shape == (10, 10)


def test_jitter_enlarges_an_image_and_cuts_the_square_out():
    view = noise_view((100, 200), (10, 20, 50, 60), (0, 0, 4, 4), (100, 0, 200, 100))
    draws = GivenDraws(np.array([0.5, 0.5, 0.0]))
    large = jitter(view, RcnnJitter(smallest=1, largest=3, size=160), PREPROCESSING, RULES, draws)
    # 160 x 320 pixels; of the free 0 below and 160 to the right the crop takes the first half, then none.
    np.testing.assert_array_equal(large.image, cv2.resize(view.image, (320, 160))[:, :160])
    assert large.objects.boxes.tolist() == [[16, 32, 80, 96], [0, 0, 7, 7]]
    last = jitter(
        view, RcnnJitter(size=160), PREPROCESSING, RULES, GivenDraws(np.array([0.999999, 0.999999, 0.999999]))
    )
    np.testing.assert_array_equal(last.image, cv2.resize(view.image, (319, 160))[:, 159:])
    factors = [GivenDraws(np.array([share, 0, 0])) for share in (0, 0.999999)]
    made = [jitter(noise_view((50, 100)), RcnnJitter(size=100), PREPROCESSING, RULES, each) for each in factors]
    assert all(each.image.shape == (100, 100, 3) for each in made)
    grey = made[0].image[-1, -1]
    assert (made[0].image[:5, :10] != grey).any() and (made[0].image[5:] == grey).all()
    assert not (made[1].image == grey).all(axis=2).any()


def test_pasted_objects_hide_others():
    view = noise_view((100, 100), (10, 10, 50, 50), (60, 60, 90, 90), (0, 80, 8, 90), (20, 20, 30, 30), (70, 0, 95, 30))
    source = noise_view((100, 100), (30, 0, 60, 100), (20, 20, 31, 30), (70, 0, 95, 19))
    pasted = paste(view, source)
    cover = np.zeros((100, 100), bool)
    for outline in source.objects.outlines:
        cover |= whole(outline, (100, 100)) > 0
    np.testing.assert_array_equal(pasted.image[cover], source.image[cover])
    np.testing.assert_array_equal(pasted.image[~cover], view.image[~cover])
    # The fourth is hidden; the last has 275 pixels left, and its box has moved by 19.
    assert pasted.objects.boxes[:-3].tolist() == [[10, 10, 30, 50], [60, 60, 90, 90], [0, 80, 8, 90]]
    assert pasted.objects.labels.tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(pasted.objects.boxes[-3:], source.objects.boxes)
    first = whole(view.objects.outlines[0], (100, 100)) * ~cover
    np.testing.assert_array_equal(whole(pasted.objects.outlines[0], (100, 100)), first)
    assert view.objects.outlines[0].bitmap.all()  # the given one is as it was
    assert paste(view, noise_view((100, 100))) is view


@pytest.mark.parametrize(
    ("height", "right", "stays"),
    [(1, 90, True), (1, 89, False), (4, 89, True), (10, 30, False), (7, 43, True), (1, 0, False)],
    ids=["box moves by 10", "by 11", "by 11, 356 pixels left", "300 left", "301 left", "none left"],
)
def test_a_nearly_hidden_object_goes(height, right, stays):
    """An object of 100 pixels in each row, whose pixels from x = `right` on are hidden."""
    view, source = noise_view((40, 100), (0, 0, 100, height)), noise_view((40, 100), (right, 0, 100, height))
    assert len(paste(view, source).objects.labels) == 1 + stays


def test_an_object_without_a_pixel_goes_wherever_its_box_is():
    view, source = noise_view((40, 100), (0, 0, 5, 5)), noise_view((40, 100), (0, 0, 5, 5), (9, 9, 12, 12))
    assert len(paste(view, source).objects.labels) == 2


def test_a_random_part_of_the_objects_is_pasted():
    view, rng = noise_view((50, 50)), stream(0, 0, "x")
    source = noise_view((50, 50), *[(x, 0, x + 5, 9) for x in range(0, 40, 10)])
    drawn = [tuple(copy_paste(view, source, rng).objects.labels.tolist()) for _ in range(1000)]
    counts = np.bincount([len(each) for each in drawn], minlength=5)
    assert (counts > 140).all() and len(set(drawn)) == 16  # of 5 numbers each comes alike, and every part of 4 objects
    assert copy_paste(source, view, rng) is source


def test_jittered_and_pasted_samples_hang_on_their_key_alone(tmp_path):
    corners = [[x, 5, x + 8, 5, x + 8, 15, x, 15] for x in range(0, 60, 10)]
    objects = [
        annotation(row + 1, 1 + row % 2, segmentation=[corner], category_id=[2, 7][row % 2])
        for row, corner in enumerate(corners)
    ]
    data = data_set(tmp_path, objects, ((60, 80), (90, 70)))
    jittered = ["augmentation.jitter={size: 128, smallest: 0.5}", "augmentation.flip=0"]
    plain, pasted = (Training(data, settings_of(*jittered, f"augmentation.copy_paste={share}")) for share in (0, 1))
    first, again, other = (pasted(0, stream(0, key, "augmentation")) for key in (1, 1, 2))
    for name in ("image", "boxes", "labels"):
        np.testing.assert_array_equal(first[name], again[name])
    assert first["seed"] == again["seed"] != other["seed"]
    assert first["image"].shape == (3, 128, 128) and (first["image"] != other["image"]).any()
    counts = [
        (len(plain(0, stream(0, key, "a"))["boxes"]), len(pasted(0, stream(0, key, "a"))["boxes"])) for key in range(20)
    ]
    assert sum(with_others > alone for alone, with_others in counts) > 8
    labels = [set(pasted(0, stream(0, key, "a"))["labels"].tolist()) for key in range(20)]
    assert {0, 1} in labels  # of the two images, each of which has objects of one class
    batch = pasted.collate([first, other])
    assert batch["host.image_size"].tolist() == [[128, 128]] * 2
    for outline, box in zip(first["outlines"], first["boxes"], strict=True):
        rows, columns = np.nonzero(whole(outline, (128, 128)))
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_modelscope_s_variant_trains_on_jittered_squares_for_50_epochs(tmp_path):
    settings = load_settings("cascade_mask_rcnn_swin_b_modelscope", ["num_classes=2"])
    augmentation, schedule = settings.augmentation, settings.schedule
    assert augmentation.jitter == RcnnJitter(smallest=0.1, largest=2, size=1024) and augmentation.copy_paste == 1
    assert augmentation.crop is None and schedule.iterations == 50 * 7330 and schedule.batch_size == 16
    samples = Training(data_set(tmp_path, [annotation(1, 1), annotation(2, 2)], ((60, 80), (90, 70))), settings)
    assert samples(0, stream(0, 0, "x"))["image"].shape == (3, 1024, 1024)


def test_steps_move_bitmaps_as_they_would_whole_ones():
    rng = np.random.default_rng(3)
    for _ in range(60):
        size = tuple(rng.integers(5, 60, 2).tolist())
        mask = (rng.random(size) < 0.02).astype(np.uint8)
        packed = noise_view(size, (0, 0, size[1], size[0]))
        view = replace(packed, objects=replace(packed.objects, outlines=[Outline(bitmap=mask)]))
        between, last = (tuple(rng.integers(5, 90, 2).tolist()) for _ in range(2))
        left, top, right, bottom = draw_rectangle(between, (3, 40), rng)
        view = resize(mirror(view, (True, True), RULES), between, RULES)
        view = frame(resize(cut_out(view, (left, top, right, bottom)), last, RULES))
        expected = nearest(nearest(np.ascontiguousarray(mask[::-1, ::-1]), between)[top:bottom, left:right], last)
        (outline,) = view.objects.outlines
        np.testing.assert_array_equal(whole(outline, last), expected)
        assert ends_with_zeros(outline, last)
        assert outline.bitmap.size <= max(1, (np.ptp(np.nonzero(expected), axis=1) + 3).prod() if expected.any() else 1)


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("mask_rcnn_r50_fpn", ["augmentation.crop={short_sides: [400], sides: [384, 600]}"], "step by step"),
        ("mask_rcnn_r50_fpn_torchvision", ["augmentation.jitter={}"], "step by step"),
        (MODEL, ["augmentation.copy_paste=0.5"], "images of one size"),
        (MODEL, ["augmentation.crop={short_sides: [400], sides: [600, 384]}"], "shortest comes first"),
        (MODEL, ["augmentation.jitter={smallest: 2, largest: 1}"], "more than largest"),
    ],
)
def test_settings_that_do_not_fit_are_refused(model, overrides, message):
    with pytest.raises(Exception, match=message):
        load_settings(model, overrides)
