"""Detections of two models are paired as one would by hand, and compared piece by piece."""

import numpy as np
import pytest

from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.families import family_of
from common.models import load_settings
from common.results import INSTANCES
from common.results.detections import compare_detections, pair_detections
from common.results.instances import encode_masks


def detection(box, score, image_id=1, category=3):
    return {"image_id": image_id, "category_id": category, "bbox": box, "score": score}


def segmented(columns, score, **more):
    mask = np.zeros((1, 10, 10), bool)
    mask[0, :, :columns] = True
    return {"image_id": 1, "category_id": 3, "segmentation": encode_masks(mask)[0], "score": score} | more


def test_partners_are_of_one_image_and_class_and_overlap_best():
    reference = [detection([0, 0, 10, 10], 0.9), detection([0, 0, 10, 9], 0.8), detection([50, 50, 10, 10], 0.7)]
    other = [
        detection([0, 0, 10, 10], 0.9, category=4),
        detection([0, 0, 10, 10], 0.9, image_id=2),
        detection([0, 0, 10, 9], 0.7),
        detection([0, 0, 10, 10], 0.6),
        detection([56, 50, 10, 10], 0.7),  # an IoU of a quarter
    ]
    assert pair_detections(reference, other) == ([0, 1], [3, 2])
    assert pair_detections([], other) == pair_detections(reference, []) == ([], [])


def test_of_boxes_that_lie_equally_well_the_nearest_score_is_the_partner():
    first, second = detection([0, 0, 10, 10], 0.9), detection([0, 0, 10, 10], 0.3)
    assert pair_detections([first, second], [second, first]) == ([0, 1], [1, 0])


def test_what_is_compared_of_boxes_and_masks():
    reference = {
        "box": [detection([0, 0, 10, 10], 0.9), detection([0, 0, 100, 10], 0.8)],
        "mask": [segmented(10, 0.9), segmented(8, 0.75)],
    }
    other = {
        "box": [detection([0, 1, 100, 7], 0.7), detection([0, 0, 10, 10], 0.9), detection([9, 9, 1, 1], 0.1)],
        "mask": [segmented(2, 0.6), segmented(9, 0.9), segmented(1, 0.1)],
    }
    compared = {pair.name: pair for pair in compare_detections(reference, other)}
    assert list(compared) == ["detections", "scores", "boxes", "mask scores", "mask IoU"]
    assert (compared["detections"].reference, compared["detections"].other) == ([3], [2])
    assert compared["scores"].reference.tolist() == [0.9, 0.8] and compared["scores"].other.tolist() == [0.9, 0.7]
    assert compared["boxes"].other.tolist() == [[0, 0, 10, 10], [0, 1, 100, 8]]
    assert compared["mask scores"].other.tolist() == [0.9, 0.6]
    # The second pair's boxes differ too much for their masks to be compared.
    assert compared["mask IoU"].other == pytest.approx([0.9]) and compared["mask IoU"].reference.tolist() == [1]


def test_masks_without_boxes_are_compared_in_their_order():
    compared = {
        pair.name: pair
        for pair in compare_detections({"mask": [segmented(4, 0.5)]}, {"mask": [segmented(2, 0.5), segmented(4, 0.5)]})
    }
    assert list(compared) == ["detections", "mask scores", "mask IoU"]
    assert compared["mask IoU"].other == pytest.approx([0.5])
    empty = segmented(0, 0.5)
    assert compare_detections({"mask": [empty]}, {"mask": [empty]})[-1].other.tolist() == [1]


def test_the_figures_of_both_are_compared_too(tmp_path):
    dataset = resolve(write_shapes(tmp_path / "shapes", images=1, seed=0, val_images=2), "val")
    found = dataset.truth(0)
    mask = {name: found[0]["segmentation"][name] for name in ("size", "counts")}
    image_id, category = int(dataset.image_ids[0]), dataset.category_ids[found[0]["label"]]
    facts = {"image_id": image_id, "category_id": category, "score": 0.9}
    mask |= {"counts": mask["counts"].decode()}
    reference = {"box": [facts | {"bbox": found[0]["bbox"]}], "mask": [facts | {"segmentation": mask}]}
    *_, boxes, masks = INSTANCES.compare(reference, {"box": [], "mask": []}, dataset)
    assert (boxes.name, masks.name) == ("COCO figures of boxes", "COCO figures of masks")
    assert boxes.reference[0] > 0 and not boxes.other.any() and boxes.step == 0.1
    of_persons = family_of(load_settings("pose2seg_tiny")).results(load_settings("pose2seg_tiny"))
    compared = of_persons.compare({"mask": reference["mask"]}, {"mask": []}, dataset)
    assert [pair.name for pair in compared] == ["detections", "mask scores", "mask IoU", "COCO figures of masks"]
