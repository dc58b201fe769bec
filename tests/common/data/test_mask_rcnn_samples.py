"""Mask R-CNN's samples from data on disk: each original's boxes, polygons and bitmaps, and batches of many sizes."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from common.data.check import check
from common.data.coco import CocoDataset, resolve
from common.data.loader import Loader, ordered
from common.data.shapes import write_shapes
from common.errors import UserError
from common.families.mask_rcnn.colour_jitter import jitter_colours
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.outlines import unpack_outlines
from common.families.mask_rcnn.resizing import find_nearest, resize
from common.families.mask_rcnn.samples import Inference, Training, join, prepare
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.targets import make_mask_targets, pool_bitmap_targets
from common.models import load_settings
from common.training.randomness import stream
from tests.common.data.coco_files import HEIGHT, WIDTH, annotation, image, write

FAMILIES = {"maskrcnn_benchmark": "", "torchvision": "_torchvision", "detectron2": "_detectron2"}
# The image of 40 x 30 pixels becomes twice as large.
SMALL = ["num_classes=2", "preprocessing.short_side=60", "preprocessing.long_side=100"]
BLOB = np.zeros((HEIGHT, WIDTH), np.uint8)
BLOB[4:20, 3:9] = BLOB[10:20, 3:30] = 1
# Which of 40 mirrored columns torch.nn.functional.interpolate shows in 66, and of 30 mirrored rows in 50.
MIRRORED_COLUMNS = [
    39, 39, 38, 38, 37, 36, 36, 35, 35, 34, 33, 33, 32, 32, 31, 30, 30, 29, 29, 28, 27, 27, 26, 26, 25, 24, 24, 23, 23,
    22, 21, 21, 20, 19, 19, 18, 18, 17, 16, 16, 15, 15, 14, 13, 13, 12, 12, 11, 10, 10, 9, 9, 8, 7, 7, 6, 6, 5, 4, 4,
    3, 3, 2, 1, 1, 0,
]  # fmt: skip
MIRRORED_ROWS = [
    29, 29, 28, 28, 27, 26, 26, 25, 25, 24, 23, 23, 22, 22, 21, 20, 20, 19, 19, 18, 17, 17, 16, 16, 15, 14, 14, 13, 13,
    12, 11, 11, 10, 10, 9, 8, 8, 7, 7, 6, 5, 5, 4, 4, 3, 2, 2, 1, 1, 0,
]  # fmt: skip


def settings_of(family: str, *overrides: str) -> MaskRcnnSettings:
    plain = ["augmentation.flip=false", "augmentation.short_sides=[]"]
    return load_settings(f"mask_rcnn_r50_fpn{FAMILIES[family]}", [*SMALL, *plain, *overrides])


def by_rle(identity: int, image_id: int, mask: np.ndarray, **changes) -> dict:
    packed = rle.encode(np.asfortranarray(mask))
    segmentation = {"size": packed["size"], "counts": packed["counts"].decode()}
    box = rle.toBbox(packed).tolist()
    return annotation(identity, image_id, segmentation=segmentation, bbox=box, **changes)


def training(root: Path, annotations: list, settings: MaskRcnnSettings, images: int = 1) -> Training:
    root = write(root, [image(number) for number in range(1, images + 1)], annotations)
    return Training(resolve(root, "train"), settings)


def sample_of(made: Training, index: int = 0) -> dict:
    return made(index, stream(0, index, "augmentation"))


@pytest.fixture
def mirrored(monkeypatch):
    monkeypatch.setattr("common.families.mask_rcnn.samples.maybe", lambda rng, probability: probability > 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_and_polygons_follow_the_image(tmp_path, family):
    made = training(tmp_path, [annotation(1, 1)], settings_of(family))
    sample = sample_of(made)
    assert sample["image"].shape == (3, 60, 80) and sample["image"].dtype == np.float32
    # 10 pixels from 5 on: the last one is 14 in maskrcnn-benchmark, while the others' box ends at 15.
    end = 28 if family == "maskrcnn_benchmark" else 30
    assert sample["boxes"].tolist() == [[10, 10, end, end]] and sample["boxes"].dtype == np.float32
    # The category of id 2 comes first; so does the background, but in detectron2.
    assert sample["labels"].tolist() == [0 if family == "detectron2" else 1]
    (form,) = sample["outlines"]
    if family == "torchvision":
        assert form.bitmap.sum() == 20 * 20
    else:
        (polygon,) = form.polygons
        assert polygon.tolist() == [10, 10, 30, 10, 30, 30, 10, 30]


@pytest.mark.parametrize("family", FAMILIES)
def test_mirroring_moves_image_boxes_and_forms(tmp_path, family, mirrored):
    settings = settings_of(family, "augmentation.flip=true")
    rules = settings.rules
    made = training(tmp_path, [annotation(1, 1), by_rle(2, 1, BLOB)], settings)
    sample = sample_of(made)
    pixels = resize(made.dataset.image(0), (60, 80), settings.preprocessing, rules)
    np.testing.assert_array_equal(sample["image"], pixels[:, :, ::-1])
    by_pixels = family == "maskrcnn_benchmark"
    assert sample["boxes"][0].tolist() == ([51, 10, 69, 28] if by_pixels else [50, 10, 70, 30])
    if family != "torchvision":
        x = [69, 49, 49, 69] if by_pixels else [70, 50, 50, 70]
        assert (
            sample["outlines"][0].polygons[0].tolist() == np.stack([x, [10, 10, 30, 30]], axis=1).reshape(-1).tolist()
        )
    assert_shows(
        sample["outlines"][1], BLOB[find_nearest(HEIGHT, 60, rules)[:, None], find_nearest(WIDTH, 80, rules)][:, ::-1]
    )


@pytest.mark.parametrize("is_turned_over", [False, True])
def test_torchvision_mirrors_a_mask_before_it_resizes_it(tmp_path, mirrored, is_turned_over):
    flips = ["augmentation.flip=true", f"augmentation.vertical_flip={int(is_turned_over)}"]
    settings = settings_of("torchvision", *flips, "preprocessing.short_side=50")
    sample = sample_of(training(tmp_path, [by_rle(1, 1, BLOB)], settings))
    assert sample["image"].shape == (3, 50, 66)
    rows = np.array(MIRRORED_ROWS) if is_turned_over else find_nearest(HEIGHT, 50, settings.rules)
    assert_shows(sample["outlines"][0], BLOB[rows[:, None], MIRRORED_COLUMNS])


# maskrcnn-benchmark's own transforms of an image of 40 x 30 and one object to a short side of 60, by whether left and
# right, top and bottom change places: a few values and the sum of the image, the box, the polygon.
MIRRORED = {
    (0, 1): (
        [-83.9801, -21.7717, 56.0535, 126.0199, 173241.1406],
        [8, 20, 38, 54],
        [8, 53, 40, 49, 36, 17, 12, 24],
    ),
    (1, 1): (
        [95.0199, -90.7717, -5.9465, 81.0199, 173241.1406],
        [41, 20, 71, 54],
        [71, 53, 39, 49, 43, 17, 67, 24],
    ),
}


@pytest.mark.parametrize(("flips", "expected"), MIRRORED.items())
def test_mirroring_top_to_bottom_is_maskrcnn_benchmarks(tmp_path, flips, expected):
    settings = settings_of(
        "maskrcnn_benchmark", f"augmentation.flip={flips[0]}", f"augmentation.vertical_flip={flips[1]}"
    )
    polygon = [4, 3, 20, 5, 18, 21, 6, 17.5]
    made = training(tmp_path, [annotation(1, 1, bbox=[4, 3, 16, 18], segmentation=[polygon])], settings)
    pixels = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "images" / "1.png"), pixels[:, :, ::-1])
    sample = sample_of(made)
    image = sample["image"]
    values = [image[0, 0, 0], image[2, 0, 0], image[1, 7, 11], image[0, 59, 79], image.sum(dtype=np.float64)]
    assert np.allclose(values, expected[0], atol=1e-3)
    assert sample["boxes"].tolist() == [expected[1]]
    assert sample["outlines"][0].polygons[0].tolist() == expected[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_mirroring_top_to_bottom_moves_bitmaps(tmp_path, family):
    made = training(tmp_path, [by_rle(1, 1, BLOB)], settings_of(family, "augmentation.vertical_flip=1"))
    rows, columns = find_nearest(HEIGHT, 60, CONVENTIONS[family]), find_nearest(WIDTH, 80, CONVENTIONS[family])
    assert_shows(sample_of(made)["outlines"][0], BLOB[rows[:, None], columns][::-1])


@pytest.mark.parametrize(("probability", "low", "high"), [(0.2, 20, 60), (0.5, 75, 125), (0.9, 160, 195)])
def test_images_are_mirrored_as_often_as_is_said(tmp_path, probability, low, high):
    """Each of the two for itself; of 200 samples."""
    settings = settings_of("detectron2", f"augmentation.flip={probability}", "augmentation.vertical_flip=0.5")
    made = training(tmp_path, [annotation(1, 1)], settings)
    boxes = np.array([made(0, stream(0, index, "augmentation"))["boxes"][0] for index in range(200)])
    assert low < np.count_nonzero(boxes[:, 0] == 50) < high
    assert 75 < np.count_nonzero(boxes[:, 1] == 30) < 125


def test_colours_change_before_the_image_is_resized(tmp_path):
    settings = settings_of("maskrcnn_benchmark", "augmentation.brightness=0.5", "augmentation.hue=0.2")
    made = training(tmp_path, [annotation(1, 1)], settings)
    rng = stream(0, 0, "augmentation")
    changed = jitter_colours(made.dataset.image(0), settings.augmentation, rng)
    expected = resize(changed, (60, 80), settings.preprocessing, settings.rules)
    assert np.array_equal(sample_of(made)["image"], expected)
    assert not np.array_equal(changed, made.dataset.image(0))


def assert_shows(form, mask):
    """The window holds all of the mask, with an edge of zeros but where the image ends."""
    x, y = form.corner
    height, width = form.bitmap.shape
    whole = np.zeros_like(mask)
    whole[y : y + height, x : x + width] = form.bitmap
    np.testing.assert_array_equal(whole, mask)
    for edge, at_border in (
        (form.bitmap[0], y == 0),
        (form.bitmap[:, 0], x == 0),
        (form.bitmap[-1], y + height == mask.shape[0]),
        (form.bitmap[:, -1], x + width == mask.shape[1]),
    ):
        assert at_border or not edge.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_rle_keeps_its_bitmap_and_what_is_pooled_from_it(tmp_path, family):
    corner = np.zeros_like(BLOB)
    corner[25:, 35:] = 1
    made = training(tmp_path, [by_rle(1, 1, BLOB), by_rle(2, 1, corner)], settings_of(family))
    sample = sample_of(made)
    rows, columns = find_nearest(HEIGHT, 60, CONVENTIONS[family]), find_nearest(WIDTH, 80, CONVENTIONS[family])
    masks = np.stack([mask[rows[:, None], columns] for mask in (BLOB, corner)])
    for form, mask in zip(sample["outlines"], masks, strict=True):
        assert form.polygons == () and form.bitmap.dtype == np.uint8
        assert_shows(form, mask)
    boxes = np.float32([[1, 1, 70, 50], [8.4, 9.2, 30.3, 41.9], [60, 40, 80, 60], [72.5, 51, 79, 59.5]])
    objects = np.array([0, 0, 1, 1])
    whole = pool_bitmap_targets(masks, objects, boxes, 14, CONVENTIONS[family])
    pooled = make_mask_targets([sample["outlines"][k] for k in objects], boxes, (60, 80), 14, CONVENTIONS[family])
    expected = whole if family == "torchvision" else (whole >= 0.5).astype(np.float32)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    assert expected.any()


def test_torchvision_takes_bitmaps_of_polygons_too(tmp_path):
    triangle = [[2.5, 3, 37, 11.5, 12, 28]]
    made = training(
        tmp_path, [annotation(1, 1, segmentation=triangle, bbox=[2, 3, 35, 25])], settings_of("torchvision")
    )
    drawn, rules = rle.decode(rle.merge(rle.frPyObjects(triangle, HEIGHT, WIDTH))), CONVENTIONS["torchvision"]
    expected = drawn[find_nearest(HEIGHT, 60, rules)[:, None], find_nearest(WIDTH, 80, rules)]
    assert_shows(sample_of(made)["outlines"][0], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cannot_be_trained_on_is_left_out(tmp_path, family):
    annotations = [
        annotation(1, 1, iscrowd=1),
        annotation(2, 1, segmentation=[[5, 5, 15, 15]]),  # no polygon
        annotation(3, 1, segmentation=[[5, 5, 6, 6], [5, 5, 25, 5, 25, 15]]),  # one of two is
        annotation(4, 1, bbox=[50, 5, 10, 10]),  # outside
        annotation(5, 1, bbox=[5, 5, 0, 10]),
        annotation(6, 1, bbox=[30, 20, 30, 30], category_id=7),  # across the border
        annotation(7, 1, bbox=[8, 8, 1, 10]),
    ]
    sample = sample_of(training(tmp_path, annotations, settings_of(family)))
    first = 0 if family == "detectron2" else 1
    if family == "maskrcnn_benchmark":  # for which a box of one pixel's width has none
        assert sample["boxes"].tolist() == [[10, 10, 28, 28], [60, 40, 78, 58]]
        assert sample["labels"].tolist() == [first, first + 1]
    else:
        assert sample["boxes"].tolist() == [[10, 10, 30, 30], [60, 40, 80, 60], [16, 16, 18, 36]]
        assert sample["labels"].tolist() == [first, first + 1, first]
    if family != "torchvision":
        assert [polygon.tolist() for polygon in sample["outlines"][0].polygons] == [[10, 10, 50, 10, 50, 30]]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_object_whose_mask_has_no_pixel_is_trained_on(tmp_path, family):
    """Of polygons in every original; a bitmap without a pixel is dropped by detectron2."""
    point = annotation(1, 1, segmentation=[[3.2, 3.2, 3.2, 3.2, 3.2, 3.2]], bbox=[3, 3, 4, 4])
    bitmap = annotation(2, 1, segmentation={"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]})
    sample = sample_of(training(tmp_path, [point, bitmap], settings_of(family)))
    assert len(sample["boxes"]) == len(sample["outlines"]) == (1 if family == "detectron2" else 2)
    targets = make_mask_targets(sample["outlines"], sample["boxes"], (60, 80), 14, CONVENTIONS[family])
    assert not targets[1:].any() and targets.shape[1:] == (14, 14)
    batch = Training.collate(training(tmp_path, [point, bitmap], settings_of(family)), [sample])
    assert [len(form.polygons) for form in unpack_outlines(batch)] == [
        len(form.polygons) for form in sample["outlines"]
    ]


def test_images_without_objects_are_trained_on_or_left_out(tmp_path):
    root = write(tmp_path, [image(1), image(2), image(3)], [annotation(1, 2), annotation(2, 3, iscrowd=1)])
    dataset = resolve(root, "train")
    with_all = Training(dataset, settings_of("maskrcnn_benchmark"))
    assert with_all.positions.tolist() == [0, 1, 2]
    settings = settings_of("maskrcnn_benchmark", "augmentation.empty_images=false")
    assert Training(dataset, settings).positions.tolist() == [1]
    assert check(dataset, empty_images=True).usable.tolist() == [0, 1, 2]
    assert "2 images without an object, trained on as such (1, 3)" in str(check(dataset, empty_images=True))
    assert check(dataset).usable.tolist() == [1]
    assert [sample_of(Training(dataset, settings, np.array([2])))["boxes"].shape] == [(0, 4)]

    batch = with_all.collate([sample_of(with_all, index) for index in range(3)])
    assert batch["host.counts"].tolist() == [0, 1, 0] and batch["host.boxes"].shape == (1, 4)
    assert (batch["anchor_labels"] == 1).any(axis=1).tolist() == [False, True, False]
    assert (batch["anchor_labels"] == 0).any(axis=1).all()
    empty = with_all.collate([sample_of(with_all, 0)])
    assert empty["host.boxes"].shape == (0, 4) and unpack_outlines(empty) == []


def different(root: Path) -> CocoDataset:
    """Images of 40 x 30, 30 x 40 and 40 x 40."""
    sizes = [(30, 40), (40, 30), (40, 40)]
    images = [image(n, height=h, width=w) for n, (h, w) in enumerate(sizes, start=1)]
    root = write(root, images, [annotation(n, n) for n in (1, 2, 3)], draw=False)
    for number, (height, width) in enumerate(sizes, start=1):
        pixels = np.full((height, width, 3), 40 * number, np.uint8)
        cv2.imwrite(str(root / "images" / f"{number}.png"), pixels)
    return resolve(root, "train")


@pytest.mark.parametrize(
    ("multiple", "chosen", "padded"), [(32, (0, 1, 2), (96, 96)), (32, (0,), (64, 96)), (1, (0, 1), (80, 80))]
)
def test_images_of_different_sizes_are_padded_to_one(tmp_path, multiple, chosen, padded):
    settings = settings_of("maskrcnn_benchmark", f"preprocessing.pad_multiple={multiple}")
    made = Training(different(tmp_path), settings)
    samples = [sample_of(made, index) for index in chosen]
    batch = made.collate(samples)
    assert batch["image"].shape == (len(chosen), 3, *padded)
    sizes = [[60, 80], [80, 60], [60, 60]]
    assert batch["host.image_size"].tolist() == [sizes[index] for index in chosen]
    for image_, sample, (height, width) in zip(batch["image"], samples, batch["host.image_size"], strict=True):
        np.testing.assert_array_equal(image_[:, :height, :width], sample["image"])
        assert not image_[:, height:].any() and not image_[:, :, width:].any()
    for row, sample in enumerate(samples):
        size = tuple(batch["host.image_size"][row].tolist())
        alone = make_anchor_targets(sample["boxes"], size, padded, settings, int(sample["seed"]))
        for name, array in alone.items():
            np.testing.assert_array_equal(batch[name][row], array)


def test_prediction_gets_sizes_and_no_objects(tmp_path):
    dataset = different(tmp_path)
    settings = settings_of("detectron2")
    made = Inference(dataset, settings)
    (batch,) = ordered(made, made.collate, len(made), 3, workers=0)
    assert batch["image_id"].tolist() == [1, 2, 3]
    assert batch["original_size"].tolist() == [[30, 40], [40, 30], [40, 40]]
    assert batch["image_size"].tolist() == [[60, 80], [80, 60], [60, 60]] and batch["image"].shape == (3, 3, 96, 96)
    alone = join([prepare(dataset.image(1), settings)], settings)
    assert alone.keys() == {"image", "image_size", "original_size"} and alone["image"].shape == (1, 3, 96, 64)
    np.testing.assert_array_equal(alone["image"][0, :, :80, :60], batch["image"][1, :, :80, :60])


def test_short_sides_are_drawn(tmp_path):
    made = training(tmp_path, [annotation(1, 1)], settings_of("detectron2", "augmentation.short_sides=[30,45,60]"))
    shapes = [made(0, stream(0, step, "x"))["image"].shape[1:] for step in range(30)]
    assert set(shapes) == {(30, 40), (45, 60), (60, 80)}
    sample = made(0, stream(0, shapes.index((45, 60)), "x"))
    np.testing.assert_allclose(sample["boxes"], [[7.5, 7.5, 22.5, 22.5]])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=12, seed=2)


def batches(root: Path, workers: int) -> list[dict[str, np.ndarray]]:
    made = Training(resolve(root, "train"), load_settings("mask_rcnn_tiny"))
    with Loader(made, made.collate, len(made), 4, 9, workers) as loader:
        return [batch for _, batch in islice(loader, 4)]


def test_batches_are_equal_with_any_number_of_workers(shapes):
    expected = batches(shapes, 0)
    assert len({tuple(batch["host.seed"]) for batch in expected}) == 4
    for one, other in zip(batches(shapes, 2), expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_another_number_of_classes_is_refused(shapes):
    with pytest.raises(UserError, match="has 4 classes, mask_rcnn_r50_fpn is set for 80; num_classes=4 makes it fit"):
        Training(resolve(shapes, "train"), load_settings("mask_rcnn_r50_fpn"))


def test_a_missing_image_is_named(tmp_path):
    made = training(tmp_path, [annotation(1, 1)], settings_of("torchvision"))
    (tmp_path / "images/1.png").unlink()
    loader = Loader(made, made.collate, 1, 1, 0, workers=0)
    with pytest.raises(UserError, match=r"^image 1 \(.*No such file or directory$"):
        next(loader)


def test_training_may_bound_the_long_side_otherwise(tmp_path):
    """The image of 40 x 30 pixels at a short side of 60, at most 64 long: 64 x 48."""
    settings = settings_of("detectron2", "augmentation.long_side=64")
    made = training(tmp_path, [annotation(1, 1)], settings)
    assert sample_of(made)["image"].shape == (3, 48, 64)
    assert prepare(np.zeros((HEIGHT, WIDTH, 3), np.uint8), settings)["image"].shape == (3, 60, 80)
