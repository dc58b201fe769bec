"""A part of a data set: the images that YOLACT's own evaluation takes of it, by numbers that its functions gave."""

import json

import numpy as np
import pytest

from common.data.choosing import choose_images
from common.data.coco import CocoDataset
from tests.common.data.coco_files import annotation, image, write

IDS = [397133, 37777, 252219, 87038, 174482, 403385, 6818, 480985, 458054, 331352]
IDS += [296649, 386912, 502136, 491497, 184791, 348881, 289393, 522713, 181666, 17627]
EXPECTED = {
    "hashed": [403385, 522713, 397133, 491497, 6818, 17627, 348881],
    "shuffled": [458054, 87038, 6818, 403385, 348881, 289393, 252219],  # with the seed 3
    "file": IDS[:7],
}


def dataset(root, annotations) -> CocoDataset:
    """Twenty images by falling id and one without annotations before them; the annotations decide the order."""
    (root / "images").mkdir()
    images = [image(number) for number in (99, *sorted(IDS, reverse=True))]
    categories = [{"id": 2, "name": "dog"}]
    path = root / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return CocoDataset(path, root / "images")


@pytest.mark.parametrize("order", EXPECTED)
def test_the_first_of_each_order_are_the_originals(tmp_path, order):
    annotations = [annotation(number, image_id) for number, image_id in enumerate([*IDS, *IDS[::-1]])]
    chosen = choose_images(dataset(tmp_path, annotations), 7, order, 3)
    assert chosen.image_ids.tolist() == EXPECTED[order]


def test_without_a_count_all_are_taken_and_without_annotations_too(tmp_path):
    whole = dataset(tmp_path, [])
    assert choose_images(whole, None, "shuffled") is whole
    assert choose_images(whole, 2, "file").image_ids.tolist() == [99, max(IDS)]


def test_a_part_is_the_whole_of_its_images(tmp_path):
    annotations = [
        annotation(10 * number + k, number, area=50 + 10 * number + k) for k in range(2) for number in (1, 2, 3)
    ]
    write(tmp_path, [image(number) for number in (1, 2, 3)], annotations[1:])
    whole = CocoDataset(tmp_path / "annotations.json", tmp_path / "images")
    part = whole.select_images(np.array([2, 0]))
    assert (len(part), part.class_names, part.annotation_count) == (2, whole.class_names, 3)
    for position, origin in ((0, 2), (1, 0)):
        assert part.file_name(position) == whole.file_name(origin)
        ours, theirs = part.load(position), whole.load(origin)
        assert part.truth(position) == whole.truth(origin)
        assert ours.image_id == theirs.image_id and np.array_equal(ours.image, theirs.image)
        assert np.array_equal(ours.masks, theirs.masks) and np.array_equal(ours.boxes, theirs.boxes)
        assert ours.annotation_ids.tolist() == theirs.annotation_ids.tolist()
        for ring, other in zip(part.polygons(position, 0), whole.polygons(origin, 0), strict=True):
            assert np.array_equal(ring, other)
