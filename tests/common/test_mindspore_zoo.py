"""The conventions of MindSpore's zoo, against numbers of its own functions and against plain loops."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from common import numpy_ops
from common.boxes import area, intersection
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.families.mask_rcnn import samples as region_samples
from common.families.mask_rcnn.anchors import pyramid_anchors
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.detection import Detections, detect, to_original
from common.families.mask_rcnn.expansion import expand
from common.families.mask_rcnn.masks import paste
from common.families.mask_rcnn.matching import BACKGROUND, BETWEEN, match_by_threshold
from common.families.mask_rcnn.pooling import pyramid_levels
from common.families.mask_rcnn.proposals import Proposals
from common.families.mask_rcnn.resizing import plan_resizing, scale_to_canvas
from common.families.mask_rcnn.sampling import sample_regions
from common.families.point_rend import samples
from common.models import initial_weights, load_settings
from common.training.schedules import learning_rate
from common.upsampling import double_from_corners

RULES = CONVENTIONS["mindspore_zoo"]
SETTINGS = load_settings("point_rend_r50_fpn_mindspore")


def test_anchors_are_the_zoos():
    """Its AnchorGenerator's first cells at the strides 4 and 64, which lie about the middle and are rounded."""
    anchors = pyramid_anchors(RULES, (768, 1280), [(192, 320), (12, 20)], (4, 64), ((32,), (512,)), (0.5, 1.0, 2.0))
    assert anchors[0][:3].tolist() == [[-21, -9, 24, 12], [-14, -14, 17, 17], [-9, -21, 12, 24]]
    assert anchors[1][:3].tolist() == [[-330, -149, 393, 212], [-224, -224, 287, 287], [-149, -330, 212, 393]]


@pytest.mark.parametrize(
    ("size", "resized", "scale"),
    [
        ((240, 320), (768, 1024), 3.2),
        ((480, 640), (768, 1024), 1.6),
        ((427, 640), (768, 1151), 768 / 427),
        ((240, 533), (576, 1280), 1280 / 533),
        ((640, 480), (768, 576), 1.2),  # 1280 x 960 before
        ((500, 375), (768, 576), 2.048 * 768 / 1024),
    ],
)
def test_images_fit_on_the_canvas(size, resized, scale):
    plan = plan_resizing(size, 768, 1280, RULES)
    assert plan.size == resized
    np.testing.assert_allclose(plan.ratios, (scale, scale), rtol=1e-3)
    assert len(scale_to_canvas(size, (768, 1280))) == 1 + (size[0] > size[1])


def test_a_standing_image_is_resized_twice_and_its_padding_is_black():
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    sample = samples.prepare(image, SETTINGS)
    first = cv2.resize(image, (768, 1024))
    expected = np.zeros((768, 1280, 3), np.float32)
    expected[:, :576] = cv2.resize(first, (576, 768))
    expected = (expected - SETTINGS.preprocessing.mean) / np.array(SETTINGS.preprocessing.deviation)
    np.testing.assert_allclose(sample["image"], expected.transpose(2, 0, 1), atol=1e-6)


def test_a_training_sample_is_the_zoos(tmp_path, monkeypatch):
    """An expanded and mirrored image with its objects, step by step as the zoo's own functions do it."""
    data = resolve(write_shapes(tmp_path / "shapes", images=3, seed=5, val_images=1), "train")
    settings = load_settings("point_rend_r50_fpn_mindspore", [f"num_classes={len(data.class_names)}"])
    found, image = data.objects(1), data.image(1, False)
    ratio, share = 1.37, (0.3, 0.6)
    monkeypatch.setattr(region_samples, "maybe", lambda rng, probability: probability == 0.5)
    monkeypatch.setattr(region_samples, "maybe_expand", lambda i, o, largest, rng: expand(i, o, ratio, share))
    sample = samples.Training(data, settings, np.arange(len(data)))(1, np.random.default_rng(0))

    height, width = image.shape[:2]
    left, top = int(0.3 * (width * ratio - width)), int(0.6 * (height * ratio - height))
    ground = np.zeros((int(height * ratio), int(width * ratio), 3), np.uint8)
    ground[top : top + height, left : left + width] = image
    (size, scale), *_ = scale_to_canvas(ground.shape[:2], (768, 1280))
    canvas = np.zeros((768, 1280, 3), np.uint8)
    canvas[: size[0], : size[1]] = cv2.resize(ground, size[::-1])
    normalised = (canvas.astype(np.float32) - settings.preprocessing.mean) / np.array(settings.preprocessing.deviation)
    np.testing.assert_allclose(sample["image"], normalised[:, ::-1].transpose(2, 0, 1), atol=1e-6)
    assert samples.Training(data, settings).groups is None  # lying and standing images go into one batch

    kept = np.flatnonzero(~found.crowd)
    boxes = found.boxes_in_file[kept]
    boxes = np.trunc(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
    boxes = (boxes + np.array([left, top, left, top])) * scale
    boxes = np.clip(boxes, 0, np.tile([size[1] - 1, size[0] - 1], 2))
    mirrored = np.stack([1280 - boxes[:, 2] - 1, boxes[:, 1], 1280 - boxes[:, 0] - 1, boxes[:, 3]], axis=1)
    np.testing.assert_allclose(sample["boxes"], mirrored, atol=2e-4)
    assert sample["labels"].tolist() == (found.labels[kept] + 1).tolist()
    for row, outline in zip(kept, sample["outlines"], strict=True):
        mask = np.zeros(ground.shape[:2], np.uint8)
        mask[top : top + height, left : left + width] = rle.decode(found.rles[row])
        whole = np.zeros((768, 1280), np.uint8)
        whole[: size[0], : size[1]] = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
        drawn = np.zeros((768, 1280), np.uint8)
        x, y = outline.corner
        drawn[y : y + outline.bitmap.shape[0], x : x + outline.bitmap.shape[1]] = outline.bitmap
        np.testing.assert_array_equal(drawn, whole[:, ::-1])
        # A window ends with zeros wherever the canvas goes on.
        assert not outline.bitmap[-1].any() or y + len(outline.bitmap) == 768


def test_objects_claim_boxes_from_the_lower_threshold_on_and_the_last_one_gets_them():
    overlaps = np.float32(
        [
            [0.6, 0.1, 0.40, 0.2, 0.75],
            [0.6, 0.1, 0.35, 0.2, 0.74],
            [0.0, 0.1, 0.00, 0.2, 0.10],
            [0.0, 0.0, 0.45, 0.0, 0.45],
        ]
    )
    found = match_by_threshold(overlaps, 0.3, 0.7, low_quality=True, claimed_by="last object")
    # The last one's best are two, of which the fifth box overlaps others more; the third's best, 0.2, is too little.
    assert found.tolist() == [BETWEEN, BACKGROUND, 3, BACKGROUND, 3]


def test_objects_own_boxes_take_no_proposal_from_them():
    boxes = np.float32([[10, 10, 59, 59], [200, 200, 299, 299]])
    proposals = np.float32([[10, 10, 59, 40], [12, 12, 59, 59], [200, 200, 299, 260], [500, 500, 600, 600]])
    given = Proposals(proposals, np.float32([0.9, 0.8, 0.7, 0.6]), np.arange(4, dtype=np.int32))
    found = sample_regions(given, boxes, np.int32([3, 5]), SETTINGS, seed=0)
    count = len(found.objects)
    positive = dict(zip(map(tuple, found.boxes[:count].tolist()), found.labels[:count].tolist(), strict=True))
    assert positive == {
        tuple(proposals[0].tolist()): 3,
        tuple(proposals[1].tolist()): 3,
        tuple(proposals[2].tolist()): 5,
        tuple(boxes[0].tolist()): 3,
        tuple(boxes[1].tolist()): 5,
    }
    assert len(found.boxes) == 6


def test_detections_are_suppressed_by_areas_with_the_offset_alone():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 40, (60, 2))
    regions = np.concatenate([corners, corners + rng.integers(5, 40, (60, 2))], axis=1).astype(np.float32)
    logits = np.zeros((60, 81), np.float32)
    logits[:, 1] = rng.permutation(60) / 20 + 3
    found = detect(logits, np.zeros((60, 324), np.float32), regions, [60], [(768, 1280)], SETTINGS)[0]
    order, kept = np.argsort(-logits[:, 1]), []
    for row in order:
        shared = intersection(regions[[row]], regions[kept])[0]
        sizes = area(regions[[row]], 1.0) + area(regions[kept], 1.0) - shared
        if not len(kept) or (shared / sizes < 0.5).all():
            kept.append(row)
    assert found.rows.tolist() == kept
    assert set(kept) != set(numpy_ops.nms(regions, logits[:, 1], 0.5, offset=1.0).tolist())


def test_detections_outside_the_image_go_and_the_others_are_not_cut():
    boxes = np.float32([[10, 10, 1100, 700], [1030, 10, 1200, 700]])
    found = Detections(boxes, np.float32([0.9, 0.8]), np.int32([1, 1]), np.int32([0, 1]))
    moved = to_original(found, (768, 1280), (240, 320), SETTINGS)
    np.testing.assert_allclose(moved.boxes, boxes[:1] / 3.2, rtol=1e-6)


def test_masks_end_with_their_boxes():
    mask, box = np.ones((1, 4, 4), np.float32), np.float32([[2.6, 3.0, 12.4, 9.0]])
    pasted = paste(mask, box, (12, 16), RULES)[0]
    inside = np.zeros((12, 16), bool)
    inside[3:9, 3:12] = True
    assert ((pasted > 0) == inside).all()
    assert (paste(mask, box, (12, 16), CONVENTIONS["detectron2"])[0] > 0).sum() > inside.sum()


def test_levels_are_the_zoos():
    sides = np.float32([10, 111, 112, 223, 224, 447, 448, 2000])
    boxes = np.stack([0 * sides, 0 * sides, sides - 1, sides - 1], axis=1)
    expected = np.clip(np.floor(np.log2(sides / 56 + 1e-6)), 0, 3)
    assert pyramid_levels(boxes, RULES).tolist() == expected.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_maps_are_doubled_from_the_cells_corners():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    doubled = double_from_corners(x)
    for row in range(8):
        for column in range(10):
            y, z = row / 2, column / 2
            above, left = int(y), int(z)
            below, right = min(above + 1, 3), min(left + 1, 4)
            upper = x[:, :, above, left] * (1 - z % 1) + x[:, :, above, right] * (z % 1)
            lower = x[:, :, below, left] * (1 - z % 1) + x[:, :, below, right] * (z % 1)
            np.testing.assert_allclose(doubled[:, :, row, column], upper * (1 - y % 1) + lower * (y % 1), atol=1e-6)


def test_rates_are_the_zoos():
    """Numbers of its dynamic_lr for one card."""
    rates = {5000: 0.013333333333333332, 10000: 0.02, 100000: 0.017372043952382385, 351791: 0.0005209363741974793}
    for step, rate in rates.items():
        assert learning_rate(SETTINGS.schedule, step) == pytest.approx(rate, rel=1e-12), step


def test_first_weights_are_the_zoos():
    names = {
        "fpn.lateral.0.weight": (256, 256, 1, 1),
        "box_head.deltas.weight": (324, 1024),
        "coarse_head.fc1.weight": (1024, 512),
        "coarse_head.logits.weight": (3969, 1024),
        "point_head.fc1.weight": (256, 337, 1),
        "point_head.logits.weight": (81, 337, 1),
    }
    weights = initial_weights(names, SETTINGS, 0)
    deviations = {name: float(weight.std()) for name, weight in weights.items()}
    bound = np.sqrt(6 / 512)
    assert np.abs(weights["fpn.lateral.0.weight"]).max() == pytest.approx(bound, rel=1e-3)
    for name in ("box_head.deltas", "coarse_head.fc1", "coarse_head.logits", "point_head.logits"):
        assert deviations[f"{name}.weight"] == pytest.approx(0.01, rel=0.05), name
    assert deviations["point_head.fc1.weight"] == pytest.approx(np.sqrt(2 / 337), rel=0.02)


@pytest.mark.parametrize("override", ["preprocessing.short_side=700", "preprocessing.long_side=1000"])
def test_a_canvas_has_maps_that_are_halves_of_each_other(override):
    with pytest.raises(Exception, match="multiples of 32"):
        load_settings("point_rend_r50_fpn_mindspore", [override])
