import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from common import predictions
from common.errors import UserError
from common.results import Instances
from common.visualize import draw

CLASSES = ["person", "traffic light", "dog"]
IDS = [1, 10, 18]


@pytest.fixture
def found():
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:30, 10:40] = True
    masks[1, 35:55, 30:70] = True
    boxes = np.float32([[10, 10, 40, 30], [30, 35, 70, 55]])
    return Instances((60, 80), boxes, np.float32([0.9, 0.5]), np.array([1, 2]), masks)


@pytest.fixture
def image():
    return np.full((60, 80, 3), 90, np.uint8)


def test_drawing_changes_the_instances_and_leaves_the_ground_and_the_input(image, found):
    drawn = draw(image, found, CLASSES)
    assert np.all(image == 90)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert np.all((drawn[20:28, 15:35] != 90).any(-1))
    assert np.all(drawn[:, 75:] == 90)
    assert np.array_equal(draw(image, found[[]], CLASSES), image)


def test_a_class_has_one_colour_whatever_else_is_found(image, found):
    both, second = draw(image, found, CLASSES), draw(image, found[[1]], CLASSES)
    assert np.array_equal(both[45:54, 40:65], second[45:54, 40:65])
    assert not np.array_equal(both[25, 20], both[45, 50])


def test_red_stays_red(found):
    """Channels are RGB on both sides: a class's colour is the one that supervision's palette names."""
    import supervision as sv

    drawn = draw(np.zeros((60, 80, 3), np.uint8), found[[0]], CLASSES)
    colour = sv.ColorPalette.DEFAULT.by_idx(1).as_rgb()
    assert np.abs(drawn[25, 30].astype(float) - 0.45 * np.array(colour)).max() <= 1


def test_overlay_file_is_in_the_right_colours(tmp_path, found):
    blue = np.zeros((60, 80, 3), np.uint8)
    blue[:, :, 2] = 255
    predictions.save_overlay(tmp_path / "out.png", blue, found, CLASSES)
    assert cv2.imread(str(tmp_path / "out.png"))[2, 77].tolist() == [255, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_masks_come_back_from_their_files(tmp_path, found):
    predictions.save_masks(tmp_path / "masks", found, CLASSES)
    paths = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in paths] == ["000_traffic-light_0.90.png", "001_dog_0.50.png"]
    for path, mask in zip(paths, found.masks, strict=True):
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), mask * np.uint8(255))


def test_arrays_come_back_from_their_file(tmp_path, found):
    found.mask_scores = np.float32([0.7, 0.4])
    predictions.save_arrays(tmp_path / "out.npz", found, CLASSES)
    with np.load(tmp_path / "out.npz") as stored:
        for name in ("boxes", "scores", "labels", "masks", "mask_scores"):
            assert np.array_equal(stored[name], getattr(found, name)), name
        assert stored["class_names"].tolist() == CLASSES


def test_coco_results_of_a_plain_image(tmp_path, found):
    entries = predictions.named_results("street.jpg", 4, found, CLASSES, IDS)
    predictions.save_coco(tmp_path / "out.json", entries)
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert first["bbox"] == [10, 10, 30, 20]
    assert (first["image_id"], first["category_id"], first["category"]) == (4, 10, "traffic light")
    assert second["file_name"] == "street.jpg"
    assert np.array_equal(rle_tools.decode(second["segmentation"]), found.masks[1])
    assert predictions.named_results("000000397133.jpg", 4, found, CLASSES, IDS)[0]["image_id"] == 397133


def test_an_unknown_format_is_refused_and_leaves_nothing(tmp_path, image, found):
    with pytest.raises(UserError, match=r"out\.xyz"):
        predictions.save_overlay(tmp_path / "out.xyz", image, found, CLASSES)
    assert not list(tmp_path.iterdir())
