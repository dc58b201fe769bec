"""A training step and a prediction of Mask R-CNN with network parts made by hand, in NumPy."""

import numpy as np
import pytest

from common import kernels
from common.boxes import with_border
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.geometry import head_outputs
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.prediction import find_instances
from common.families.mask_rcnn.targets import make_mask_targets
from common.families.mask_rcnn.training import compute_losses
from common.models import load_settings
from tests.wings.rcnn_batch import PADDED, SIZES, bitmap, diamond, on_ranks, training_batch

SMALL = ["num_classes=4", "network.channels=4", "losses.regions_per_image=16", "rpn.training.total=40"]
SMALL += ["rpn.training.over_batch=false"]
GRIDS = [(24, 32), (12, 16), (6, 8), (3, 4), (2, 2)]


class Parts:
    """Heads that say the same of everything: logits of 0, and of the classes and masks what is given."""

    def __init__(self, settings, class_logits=0.0, mask_logits=0.0, objectness=0.0):
        self.settings = settings
        self.said = class_logits, mask_logits, objectness
        self.seen = {}

    def features(self, image, branch_scales=None):
        return [np.ones((len(image), 4, *grid), np.float32) for grid in GRIDS]

    def rpn(self, maps):
        logits = [np.full((len(x), 3, *x.shape[2:]), self.said[2], np.float32) for x in maps]
        return logits, [np.zeros((len(x), 12, *x.shape[2:]), np.float32) for x in maps]

    def box_head(self, pooled):
        self.seen["boxes"] = pooled.shape
        outputs = head_outputs(self.settings)
        logits = np.broadcast_to(np.float32(self.said[0]), (len(pooled), outputs.classes))
        return pooled, logits, np.zeros((len(pooled), outputs.deltas), np.float32)

    def mask_head(self, pooled):
        self.seen["masks"] = pooled.shape
        shape = (len(pooled), head_outputs(self.settings).masks, 28, 28)
        return pooled, np.full(shape, self.said[1], np.float32)


def settings_of(model="mask_rcnn_r50_fpn", *overrides):
    return load_settings(model, [*SMALL, *overrides])


def test_terms_of_heads_that_know_nothing():
    """A fair coin costs log 2, five equal classes log 5; where the offsets are 0 a loss is that of the targets."""
    settings = settings_of()
    parts, batch = Parts(settings), training_batch(settings)
    terms = compute_losses(parts, batch)
    assert terms["objectness"] == pytest.approx(np.log(2), rel=1e-5)
    assert terms["classes"] == pytest.approx(np.log(5), rel=1e-5)
    assert terms["masks"] == pytest.approx(np.log(2), rel=1e-5)
    used, positive = batch["anchor_labels"] >= 0, batch["anchor_labels"] > 0
    distance = np.abs(batch["anchor_targets"][positive])
    beta = settings.losses.rpn_beta
    expected = np.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta).sum() / used.sum()
    assert terms["rpn_boxes"] == pytest.approx(expected, rel=1e-5)
    # Sixteen of each image; two and one objects are positive, and what else overlaps them enough.
    assert parts.seen["boxes"][0] == 48 and parts.seen["masks"][0] == 16


def step_of(parts):
    return lambda batch, sum_over_ranks: compute_losses(parts, batch, sum_over_ranks=sum_over_ranks)


@pytest.mark.parametrize("model", ["mask_rcnn_r50_fpn", "mask_rcnn_r50_fpn_detectron2"])
def test_ranks_with_different_numbers_of_images_see_what_one_sees(model):
    """The second one has an image without objects alone, and so no region for a mask."""
    settings = settings_of(model)
    parts = Parts(settings, class_logits=[0, 3, 1, 0, 0], mask_logits=20.0)
    of_ranks = on_ranks(step_of(parts), [training_batch(settings, images) for images in ((0, 1), (2,))])
    assert of_ranks[1]["masks"] == 0
    for name, value in compute_losses(parts, training_batch(settings)).items():
        assert sum(terms[name] for terms in of_ranks) == pytest.approx(value, rel=1e-5), name


def test_no_rank_has_a_region_for_a_mask():
    settings = settings_of()
    of_ranks = on_ranks(step_of(Parts(settings)), [training_batch(settings, (2,))] * 2)
    assert [terms["masks"] for terms in of_ranks] == [0, 0]


def test_terms_are_means_over_the_ranks_where_it_is_asked_for():
    settings = settings_of("mask_rcnn_r50_fpn", "schedule.rank_means=true")
    parts = Parts(settings, class_logits=[0, 3, 1, 0, 0], mask_logits=20.0)
    batches = [training_batch(settings, images) for images in ((0, 1), (2,))]
    alone = [compute_losses(parts, batch) for batch in batches]
    of_ranks = on_ranks(step_of(parts), batches)
    whole = compute_losses(parts, training_batch(settings))
    for name in whole:
        mean = np.mean([terms[name] for terms in alone])
        assert sum(terms[name] for terms in of_ranks) == pytest.approx(mean, rel=1e-6), name
    assert np.mean([terms["classes"] for terms in alone]) != pytest.approx(whole["classes"], rel=1e-3)


def test_masks_are_learned_from_the_objects_forms():
    """With logits of 20 a cell costs 20 where the object is not; a diamond and half a box leave half of theirs out."""
    settings = settings_of("mask_rcnn_r50_fpn", "rpn.smallest_side=1000000")
    terms = compute_losses(Parts(settings, mask_logits=20.0), training_batch(settings))
    assert terms["masks"] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("family", CONVENTIONS)
def test_forms_in_boxes(family):
    box = np.array([20, 8, 90, 72], np.float32)
    forms = [Outline((diamond(box),)), bitmap(box)] if family != "torchvision" else [bitmap(box)] * 2
    targets = make_mask_targets(forms, np.stack([box, box]), (96, 128), 28, CONVENTIONS[family])
    assert targets.dtype == np.float32 and targets.min() == 0 and targets.max() == 1
    rows, columns = np.mgrid[:28, :28] + 0.5
    if family != "torchvision":
        inside = np.abs(rows - 14) + np.abs(columns - 14)
        assert targets[0][inside < 13].all() and not targets[0][inside > 15].any()
    assert targets[1][1:-1, 1:13].all() and not targets[1][:, 15:].any()
    if family != "torchvision":
        assert set(np.unique(targets)) == {0, 1}


def test_a_window_of_a_bitmap_is_as_good_as_the_whole():
    rng = np.random.default_rng(0)
    whole = np.zeros((96, 128), np.uint8)
    whole[31:59, 21:69] = rng.integers(0, 2, (28, 48))
    boxes = np.array([[20, 30, 70, 60], [0, 0, 127, 95], [60.3, 50.2, 100, 90]], np.float32)
    window = Outline(bitmap=whole[30:60, 20:70], corner=(20, 30))
    for family in CONVENTIONS:
        seen = make_mask_targets([window] * 3, boxes, (96, 128), 28, CONVENTIONS[family])
        np.testing.assert_allclose(
            seen, make_mask_targets([Outline(bitmap=whole)] * 3, boxes, (96, 128), 28, CONVENTIONS[family]), atol=1e-5
        )


@pytest.mark.parametrize("family", ["torchvision", "detectron2"])
def test_bitmaps_without_compiled_kernels(family, monkeypatch):
    """Two objects' regions in any order, among them some of whose cells are half covered."""
    rng = np.random.default_rng(0)
    forms = [
        Outline(bitmap=rng.integers(0, 2, (40, 50)).astype(np.uint8), corner=(9, 5)),
        bitmap(np.array([0, 0, 64, 64])),
    ]
    boxes = np.concatenate([rng.uniform(0, 40, (20, 2)), rng.uniform(45, 90, (20, 2))], axis=1).astype(np.float32)
    boxes[1::4] = [0, 0, 84, 84]  # each cell has nine samples
    pairs, rules = [forms[row % 2] for row in range(20)], CONVENTIONS[family]
    compiled = make_mask_targets(pairs, boxes, (96, 128), 28, rules)
    monkeypatch.setattr(kernels, "library", lambda: None)
    plain = make_mask_targets(pairs, boxes, (96, 128), 28, rules)
    assert len(np.unique(plain)) > (100 if family == "torchvision" else 1)
    np.testing.assert_allclose(compiled, plain, atol=1e-5)
    one_by_one = [
        make_mask_targets([form], box[None], (96, 128), 28, rules)[0] for form, box in zip(pairs, boxes, strict=True)
    ]
    np.testing.assert_array_equal(one_by_one, plain)


INPUTS = {"image": np.zeros((2, 3, *PADDED), np.float32), "image_size": SIZES[:2]}


def predicted(model, original, threshold=0.0, **said):
    said = {"class_logits": [0, 3, 1, 0, 0], "mask_logits": 2.0} | said
    settings = settings_of(model, "rpn.inference.total=30", "detection.max_detections=20")
    inputs = INPUTS | {"original_size": np.array(original)}
    return find_instances(Parts(settings, **said), INPUTS["image"], inputs, threshold)


@pytest.mark.parametrize("model", ["mask_rcnn_r50_fpn", "mask_rcnn_r50_fpn_torchvision"])
def test_instances_in_the_images_own_pixels(model):
    once = predicted(model, SIZES[:2])
    twice = predicted(model, 2 * SIZES[:2])
    for small, large, size in zip(once, twice, SIZES[:2].tolist(), strict=True):
        assert len(small) == len(large) > 0
        assert large.image_size == (2 * size[0], 2 * size[1]) and large.masks.shape[1:] == large.image_size
        np.testing.assert_allclose(large.probability_boxes, 2 * small.probability_boxes, rtol=1e-6)
        offset = load_settings(model).rules.offset
        assert np.array_equal(large.boxes, with_border(large.probability_boxes, offset))
        assert np.array_equal(small.scores, np.sort(small.scores)[::-1]) and small.labels.dtype == np.int64
        assert set(small.labels[small.scores > 0.5]) == {0}  # column 1 is the first class
        assert large.masks.dtype == bool
        sides = large.probability_boxes[:, 2:] - large.probability_boxes[:, :2]
        filled = large.masks.sum(axis=(1, 2)) / sides.prod(axis=1)
        assert (filled[sides.min(axis=1) > 20] > 0.9).all()


def test_a_threshold_and_nothing_above_it():
    every = predicted("mask_rcnn_r50_fpn", SIZES[:2])[0]
    best = predicted("mask_rcnn_r50_fpn", SIZES[:2], 0.5)[0]
    assert 0 < len(best) == (every.scores > 0.5).sum() < len(every)
    none = predicted("mask_rcnn_r50_fpn", [[7, 9], [20, 30]], 1.0)
    assert [found.masks.shape for found in none] == [(0, 7, 9), (0, 20, 30)]
    assert [found.boxes.shape for found in none] == [(0, 4)] * 2


def test_detectron2_drops_what_vanishes_in_the_image():
    """Boxes behind the last pixel of an image that is a sliver have no area left, and no mask is made of them."""
    classes = [3, 1, 0, 0, 0]
    found = predicted("mask_rcnn_r50_fpn_detectron2", [[96, 128], [1, 1]], class_logits=classes)
    assert len(found[0]) > 0 and set(found[0].labels[found[0].scores > 0.5]) == {0}  # the first column
    for each in found:
        assert len(each.masks) == len(each.boxes) == len(each)
        assert (each.boxes[:, 2:] > each.boxes[:, :2]).all()


# Boxes in an image of 60 x 40 pixels, and what maskrcnn-benchmark's own SegmentationMask makes of an object in them at
# 10 x 10: a number a row, its bits from left to right. Two are narrower than a pixel, three reach out of the image.
OBJECT = [[12.5, 3, 50, 9, 41, 36, 20, 31], [4, 20, 16, 22.5, 9, 38]]
DRAWN = [
    ([10, 2, 51, 37], [256, 504, 511, 510, 254, 254, 766, 764, 636, 4]),
    ([20.2, 9.5, 20.7, 30], [1023] * 10),
    ([-6, 18, 14, 39], [3, 225, 253, 121, 120, 112, 48, 48, 32, 0]),
    ([30, -5, 55, 12], [0, 0, 0, 512, 992, 1020, 1020, 1016, 1016, 1016]),
    ([44, 8, 70, 46], [768, 768, 512, 512, 0, 0, 0, 0, 0, 0]),
    ([12, 30.1, 40, 30.3], [127] * 10),
]


@pytest.mark.parametrize(("box", "rows"), DRAWN)
def test_mask_targets_are_maskrcnn_benchmarks(box, rows):
    forms = [Outline(polygons=tuple(np.array(polygon, np.float64) for polygon in OBJECT))]
    (target,) = make_mask_targets(forms, np.array([box], np.float32), (40, 60), 10, CONVENTIONS["maskrcnn_benchmark"])
    assert [int("".join(str(int(cell)) for cell in row), 2) for row in target] == rows


def moving_box_head(parts):
    """Moves each class's box to the right, by as many tenths of its width as the class has for its number."""
    right = parts.box_head

    def box_head(pooled):
        features, logits, deltas = right(pooled)
        moved = np.array(deltas).reshape(len(deltas), deltas.shape[1] // 4, 4)
        moved[:, :, 0] = np.arange(moved.shape[1])  # the coder's weight is 10
        return features, logits, moved.reshape(deltas.shape)

    return box_head


@pytest.mark.parametrize("model", ["mask_rcnn_r50_fpn", "mask_rcnn_r50_fpn_detectron2"])
def test_masks_train_on_the_boxes_that_their_labels_offsets_make(model):
    seen = []
    for found in ("false", "true"):
        settings = settings_of(model, f"losses.masks_on_found_boxes={found}")
        parts = Parts(settings)
        parts.box_head = moving_box_head(parts)
        compute_losses(parts, training_batch(settings), train_masks=lambda *given: seen.append(given[2]) or {})
    count = 0
    for before, after in zip(*seen, strict=True):
        positive = len(before.objects)
        widths = before.boxes[:positive, 2] - before.boxes[:positive, 0] + settings.rules.offset
        expected = before.boxes.copy()
        expected[:positive, [0, 2]] += (0.1 * widths * before.labels[:positive])[:, None]
        np.testing.assert_allclose(after.boxes, expected, atol=1e-4)
        np.testing.assert_array_equal(after.labels, before.labels)
        count += np.count_nonzero(before.labels[:positive])
    assert count
