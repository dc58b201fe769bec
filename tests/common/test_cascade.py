"""The mathematics of the cascade in NumPy, against plain loops and numbers worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.box_coder import decode, encode
from common.boxes import pairwise_iou
from common.errors import UserError
from common.families.cascade_mask_rcnn.heads import Stage, refine, run_boxes, stages_of
from common.families.cascade_mask_rcnn.losses import compute_stage_losses, generalized_iou
from common.families.cascade_mask_rcnn.training import train_boxes
from common.families.mask_rcnn.losses import count_anchors
from common.families.mask_rcnn.proposals import Proposals
from common.models import load_settings
from common.weights import Card, check_card

CODERS = [(10, 10, 5, 5), (20, 20, 10, 10), (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067)]
OVERLAPS = [0.5, 0.6, 0.7]


def settings_of(*overrides):
    return load_settings("cascade_mask_rcnn_tiny", overrides)


def giou_of(a, b):
    """The generalized overlap of two boxes whose areas are not zero, in Python's own numbers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = width * height if width > 0 and height > 0 else 0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union - (hull - union) / hull


def test_generalized_iou_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    corners, sides = rng.uniform(0, 20, (2, 200, 2)), rng.uniform(1, 30, (2, 200, 2))
    a, b = np.concatenate([corners, corners + sides], axis=2).astype(np.float32)
    found = generalized_iou(a, b)
    expected = [giou_of(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found < 0).sum() > 40 and (found > 0).sum() > 40


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [
        ([0, 0, 4, 3], [0, 0, 4, 3], 1),
        ([0, 0, 4, 4], [1, 1, 3, 3], 0.25),
        ([1, 1, 3, 3], [0, 0, 4, 4], 0.25),
        ([0, 0, 1, 1], [2, 0, 3, 1], -1 / 3),
        ([0, 0, 1, 1], [1, 1, 2, 2], -0.5),  # they touch
        ([0, 0, 1, 1], [9, 9, 10, 10], -0.98),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3),
        ([2, 0, 2, 4], [0, 0, 4, 4], 0),  # without an area
        ([2, 0, 2, 4], [2, 0, 2, 4], 0),
        ([2, 2, 2, 2], [5, 5, 5, 5], -1),
        ([0, 0, 5e-4, 5e-4], [0, 0, 5e-4, 5e-4], 0.25),  # no area counts as less than a millionth
    ],
)
def test_generalized_iou_of_boxes_worked_out_by_hand(a, b, value):
    assert generalized_iou(np.float32([a]), np.float32([b]))[0] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "slopes"),
    [
        # Apart: the near side and the far one may both come out, the near one with more effect. None: there is a kink.
        ([0, 0, 1, 1], [2, 0, 3, 1], (-1 / 9, None, 1 / 3, None)),
        # Inside: each side comes out, by its length over the outer area; outside each goes in.
        ([1, 1, 3, 3], [0, 0, 4, 4], (-1 / 8, -1 / 8, 1 / 8, 1 / 8)),
        ([0, 0, 4, 4], [1, 1, 3, 3], (1 / 16, 1 / 16, -1 / 16, -1 / 16)),
    ],
)
def test_generalized_iou_grows_where_boxes_come_nearer(a, b, slopes):
    a, b, step = np.float64([a]), np.float64([b]), 1e-6
    for slope, side in zip(slopes, np.eye(4)[:, None], strict=True):
        found = (generalized_iou(a + step * side, b) - generalized_iou(a - step * side, b)) / (2 * step)
        assert slope is None or found[0] == pytest.approx(slope, rel=1e-4)


def test_the_loss_of_boxes_is_divided_by_all_regions():
    settings = settings_of().of_stage(0)
    rois = np.float32([[0, 0, 0, 10, 10], [0, 20, 20, 30, 30], [0, 5, 5, 9, 9]])
    deltas = np.zeros((3, 16), np.float32)
    boxes = np.float32([[0, 0, 10, 5], [0, 0, 0, 0], [0, 0, 0, 0]])
    labels, offsets = np.array([2, 4, -1]), np.zeros((3, 4), np.float32)
    logits = np.zeros((3, 5), np.float32)
    classes, regression = compute_stage_losses(logits, deltas, rois, labels, offsets, boxes, settings)
    assert classes == pytest.approx(np.log(5))
    assert regression == pytest.approx(0.5 / 2)  # one object's 1 - 0.5; the row of label -1 is no region


@pytest.mark.parametrize("number", range(3))
def test_a_region_moves_by_the_offsets_of_its_label(number):
    """Those of the background move by their most probable class; all are cut, each to its own image."""
    settings, rng = settings_of(), np.random.default_rng(number)
    classes, sizes = settings.num_classes, [(40, 60), (90, 30)]
    corners = rng.uniform(0, 30, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 40, (40, 2))], axis=1)
    rois = np.concatenate([rng.integers(0, 2, (40, 1)), boxes], axis=1).astype(np.float32)
    logits = rng.normal(size=(40, classes + 1)).astype(np.float32)
    logits[:20, classes] = 9  # the background is the most probable
    deltas = rng.normal(size=(40, 4 * classes)).astype(np.float32) * 4
    labels = rng.integers(0, classes + 1, 40).astype(np.int32)
    stage = Stage(settings.of_stage(number), None, None)
    for given in (labels, None):
        found = refine(stage, rois, logits, deltas, given, sizes)
        for row in range(40):
            own = np.argmax(logits[row, :classes]) if given is None or given[row] == classes else given[row]
            moves = deltas[row : row + 1, 4 * own : 4 * own + 4]
            expected = decode(moves, rois[row : row + 1, 1:], CODERS[number], smallest=-np.log(1000 / 16))[0]
            height, width = sizes[int(rois[row, 0])]
            expected = np.clip(expected, 0, [width, height, width, height])
            np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-4)
        assert (found == 0).any() and (found[rois[:, 0] == 1][:, 2] == 30).any() and (found[:, 2] == 60).any()
    assert (labels == classes).sum() > 3


def test_offsets_that_the_classes_share_are_repeated():
    settings = settings_of("network.class_agnostic_boxes=true")
    deltas = np.arange(12, dtype=np.float32).reshape(3, 4)

    def head(pooled):
        return pooled, np.zeros((3, 5), np.float32), deltas

    maps = [np.zeros((1, 2, side, side), np.float32) for side in (16, 8, 4, 2, 1)]
    rois = np.float32([[0, 0, 0, 9, 9]] * 3)
    outputs = run_boxes(Stage(settings.of_stage(0), head, None), maps, rois)
    np.testing.assert_array_equal(outputs["box_deltas"], np.tile(deltas, (1, settings.num_classes)))
    apart = run_boxes(Stage(settings_of().of_stage(0), head, None), maps, rois)
    assert apart["box_deltas"] is deltas


@pytest.mark.parametrize("number", range(3))
def test_a_stage_has_its_own_overlap_and_coder(number):
    settings = settings_of()
    stage = settings.of_stage(number)
    assert stage.losses.positive_iou == OVERLAPS[number]
    np.testing.assert_allclose(stage.rules.region_weights, CODERS[number], rtol=1e-6)
    # The anchors' coder, the other settings, and the cascade's own are as they were.
    assert stage.rules.anchor_weights == settings.rules.anchor_weights == (1, 1, 1, 1)
    assert settings.losses.positive_iou == 0.5 and settings.rules.region_weights == (10, 10, 5, 5)
    weights = [stage.loss_terms()[f"{name}{number + 1}"][1] for name in ("classes", "boxes", "masks")]
    assert weights == [share * (1, 0.5, 0.25)[number] for share in (1, 10, 1)]


def test_a_file_of_other_coders_is_refused():
    settings = settings_of()
    facts = {"model": settings.model, "source": "", "licence": "", "preprocessing": settings.preprocessing}
    card = Card(**facts, classes=list("abcd"), numerics=settings.numerics())
    check_card(card, settings, "w")
    stages = ", ".join(f"{{positive_iou: {overlap}, region_weights: [10, 10, 5, 5]}}" for overlap in OVERLAPS)
    with pytest.raises(UserError, match=r"stages\.region_weights is .*, theirs is \[\[10"):
        check_card(card, settings_of(f"stages=[{stages}]"), "w")


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        ([[1, 1, 0, 0, 0, -1]], 5),
        ([[0, 0, 0, -1]], 4),  # without a positive one
        ([[1, 1, -1, -1]], 3),
        ([[-1, -1]], 2),
        ([[1, 0, 0, -1], [0, 0, 0, 0], [1, 1, 1, 1]], 3 + 5 + 5),
    ],
)
def test_an_image_counts_at_least_one_anchor_of_each_kind(labels, count):
    assert count_anchors(np.array(labels), len(labels), settings_of()) == count
    sampled = load_settings("mask_rcnn_tiny", ["convention=maskrcnn_benchmark"])
    assert count_anchors(np.array(labels), len(labels), sampled) == (np.array(labels) >= 0).sum()


# Two images, of 96 x 128 pixels and 80 x 64: the first with two objects and a proposal near to each, the other empty.
OBJECTS = np.float32([[10, 10, 50, 50], [60, 20, 100, 80]])
LABELS = np.int32([3, 1])
NEAR = OBJECTS + np.float32([[4, 0, 4, 0], [0, 14, 0, 14]])  # overlaps of 0.82 and 0.62
FAR = np.float32([[0, 60, 20, 90], [100, 0, 120, 15]])
GIVEN = [
    Proposals(np.concatenate([NEAR, FAR]), np.zeros(4, np.float32), np.array([700, 30, 512, 9])),
    Proposals(np.float32([[5, 5, 30, 30], [20, 40, 60, 70]]), np.zeros(2, np.float32), np.array([41, 3])),
]
SIZES = np.array([[96, 128], [80, 64]])
BATCH = {
    "host.counts": np.array([2, 0]),
    "host.boxes": OBJECTS,
    "host.labels": LABELS,
    "host.seed": np.array([5, 6]),
    "host.image_size": SIZES,
}


def run_stages(move):
    """Each stage's regions, where every head moves its regions by these offsets, whatever their class."""
    settings = settings_of()

    def head(pooled):
        count = len(pooled)
        logits = np.zeros((count, settings.num_classes + 1), np.float32)
        return pooled[:, :1, 0, 0], logits, np.tile(np.float32(move), (count, settings.num_classes))

    network = SimpleNamespace(settings=settings, box_heads=[head] * 3, mask_heads=[None] * 3)
    assert [stage.settings.losses.positive_iou for stage in stages_of(network)] == OVERLAPS
    maps = [np.ones((2, 1, 96 // stride, 128 // stride), np.float32) for stride in (4, 8, 16, 32, 64)]
    terms, runs, _ = train_boxes(network, maps, GIVEN, BATCH, lambda rows: 1.0)
    assert list(terms) == [f"{name}{number}" for number in (1, 2, 3) for name in ("classes", "boxes")]
    return [sampled for sampled, _ in runs]


def test_objects_own_boxes_stand_among_each_stage_s_regions_once():
    for of_first, of_second in run_stages([0, 0, 0, 0]):
        own = of_first.boxes[of_first.of_objects]
        assert sorted(map(tuple, own.tolist())) == sorted(map(tuple, OBJECTS.tolist()))
        assert sorted(of_first.rows[of_first.of_objects].tolist()) == [0, 1]
        assert len(of_first.boxes) == 4 + 2
        # The image without objects keeps all of its regions.
        assert len(of_second.boxes) == 2 and not of_second.of_objects.any() and not len(of_second.objects)
        assert (of_second.labels == 4).all()


def test_regions_keep_their_numbers_and_move_from_stage_to_stage():
    """By a tenth of their width to the right in the first stage, and half of that in the second."""
    first, second, third = run_stages([1, 0, 0, 0])
    for of_image, given in enumerate(GIVEN):
        expected = dict(zip(given.rows.tolist(), given.boxes, strict=True))
        for number, regions in enumerate((first[of_image], second[of_image], third[of_image])):
            kept = ~regions.of_objects
            assert sorted(regions.rows[kept].tolist()) == sorted(expected)
            for row, box in zip(regions.rows[kept].tolist(), regions.boxes[kept], strict=True):
                np.testing.assert_allclose(box, expected[row], atol=1e-3)
            height, width = SIZES[of_image]
            for row, box in expected.items():
                shift = (box[2] - box[0]) / CODERS[number][0]
                moved = box + np.float32([shift, 0, shift, 0])
                expected[row] = np.clip(moved, 0, [width, height, width, height])
    assert third[1].boxes[:, 2].max() == 64  # cut to the second image


def test_a_region_is_an_object_s_by_the_overlap_of_its_stage():
    """And is to reach it by offsets that count by the coder of its stage."""
    near = np.diag(pairwise_iou(OBJECTS, NEAR))
    assert 0.6 < near[1] < 0.7 < near[0]
    for number, (regions, _) in enumerate(run_stages([0, 0, 0, 0])):
        positive = regions.rows[: len(regions.objects)][~regions.of_objects[: len(regions.objects)]]
        assert set(positive.tolist()) == ({700, 30} if number < 2 else {700})
        goals = encode(OBJECTS[regions.objects], regions.boxes[: len(regions.objects)], CODERS[number])
        np.testing.assert_allclose(regions.targets[: len(regions.objects)], goals, atol=1e-4)
        assert regions.labels[: len(regions.objects)].tolist() == LABELS[regions.objects].tolist()
        assert (regions.labels[len(regions.objects) :] == 4).all()
