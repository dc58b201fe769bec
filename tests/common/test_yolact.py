"""YOLACT's targets, losses and detection in NumPy, against plain loops; the golden cases are run on their own."""

from pathlib import Path

import numpy as np
import pytest

from common.families.yolact.detection import find_instances, select
from common.families.yolact.geometry import make_priors
from common.families.yolact.losses import compute_losses
from common.families.yolact.targets import collate, make_targets
from common.models import load_settings
from tests.goldens import golden
from tests.goldens.yolact_kinds import loss_case, mask_iou_net

LOSS_CASES = [Path(golden.__file__).parent / name for name in ("yolact_loss", "yolact_plus_loss")]


@pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case.name)
def test_priors_of_another_image_size_are_the_originals(case):
    settings = load_settings(golden.manifest(case)["model"])
    np.testing.assert_array_equal(make_priors(settings, (138, 138)), golden.arrays(case)["in.priors"])


def test_numbers_of_priors():
    counts = {"yolact_resnet50": 19248, "yolact_plus_base": 57744, "yolact_im400": 10077, "yolact_im700": 30963}
    assert {model: len(make_priors(load_settings(model))) for model in counts} == counts


@pytest.mark.parametrize("size", [400, 700])
def test_prior_scales_grow_with_the_image_and_are_cut_to_whole_pixels(size):
    scales = load_settings(f"yolact_im{size}").network.prior_scales
    assert scales == tuple((int(scale * size / 550),) for scale in (24, 48, 96, 192, 384))


def test_priors_of_an_image_that_is_not_square():
    settings = load_settings("yolact_resnet50")
    priors = make_priors(settings, (64, 128))
    assert len(priors) == 3 * (8 * 16 + 4 * 8 + 2 * 4 + 1 * 2 + 1)
    np.testing.assert_allclose(priors[3, :2], [1.5 / 16, 0.5 / 8])


@pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case.name)
def test_targets_carry_the_matching(case):
    given = loss_case(case)
    for sample, (offsets, classes, owners) in zip(given.samples, given.matches, strict=True):
        np.testing.assert_array_equal(sample["class_targets"], classes)
        np.testing.assert_array_equal(sample["box_targets"], offsets)
        np.testing.assert_array_equal(sample["positive_object"], owners[sample["positive_index"]])


def test_ranks_that_sum_the_normalisers_see_what_one_worker_sees():
    case = loss_case(LOSS_CASES[1])
    net = mask_iou_net(LOSS_CASES[1], "numpy", "cpu", case.settings)
    whole = collate(case.samples)
    parts = [slice(0, 1), slice(1, 3)]
    shared = {name: whole[name] for name in whole if name.startswith("normaliser.")}
    shares = [
        compute_losses(
            {name: value[part] for name, value in case.outputs.items()},
            collate(case.samples[part]) | shared,
            case.settings,
            net,
        )
        for part in parts
    ]
    for term, value in compute_losses(case.outputs, whole, case.settings, net).items():
        np.testing.assert_allclose(sum(share[term] for share in shares), value, rtol=1e-5, err_msg=term)


def test_more_padding_changes_no_loss():
    case = loss_case(LOSS_CASES[1])
    net = mask_iou_net(LOSS_CASES[1], "numpy", "cpu", case.settings)
    batch = collate(case.samples)
    padded = dict(batch)
    for name in batch:
        if name.startswith(("object_", "positive_")):
            widths = [(0, 0), (0, 16)] + [(0, 0)] * (batch[name].ndim - 2)
            padded[name] = np.pad(batch[name], widths)
    found = compute_losses(case.outputs, padded, case.settings, net)
    for term, value in compute_losses(case.outputs, batch, case.settings, net).items():
        np.testing.assert_allclose(found[term], value, rtol=1e-5, err_msg=term)


def _objects(count: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (M, 4) relative, labels (M,) of 4 classes and their rectangular masks (M, size, size)"""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, size // 2, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(size // 8, size // 2, (count, 2))], axis=1)
    masks = np.zeros((count, size, size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return (boxes / size).astype(np.float32), rng.integers(0, 4, count), masks


def test_more_positives_than_masks_to_train():
    settings = load_settings("yolact_tiny", ["losses.masks_per_image=5", "losses.positive_iou=0.3"])
    boxes, labels, masks = _objects(3, 128)
    unlimited = load_settings("yolact_tiny", ["losses.masks_per_image=1000", "losses.positive_iou=0.3"])
    everything = make_targets(boxes, labels, np.zeros(3, bool), masks, unlimited, np.random.default_rng(0))
    count = len(everything["positive_index"])
    assert count > 10
    chosen = [
        make_targets(boxes, labels, np.zeros(3, bool), masks, settings, np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert all(len(targets["positive_index"]) == 5 for targets in chosen)
    np.testing.assert_array_equal(chosen[0]["positive_index"], chosen[1]["positive_index"])
    assert set(chosen[0]["positive_index"]) != set(chosen[2]["positive_index"])
    assert set(chosen[0]["positive_index"]) <= set(everything["positive_index"])
    # The few stand for all: each weighs as many times more.
    weights = dict(zip(everything["positive_index"], everything["positive_weight"], strict=True))
    for index, weight in zip(chosen[0]["positive_index"], chosen[0]["positive_weight"], strict=True):
        np.testing.assert_allclose(weight, weights[index] * count / 5, rtol=1e-6)


def test_every_object_has_a_prior_and_small_ones_too():
    settings = load_settings("yolact_tiny")
    boxes, labels, masks = _objects(12, 128, seed=3)
    boxes[0] = [0.5, 0.5, 0.51, 0.51]
    targets = make_targets(boxes, labels, np.zeros(12, bool), masks, settings, np.random.default_rng(0))
    assert set(targets["positive_object"]) == set(range(12))
    owners = targets["positive_object"]
    np.testing.assert_array_equal(targets["class_targets"][targets["positive_index"]], labels[owners] + 1)


def test_a_crowd_makes_background_neutral_and_trains_nothing_else():
    settings = load_settings("yolact_tiny")
    boxes, labels, masks = _objects(2, 128)
    boxes[1] = [0.0, 0.0, 0.6, 0.6]
    alone = make_targets(boxes[:1], labels[:1], np.array([False]), masks[:1], settings, np.random.default_rng(0))
    crowded = make_targets(boxes, labels, np.array([False, True]), masks, settings, np.random.default_rng(0))
    changed = alone["class_targets"] != crowded["class_targets"]
    assert changed.any() and (alone["class_targets"][changed] == 0).all()
    assert (crowded["class_targets"][changed] == -1).all()
    for name in ("semantic", "object_masks", "positive_index", "box_targets"):
        np.testing.assert_array_equal(alone[name], crowded[name])
    for prior, before, after in zip(
        make_priors(settings), alone["class_targets"], crowded["class_targets"], strict=True
    ):
        x1, y1, x2, y2 = *(prior[:2] - prior[2:] / 2), *(prior[:2] + prior[2:] / 2)
        inside = max(min(x2, 0.6) - max(x1, 0), 0) * max(min(y2, 0.6) - max(y1, 0), 0) / (prior[2] * prior[3])
        if before == 0 and abs(inside - 0.7) > 1e-5:
            assert (after == -1) == (inside > 0.7)


@pytest.mark.parametrize("crowds", [0, 2])
def test_an_image_without_objects(crowds):
    settings = load_settings("yolact_tiny")
    boxes, labels, masks = _objects(crowds, 128)
    empty = make_targets(boxes, labels, np.ones(crowds, bool), masks, settings, np.random.default_rng(0))
    assert not (empty["class_targets"] > 0).any() and empty["negatives"] == 0
    batch = collate([empty])
    grid = batch["object_masks"].shape[2]
    rng = np.random.default_rng(1)
    outputs = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {
            "loc": (1, len(batch["class_targets"][0]), 4),
            "conf": (1, len(batch["class_targets"][0]), 5),
            "mask": (1, len(batch["class_targets"][0]), 32),
            "proto": (1, grid, grid, 32),
            "segm": (1, *batch["semantic"].shape[1:]),
        }.items()
    }
    found = compute_losses(outputs, batch, settings)
    assert found["B"] == found["C"] == found["M"] == 0 and np.isfinite(found["S"])


def test_collate_pads_to_multiples():
    settings = load_settings("yolact_tiny")
    samples = []
    for i, count in enumerate((2, 17)):
        boxes, labels, masks = _objects(count, 128, seed=i)
        samples.append(make_targets(boxes, labels, np.zeros(count, bool), masks, settings, np.random.default_rng(0)))
        samples[-1] |= {"image": np.zeros((3, 128, 128), np.float32), "image_id": np.int64(i)}
    batch = collate(samples)
    assert batch["object_masks"].shape == (2, 32, 32, 32) and not batch["object_masks"][0, 2:].any()
    assert batch["positive_index"].shape[1] % 16 == 0 and batch["image"].shape == (2, 3, 128, 128)
    np.testing.assert_array_equal(batch["image_id"], [0, 1])
    assert batch["normaliser.positives"] == sum((sample["class_targets"] > 0).sum() for sample in samples)
    assert batch["normaliser.images"] == 2


def _iou(a: np.ndarray, b: np.ndarray, side: float) -> float:
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + side, 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + side, 0)
    areas = [(c[2] - c[0] + side) * (c[3] - c[1] + side) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def crowded_predictions(seed: int):
    """offsets (60, 4), probabilities (60, 5), coefficients (60, 8), priors (60, 4) with many overlaps"""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.2, 0.8, (60, 2)).round(1)
    priors = np.concatenate([centres, rng.uniform(0.1, 0.3, (60, 2))], axis=1).astype(np.float32)
    probabilities = rng.dirichlet([1.0] * 5, 60).astype(np.float32)
    offsets = (0.3 * rng.standard_normal((60, 4))).astype(np.float32)
    return offsets, probabilities, rng.standard_normal((60, 8)).astype(np.float32), priors


def _plain_boxes(offsets, priors):
    centres = priors[:, :2] + offsets[:, :2] * 0.1 * priors[:, 2:]
    sizes = priors[:, 2:] * np.exp(offsets[:, 2:] * 0.2)
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


@pytest.mark.parametrize("limit", [3, 25, 200])
@pytest.mark.parametrize("nms", ["fast", "exact"])
def test_suppression_is_that_of_plain_loops(nms, limit):
    settings = load_settings(
        "yolact_tiny",
        [
            f"detection.nms={nms}",
            "detection.top_k=20",
            f"detection.max_detections={limit}",
            "detection.score_threshold=0.3",
        ],
    )
    offsets, probabilities, coefficients, priors = crowded_predictions(seed=5)
    boxes = _plain_boxes(offsets, priors)
    candidates = [p for p in range(60) if probabilities[p, 1:].max() > 0.3]
    expected = []
    for label in range(4):
        ranked = sorted(candidates, key=lambda p, c=label + 1: -probabilities[p, c])
        if nms == "fast":
            ranked, side, scale = ranked[:20], 0.0, 1.0
        else:
            ranked, side, scale = [p for p in ranked if probabilities[p, label + 1] > 0.3], 1.0, 128.0
        kept = []
        for place, p in enumerate(ranked):
            judges = ranked[:place] if nms == "fast" else kept
            if all(_iou(boxes[p] * scale, boxes[q] * scale, side) <= 0.5 for q in judges):
                kept.append(p)
        expected += [(probabilities[p, label + 1], label, p) for p in kept]
    expected = sorted(expected, key=lambda found: -found[0])
    assert 25 < len(expected) < 200
    expected = expected[:limit]
    found = select(offsets, probabilities, coefficients, priors, settings)
    assert len(found.scores) == len(expected)
    np.testing.assert_array_equal(found.labels, [label for _, label, _ in expected])
    np.testing.assert_allclose(found.scores, [score for score, _, _ in expected])
    np.testing.assert_array_equal(found.coefficients, coefficients[[p for _, _, p in expected]])
    np.testing.assert_allclose(found.boxes, boxes[[p for _, _, p in expected]], rtol=1e-4, atol=1e-6)


def test_equal_scores_come_in_the_order_of_class_and_prior():
    settings = load_settings("yolact_tiny")
    priors = np.array([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1]], np.float32)
    probabilities = np.full((2, 5), 0.2, np.float32)
    found = select(
        np.zeros((2, 4), np.float32), probabilities, np.arange(2, dtype=np.float32)[:, None], priors, settings
    )
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(found.coefficients[:, 0], [0, 1] * 4)


def test_predict_takes_logits_and_each_images_own_size():
    settings = load_settings("yolact_tiny")
    priors = make_priors(settings)
    rng = np.random.default_rng(0)
    conf = np.zeros((2, len(priors), 5), np.float32)
    conf[:, :, 0] = 9
    conf[1, 40, [0, 3]] = 0, 9
    outputs = {
        "loc": np.zeros((2, len(priors), 4), np.float32),
        "conf": conf,
        "mask": rng.standard_normal((2, len(priors), 32)).astype(np.float32),
        "proto": rng.standard_normal((2, 32, 32, 32)).astype(np.float32),
    }
    empty, one = find_instances(outputs, [(50, 60), (70, 80)], settings, score_threshold=0.2)
    assert len(empty) == 0 and empty.masks.shape == (0, 50, 60)
    assert one.labels.tolist() == [2] and one.masks.shape == (1, 70, 80) and one.masks.any()
    low, high = priors[40, :2] - priors[40, 2:] / 2, priors[40, :2] + priors[40, 2:] / 2
    corners = np.clip(np.concatenate([low, high]), 0, 1) * [80, 70, 80, 70]
    np.testing.assert_array_equal(one.boxes[0], np.trunc(corners))
    np.testing.assert_allclose(one.scores, [1 / (1 + 4 * np.exp(-9.0))], rtol=1e-4)
