"""What Mask2Former's predictions become, in NumPy; the golden case holds the parts against the original."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.families.mask2former import inference
from common.families.mask2former.prediction import find_results, results_of
from common.models import load_settings
from common.results import INSTANCES, PANOPTIC, Instances

TINY = load_settings("mask2former_tiny")  # 6 classes, of which 4 are things
SIZE = (32, 64)  # of the padded image
INPUTS = {"image_size": np.float32([[32, 48], [32, 64]]), "original_size": np.float32([[64, 96], [32, 64]])}
NONE = 6


def network(labels, boxes, settings=TINY, confidence=12.0):
    """A network whose queries have these classes, and the logits 9 in their boxes (y1, y2, x1, x2) and -9 elsewhere."""
    classes = np.zeros((2, len(labels), 7), np.float32)
    classes[:, np.arange(len(labels)), labels] = confidence
    masks = np.full((2, len(labels), SIZE[0] // 4, SIZE[1] // 4), -9, np.float32)
    for row, (y1, y2, x1, x2) in enumerate(boxes):
        masks[:, row, y1:y2, x1:x2] = 9
    return SimpleNamespace(settings=settings, predict=lambda image: (classes, masks))


def found_by(*of, threshold=0.0, **how):
    return find_results(network(*of, **how), np.zeros((2, 3, *SIZE), np.float32), INPUTS, threshold)


def test_each_image_has_its_own_size():
    first, second = found_by([0, 5], [(2, 6, 1, 5), (0, 2, 0, 16)], threshold=0.5)
    assert first.image_size == first.segment_map.shape == first.semantic.shape == (64, 96)
    assert second.image_size == second.segment_map.shape == (32, 64)
    # The first image is 48 of 64 wide, and twice as large itself.
    assert first.segment_map[32, 24] == second.segment_map[16, 12] == 1
    assert second.segment_map[3, 60] == first.segment_map[6, 94] == 2
    assert first.instances.masks.shape == (1, 64, 96)
    np.testing.assert_array_equal(first.instances.boxes, [[8, 16, 40, 48]])
    np.testing.assert_array_equal(second.instances.boxes, [[4, 8, 20, 24]])
    assert second.instances.masks.dtype == bool and second.instances.scores.dtype == np.float32


def test_stuff_is_one_segment_and_things_are_told_apart():
    boxes = [(0, 2, 0, 4), (0, 2, 8, 12), (4, 6, 0, 4), (4, 6, 8, 12), (6, 8, 0, 4)]
    found = found_by([5, 5, 1, 1, 4], boxes)[1]
    assert (found.ids.tolist(), found.labels.tolist()) == ([1, 2, 3, 4], [5, 1, 1, 4])
    assert found.is_thing.tolist() == [False, True, True, False]
    assert found.segment_map[3, 6] == found.segment_map[3, 40] == 1
    assert (found.segment_map[20, 6], found.segment_map[20, 40]) == (2, 3)
    assert found.scores == pytest.approx([1] * 4, abs=1e-3)


def test_queries_that_are_unsure_or_hidden_make_no_segment():
    whole = (0, 8, 0, 16)
    found = found_by([0, 1, NONE], [whole, (0, 8, 0, 8), whole])[1]
    # Both are as sure, and the first of equals wins every pixel; no object is none.
    assert found.labels.tolist() == [0] and (found.segment_map == 1).all()
    unsure = found_by([0], [whole], confidence=2.0)[1]
    assert len(unsure) == 0 and not unsure.segment_map.any() and len(unsure.instances) > 0
    strict = TINY.model_copy(update={"detection": TINY.detection.model_copy(update={"overlap_threshold": 0.4})})
    parts = [(0, 8, 0, 16), (0, 8, 0, 8)]
    assert found_by([0, 1], parts, settings=strict)[1].labels.tolist() == [0]


def test_a_score_is_the_class_s_times_the_mask_s_and_the_threshold_is_the_instances():
    first, second = found_by([0, 3], [(0, 4, 0, 4), (4, 8, 8, 12)], confidence=4.0, threshold=0.5)
    probability = np.exp(4) / (np.exp(4) + 6)
    assert len(second.instances) == 2 and (second.instances.scores < probability).all()
    inside = inference.place_queries(
        np.zeros((1, 7), np.float32), network([0], [(0, 4, 0, 4)]).predict(None)[1][1], SIZE, SIZE, SIZE
    ).presence[0]
    quality = inside[inside > 0.5].mean()
    assert second.instances.scores[0] == pytest.approx(probability * quality, rel=1e-5)
    assert second.instances.labels.tolist() == [0, 3]
    everything = found_by([0, 3], [(0, 4, 0, 4), (4, 8, 8, 12)], confidence=4.0)[1].instances
    assert len(everything) == 8  # every query as every thing
    assert (np.diff(everything.scores) <= 0).all()
    assert len(found_by([0, 3], [(0, 4, 0, 4), (4, 8, 8, 12)], confidence=4.0, threshold=0.999)[1].instances) == 0
    assert len(first.instances) == 2


def test_the_class_of_a_pixel_is_that_of_the_largest_sum():
    found = found_by([5, 4, 4], [(0, 8, 0, 16), (0, 8, 0, 8), (0, 8, 0, 8)])[1]
    # Two queries outweigh one; what segment a pixel is in does not matter.
    assert found.semantic[5, 10] == 4 and found.semantic[5, 60] == 5
    assert found.segment_map[5, 10] == 1


def test_a_model_of_instances_gives_instances_of_every_class():
    settings = load_settings("mask2former_tiny", ["task=instances", "things=6"])
    assert results_of(settings) is INSTANCES and results_of(TINY) is PANOPTIC
    _, found = found_by([5, 0], [(0, 4, 0, 4), (4, 8, 8, 12)], settings=settings, threshold=0.5)
    assert isinstance(found, Instances) and sorted(found.labels) == [0, 5]


def test_numbers_that_are_none_find_nothing():
    broken = network([0], [(0, 4, 0, 4)])
    logits = tuple(np.full_like(each, np.nan) for each in broken.predict(None))
    with np.errstate(invalid="ignore"):
        found = find_results(
            SimpleNamespace(settings=TINY, predict=lambda image: logits), np.zeros((2, 3, *SIZE), np.float32), INPUTS
        )[0]
    assert len(found) == len(found.instances) == 0 and not found.segment_map.any()


def test_masks_and_pixels_are_worked_on_in_parts(monkeypatch):
    labels, boxes = [0, 5, 3], [(0, 4, 0, 4), (0, 8, 4, 16), (4, 8, 0, 4)]
    whole = found_by(labels, boxes)[0]
    monkeypatch.setattr(inference, "_MASKS", 2)
    monkeypatch.setattr(inference, "_PIXELS", 1000)
    parts = found_by(labels, boxes)[0]
    np.testing.assert_array_equal(parts.segment_map, whole.segment_map)
    np.testing.assert_array_equal(parts.semantic, whole.semantic)
    np.testing.assert_array_equal(parts.instances.masks, whole.instances.masks)
