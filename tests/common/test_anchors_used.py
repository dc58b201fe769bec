"""Which anchors train, and which objects claim proposals, by settings in which mmdetection's own models differ."""

import numpy as np
import pytest

from common.box_coder import decode
from common.boxes import pairwise_iou
from common.families.mask_rcnn.anchors import inside_image
from common.families.mask_rcnn.geometry import grids, make_anchors
from common.families.mask_rcnn.proposals import Proposals
from common.families.mask_rcnn.sampling import sample_regions
from common.families.mask_rcnn.targets import label_anchors
from common.models import load_settings

PADDED, SIZE = (160, 256), (100, 185)  # of the batch, and of an image that is padded to 128 x 192 by itself
SMALL = ["rpn.anchor_sizes=[[8],[16],[32],[48],[64]]"]


def settings_of(model, *overrides):
    return load_settings(model, [*SMALL, *overrides])


def all_anchors(settings):
    return np.concatenate(make_anchors(settings, PADDED, grids(settings, PADDED)))


def cells_of_anchors():
    """Each anchor's (y, x) of its cell's corner, by plain loops."""
    cells = []
    for stride in (4, 8, 16, 32, 64):
        height, width = -(-PADDED[0] // stride), -(-PADDED[1] // stride)
        cells += [(y * stride, x * stride) for y in range(height) for x in range(width) for _ in range(3)]
    return np.array(cells)


@pytest.mark.parametrize(
    ("model", "used"),
    [("mask_rcnn_swin_t", "of own cells"), ("cascade_mask_rcnn_swin_t", "inside"), ("mask_rcnn_r50_fpn", "inside")],
)
def test_the_rules_follow_the_settings(model, used):
    settings = settings_of(model)
    assert settings.rules.anchors_used == used
    assert settings.rules.low_quality_regions == (model == "mask_rcnn_swin_t")
    other = settings_of(model, "losses.anchors_used=all", "losses.low_quality_regions=true")
    assert (other.rules.anchors_used, other.rules.low_quality_regions) == ("all", True)
    assert other.rules.claimed_by == settings.rules.claimed_by


def test_anchors_in_the_batchs_padding_do_not_train():
    settings = settings_of("mask_rcnn_swin_t")
    anchors, cells = all_anchors(settings), cells_of_anchors()
    labels, _ = label_anchors(anchors, np.array([[20, 20, 60, 60]], np.float32), SIZE, settings)
    own = (cells < (128, 192)).all(axis=1)
    assert (labels[~own] == -1).all() and (~own).sum() > 1000
    # All others but those between the thresholds do, also where they leave the image.
    best = pairwise_iou(np.array([[20, 20, 60, 60]], np.float32), anchors)[0]
    assert np.array_equal(labels == 0, own & (best < 0.3))
    assert (labels[own & ~inside_image(anchors, SIZE)] == 0).sum() > 1000


@pytest.mark.parametrize(("model", "claims"), [("cascade_mask_rcnn_swin_t", True), ("mask_rcnn_r50_fpn", False)])
def test_an_object_at_the_border_and_the_anchors_inside(model, claims):
    """mmdetection's objects claim the best anchor inside, maskrcnn-benchmark's lose one that is outside."""
    settings = settings_of(model)
    anchors = all_anchors(settings)
    boxes = np.array([[0, 20, 95, 58]], np.float32)
    overlaps = pairwise_iou(boxes, anchors, settings.rules.offset)[0]
    inside = inside_image(anchors, SIZE)
    assert overlaps.max() > overlaps[inside].max() > 0.3  # the best one is outside
    labels, matched = label_anchors(anchors, boxes, SIZE, settings)
    best = np.flatnonzero(inside & (overlaps == overlaps[inside].max()))
    assert overlaps[best[0]] < 0.7
    assert np.array_equal(np.flatnonzero(labels == 1), best if claims else [])
    assert not claims or (matched[best] == 0).all()
    assert (labels[~inside] == -1).all()


@pytest.mark.parametrize("used", ["all", "inside", "of own cells"])
def test_no_anchor_may_be_left(used):
    settings = settings_of("mask_rcnn_swin_t", f"losses.anchors_used={used}")
    anchors = np.array([[500, 500, 520, 520]], np.float32)
    labels, _ = label_anchors(anchors, np.array([[0, 0, 9, 9]], np.float32), SIZE, settings)
    assert labels.tolist() == [0 if used == "all" else -1]


def test_objects_claim_proposals_where_the_settings_say_so():
    """The first proposal is more the first object's, and the best that the second one has."""
    boxes, labels = np.array([[0, 0, 40, 40], [0, 0, 40, 52]], np.float32), np.array([3, 7], np.int32)
    regions = np.array([[0, 0, 40, 43], [0, 0, 40, 38]], np.float32)
    given = Proposals(regions, np.ones(2, np.float32), np.arange(2))
    overlaps = pairwise_iou(boxes, regions)
    assert overlaps[0, 0] > overlaps[1, 0] > overlaps[1, 1] > 0.5
    found = {}
    for claims in (True, False):
        settings = settings_of("mask_rcnn_swin_t", f"losses.low_quality_regions={claims}")
        sampled = sample_regions(given, boxes, labels, settings, seed=0)
        by_box = {tuple(box): row for row, box in enumerate(sampled.boxes.tolist())}
        row = by_box[tuple(regions[0].tolist())]
        found[claims] = int(sampled.labels[row]), int(sampled.objects[row])
        reached = decode(sampled.targets[[row]], sampled.boxes[[row]], settings.rules.region_weights)
        np.testing.assert_allclose(reached[0], boxes[found[claims][1]], atol=1e-3)
        # An object's own box is its own either way.
        assert sampled.labels[by_box[tuple(boxes[1].tolist())]] == 7
    assert found == {True: (7, 1), False: (3, 0)}


def test_an_image_without_proposals_trains_on_its_objects_boxes():
    none = Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    boxes = np.array([[0, 0, 40, 40], [50, 50, 90, 90]], np.float32)
    sampled = sample_regions(none, boxes, np.array([3, 7], np.int32), settings_of("mask_rcnn_swin_t"), seed=0)
    assert np.array_equal(sampled.boxes, boxes) and sampled.labels.tolist() == [3, 7]
