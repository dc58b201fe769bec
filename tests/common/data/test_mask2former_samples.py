"""Mask2Former's samples: squares with masks for both tasks, batches, and images for prediction."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from common.data.coco import resolve
from common.families.mask2former.augmentation import Cut, clip_polygon, cut_image, cut_map, cut_polygons, draw_cut
from common.families.mask2former.samples import Inference, Training, collate, join, prepare
from common.families.mask2former.settings import Mask2FormerSettings
from common.models import load_settings
from common.training.randomness import stream
from tests.common.data import coco_files, panoptic_files
from tests.common.data.coco_files import HEIGHT, WIDTH, image
from tests.common.data.panoptic_files import DOG, SKY, segment
from tests.goldens.data_kinds import GivenDraws

SIDE = 64
PANOPTIC = ["num_classes=3", "things=2", f"augmentation.size={SIDE}"]
INSTANCES = ["task=instances", "num_classes=2", "things=2", f"augmentation.size={SIDE}"]
# An image of 40 x 30 that just fits is 64 x 48; one of twice the scale is cut at its upper left corner.
FITS, TWICE, FAR = (0.9, 0.5, 0.0, 0.0), (0.9, 1.0, 0.0, 0.0), (0.9, 1.0, 1.0, 0.0)
SCALES = ["augmentation.smallest=1e-9", "augmentation.largest=2"]


def settings_of(task: list[str], *overrides: str) -> Mask2FormerSettings:
    return load_settings("mask2former_tiny", [*task, *SCALES, *overrides])


def sample_of(made: Training, flip: float, *numbers: float) -> dict:
    """The sample of the first image by given draws; it is mirrored where flip is not below a half."""
    draws = GivenDraws(np.array([flip, *numbers]))
    sample = made(0, draws)
    assert not len(draws)
    return sample


def panoptic(root: Path, *segments: dict) -> Training:
    root = panoptic_files.write(root, [image(1)], [panoptic_files.annotation(1, *segments)])
    return Training(panoptic_files.opened(root), settings_of(PANOPTIC))


def instances(root: Path, *annotations: dict) -> Training:
    root = coco_files.write(root, [image(1)], list(annotations))
    return Training(resolve(root, "train"), settings_of(INSTANCES))


def test_sides_are_rounded_to_even_halves_and_the_corner_lies_on_a_diagonal():
    scales = ["augmentation.smallest=0.5", "augmentation.largest=1.5"]
    augmentation = settings_of(PANOPTIC, *scales).augmentation

    def cut(size: tuple[int, int], scale: float, place: float, flip: float = 0.0) -> Cut:
        return draw_cut(size, augmentation, GivenDraws(np.array([flip, scale - 0.5, place])))

    # 64 * 1.015625 is 65: times 20 / 40 it is 32.5, and times 12 / 40 it is 19.5.
    assert cut((20, 40), 1.015625, 0.3) == Cut((20, 40), False, (32, 65), (0, 0), SIDE)
    other = cut((12, 40), 1.015625, 0.3, 0.5)
    assert other.mirrored and other.resized == (20, 65) and other.shown == (20, 64)
    larger = cut((30, 40), 2.0, 0.5)
    assert larger.resized == (96, 128) and larger.corner == (32, 16) and larger.shown == (64, 64)
    # Of 63 and 61 the halves are 31.5 and 30.5.
    assert cut((125, 127), 127 / 64, 0.5).corner == (32, 30)
    # A long image does not vanish.
    assert cut((2, 900), 1.0, 0.0).resized == (1, 64)


def test_an_image_stands_on_grey_and_is_pillows():
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    square = cut_image(pixels, Cut((HEIGHT, WIDTH), True, (45, 100), (20, 0), SIDE))
    resized = Image.fromarray(pixels[:, ::-1].copy()).resize((100, 45), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(square[:45], np.asarray(resized)[:, 20:84])
    assert square.shape == (SIDE, SIDE, 3) and (square[45:] == 128).all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("resized", [(7, 9), (90, 77), (33, 101), (200, 150)])
def test_a_map_is_pillows_nearest_one(mirrored, resized):
    ids = np.random.default_rng(1).integers(0, 2**24, (HEIGHT, WIDTH)).astype(np.int32)
    cut = Cut((HEIGHT, WIDTH), mirrored, resized, (min(5, max(resized[1] - SIDE, 0)), 0), SIDE)
    whole = Image.fromarray(ids[:, ::-1].copy() if mirrored else ids)
    expected = np.asarray(whole.resize(resized[::-1], Image.Resampling.NEAREST))
    x = cut.corner[0]
    np.testing.assert_array_equal(cut_map(ids, cut), expected[:SIDE, x : x + SIDE])


def test_segments_follow_the_image(tmp_path):
    made = panoptic(tmp_path)
    sample = sample_of(made, *FITS)  # mirrored
    assert sample["image"].shape == (3, SIDE, SIDE) and sample["image"].dtype == np.float32
    assert sample["labels"].tolist() == [0, 2] and sample["labels"].dtype == np.int32
    assert sample["masks"].shape == (2, SIDE, SIDE) and sample["masks"].dtype == np.uint8
    dog, sky = np.zeros((2, SIDE, SIDE), np.uint8)
    dog[:48, 48:], sky[:48, :32] = 1, 1
    np.testing.assert_array_equal(sample["masks"], [dog, sky])
    assert sample_of(made, 0.1, *FITS[1:])["masks"][0, :48, :16].all()
    # Grey is normalised like any colour.
    preprocessing = made.settings.preprocessing
    grey = (128 - np.array(preprocessing.mean)) / preprocessing.deviation
    np.testing.assert_allclose(sample["image"][:, -1, -1], grey, rtol=1e-6)


def test_segments_that_are_cut_away_stay_and_crowds_go(tmp_path):
    made = panoptic(tmp_path / "a", segment(DOG), segment(SKY, iscrowd=1))
    sample = sample_of(made, *TWICE)
    # Mirrored and twice as large, the square shows the image's right half: no dog is there.
    assert sample["labels"].tolist() == [0] and not sample["masks"].any()
    assert sample_of(made, *FAR)["masks"].sum() == 32 * SIDE
    empty = sample_of(panoptic(tmp_path / "b", segment(DOG, iscrowd=1)), *FITS)
    assert empty["masks"].shape == (0, SIDE, SIDE) and empty["labels"].shape == (0,)


def test_polygons_follow_the_image_and_are_drawn_in_the_square(tmp_path):
    made = instances(tmp_path, coco_files.annotation(1, 1), coco_files.annotation(2, 1, iscrowd=1, category_id=7))
    sample = sample_of(made, *FITS)
    # (5, 5) to (15, 15) in 40 x 30 becomes, mirrored and 1.6 times as large, (40, 8) to (56, 24).
    expected = np.zeros((SIDE, SIDE), np.uint8)
    expected[8:24, 40:56] = 1
    assert sample["labels"].tolist() == [0]
    np.testing.assert_array_equal(sample["masks"], [expected])
    polygon = [[4, 3, 20, 5.5, 18, 21, 6, 17.5]]
    sample = sample_of(instances(tmp_path / "b", coco_files.annotation(1, 1, segmentation=polygon)), 0.2, *FITS[1:])
    drawn = rle.decode(rle.merge(rle.frPyObjects((np.array(polygon) * 1.6).tolist(), SIDE, SIDE)))
    np.testing.assert_array_equal(sample["masks"], [drawn])


def test_objects_that_are_cut_away_go(tmp_path):
    packed = rle.encode(np.asfortranarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)[:, ::-1]))
    bitmap = {"size": packed["size"], "counts": packed["counts"].decode()}
    made = instances(
        tmp_path,
        coco_files.annotation(1, 1),
        coco_files.annotation(2, 1, segmentation=bitmap, category_id=7),
        coco_files.annotation(3, 1, segmentation=[[1, 2]]),
    )
    assert sample_of(made, 0.1, *FITS[1:])["labels"].tolist() == [0, 1]
    near, far = sample_of(made, 0.1, *TWICE[1:]), sample_of(made, 0.1, *FAR[1:])
    # Twice as large the square shows x and y below 20, or x from 20 and y from 10 on.
    assert near["labels"].tolist() == [0] and near["masks"][0].any()
    assert far["labels"].tolist() == [1] and far["masks"][0].any()


def test_a_clipped_polygon_covers_what_the_whole_one_covers_there():
    rng = np.random.default_rng(2)
    for _ in range(200):
        points = rng.uniform(-60, 124, (int(rng.integers(3, 9)), 2))
        clipped = clip_polygon(points, float(SIDE))
        assert not len(clipped) or (clipped.min() >= 0 and clipped.max() <= SIDE)
        whole = rle.decode(rle.merge(rle.frPyObjects([(points + 64).ravel().tolist()], 192, 192)))[64:128, 64:128]
        if len(clipped) < 3:
            assert whole.sum() <= 2
            continue
        part = rle.decode(rle.merge(rle.frPyObjects([clipped.ravel().tolist()], SIDE, SIDE)))
        # A pixel along the edges may be drawn otherwise, as their ends are rounded to pycocotools' finer grid.
        assert (whole != part).mean() < 0.01
    inside = np.array([[1.0, 2], [30, 4], [20, 40]])
    assert clip_polygon(inside, 64.0) is inside


def test_polygons_without_area_in_the_square_are_left_out():
    cut = Cut((SIDE, SIDE), False, (SIDE, SIDE), (0, 0), SIDE)
    around_the_corner = np.array([-5.0, 20, -5, -5, 20, -5, 20, -2, -2, -2, -2, 20])
    along_the_border = np.array([0.0, 3, 0, 30, -9, 20])
    inside = np.array([10.0, 10, 70, 10, 70, 70])
    (kept,) = cut_polygons((around_the_corner, along_the_border, inside), cut)
    assert kept.reshape(-1, 2).tolist() == [[10, 10], [64, 10], [64, 64]]


def test_a_batch_has_all_masks_one_after_the_other(tmp_path):
    made = panoptic(tmp_path)
    settings, rng = made.settings, stream(0, 0, "augmentation")
    whole, nothing = made(0, rng), made(0, rng)
    nothing |= {"labels": nothing["labels"][:0], "masks": nothing["masks"][:0], "seed": np.int64(5)}
    batch = made.collate([whole, nothing, whole])
    assert batch["image"].shape == (3, 3, SIDE, SIDE) and batch["masks"].shape == (4, SIDE, SIDE)
    assert batch["host.counts"].tolist() == [2, 0, 2] and batch["host.labels"].tolist() == [0, 2, 0, 2]
    assert batch["host.seed"].tolist()[1] == 5 and batch["image_id"].tolist() == [1, 1, 1]
    assert batch["normaliser.masks"] == 4 and batch["normaliser.masks"].dtype == np.float32
    assert batch["normaliser.classes"] == pytest.approx(4 + (3 * settings.network.queries - 4) * 0.1)
    assert batch["branch_scales"].shape == (3, 2 * settings.network.backbone.blocks)
    alone = collate([nothing], settings)
    assert alone["masks"].shape == (1, SIDE, SIDE) and not alone["masks"].any()
    assert alone["host.labels"].shape == (0,) and alone["normaliser.masks"] == 0
    few = load_settings("mask2former_tiny", [*PANOPTIC, "network.queries=1", "network.drop_path=0"])
    crowded = collate([whole, nothing], few)
    # More segments than queries: each query has one, and what a query can have is what is counted.
    assert crowded["normaliser.classes"] == pytest.approx(1 + 0.1) and crowded["normaliser.masks"] == 2
    assert "branch_scales" not in crowded


@pytest.mark.parametrize(
    ("size", "resized"), [((480, 640), (800, 1067)), ((640, 427), (1199, 800)), ((300, 900), (444, 1333))]
)
def test_prediction_resizes_as_detectron2_does(size, resized):
    settings = load_settings("mask2former_r50")
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    sample = prepare(pixels, settings)
    assert sample["image"].shape == (3, *resized) and sample["original_size"].tolist() == list(size)
    expected = np.asarray(Image.fromarray(pixels).resize(resized[::-1], Image.Resampling.BILINEAR), np.float32)
    expected = (expected - settings.preprocessing.mean) / settings.preprocessing.deviation
    np.testing.assert_allclose(sample["image"], expected.transpose(2, 0, 1), atol=1e-5)
    other = prepare(pixels[: size[0] // 2], settings)
    batch = join([sample, other], settings)
    assert batch["image_size"].tolist() == [list(resized), list(other["image"].shape[1:])]
    assert all(side % 32 == 0 for side in batch["image"].shape[2:])
    for padded, (height, width) in zip(batch["image"], batch["image_size"], strict=True):
        assert not padded[:, height:].any() and not padded[:, :, width:].any()
    assert batch["original_size"].tolist() == [list(size), [size[0] // 2, size[1]]]


def test_inference_names_its_images(tmp_path):
    dataset = panoptic(tmp_path).dataset
    made = Inference(dataset, settings_of(PANOPTIC))
    batch = made.collate([made(0, np.random.default_rng(0))])
    assert batch["image_id"].tolist() == [1] and set(batch) == {"image", "image_size", "original_size", "image_id"}


def test_which_images_are_trained_on(tmp_path):
    """All whose segments are known, with the task panoptic; of instances those with an object."""
    root = panoptic_files.write(
        tmp_path / "a",
        [image(1), image(2), image(3)],
        [panoptic_files.annotation(1, segment(DOG, iscrowd=1)), panoptic_files.annotation(3)],
    )
    assert Training(panoptic_files.opened(root), settings_of(PANOPTIC)).positions.tolist() == [0, 2]
    images, annotations = [image(1), image(2)], [coco_files.annotation(1, 1, iscrowd=1), coco_files.annotation(2, 2)]
    root = coco_files.write(tmp_path / "b", images, annotations)
    assert Training(resolve(root, "train"), settings_of(INSTANCES)).positions.tolist() == [1]
