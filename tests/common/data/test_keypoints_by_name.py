"""Key points for images that are in no data set, from results and from annotations."""

import json

import numpy as np
import pytest

from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families.pose2seg.keypoints_by_name import keypoints_by_name
from tests.common.data.coco_files import annotation, image, write

PERSON = [{"id": 1, "name": "person", "keypoints": list(KEYPOINT_NAMES)}]
ARM = [0, 0, 0] * 5 + [8.5, 8, 2, 0, 0, 0, 12, 9, 1] + [0, 0, 0] * 9


def results(path, *image_ids: int):
    entries = [{"image_id": each, "keypoints": ARM, "score": 0.25 * (1 + row)} for row, each in enumerate(image_ids)]
    path.write_text(json.dumps(entries))
    return path


def test_a_name_that_is_a_number_is_the_image_id(tmp_path):
    path = results(tmp_path / "results.json", 785, 9, 785)
    find = keypoints_by_name(path, ["000000000785.jpg", "street.jpg"], 0.3)
    points, scores = find("000000000785.jpg")
    assert points.shape == (2, 17, 3) and scores.tolist() == [0.25, 0.75]
    assert points[0, 5].tolist() == [8.5, 8, 2] and points[0, 7].tolist() == [12, 9, 1]
    assert find("street.jpg")[0].shape == (0, 17, 3) and len(find("street.jpg")[1]) == 0


def test_a_file_of_one_image_serves_for_one(tmp_path):
    path = results(tmp_path / "results.json", 4, 4)
    assert len(keypoints_by_name(path, ["street.jpg"], 0.3)("street.jpg")[0]) == 2
    with pytest.raises(UserError, match=r"no key points for a.jpg or 1 others"):
        keypoints_by_name(path, ["a.jpg", "b.jpg"], 0.3)
    with pytest.raises(UserError, match=r"results.json: no key points for 5.jpg$"):
        keypoints_by_name(results(path, 4, 6), ["5.jpg"], 0.3)


def test_annotations_know_their_images_by_name(tmp_path):
    persons = [annotation(1, 1, category_id=1, keypoints=ARM), annotation(2, 1, category_id=1, keypoints=ARM, area=0)]
    write(tmp_path, [image(1, file_name="street.png"), image(2)], persons, PERSON)
    find = keypoints_by_name(tmp_path / "annotations.json", ["street.png", "2.png", "other.png"], 0.3)
    points, scores = find("street.png")
    assert points.shape == (1, 17, 3) and points[0, 5].tolist() == [8, 8, 2] and scores.tolist() == [1]
    assert len(find("2.png")[0]) == len(find("other.png")[0]) == 0
    with pytest.raises(UserError, match=r"no key points for other\.png"):
        keypoints_by_name(tmp_path / "annotations.json", ["other.png"], 0.3)
    write(tmp_path, [image(1)], [], [{"id": 1, "name": "person"}])
    with pytest.raises(UserError, match="17 key points"):
        keypoints_by_name(tmp_path / "annotations.json", ["1.png"], 0.3)
    assert np.float32 == points.dtype
