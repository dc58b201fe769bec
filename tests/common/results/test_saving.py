"""Instances are drawn, saved and read back."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from common.errors import UserError
from common.results import INSTANCES, Classes, Instances, Parts, Prediction

CLASSES = ["person", "traffic light", "dog"]
IDS = [1, 10, 18]

draw = INSTANCES.draw


def predicted(found, image=None, name="street.jpg"):
    return Prediction(name, 4, image, found, Classes(CLASSES, IDS))


def save(form, path, *of):
    INSTANCES.forms[form].write(path, predicted(*of))


def arrays_equal(read, written):
    names = ("boxes", "scores", "labels", "masks", "mask_scores")
    return all(np.array_equal(getattr(read, name), getattr(written, name)) for name in names)


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


def test_points_are_drawn_on_request_by_their_steps(image, found):
    first, second = [30.5, 12.2, 1], [31.9, 13.0, 2]
    points = np.float32([[first, second], [[-5, 3, 1], [79.9, 60.5, 2]]])  # the last two are not in the image
    given = replace(found, points=points)
    parts = Parts(masks=False, boxes=False, names=False)
    assert np.array_equal(INSTANCES.draw(image, given, CLASSES, parts), image)
    drawn = INSTANCES.draw(image, given, CLASSES, replace(parts, points=True))
    assert drawn[12, 30].tolist() == [255, 255, 0] and drawn[13, 31].tolist() == [255, 0, 0]
    assert np.count_nonzero((drawn != image).any(-1)) == 2
    assert np.array_equal(given[[1]].points, points[1:])


def test_overlay_file_is_in_the_right_colours(tmp_path, found):
    blue = np.zeros((60, 80, 3), np.uint8)
    blue[:, :, 2] = 255
    save("overlay", tmp_path / "out.png", found, blue)
    assert cv2.imread(str(tmp_path / "out.png"))[2, 77].tolist() == [255, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_masks_come_back_from_their_files(tmp_path, found):
    save("masks", tmp_path / "masks", found)
    paths = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in paths] == ["000_traffic-light_0.90.png", "001_dog_0.50.png"]
    for path, mask in zip(paths, found.masks, strict=True):
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), mask * np.uint8(255))


def test_arrays_come_back_from_their_file(tmp_path, found):
    for mask_scores in (None, np.float32([0.7, 0.4])):
        found.mask_scores = mask_scores
        save("npz", tmp_path / "out.npz", found)
        with np.load(tmp_path / "out.npz") as stored:
            written = set(stored)
        assert written - {"mask_scores"} == {"boxes", "scores", "labels", "masks", "class_names"}
        assert ("mask_scores" in written) == (mask_scores is not None)
        read, class_names = INSTANCES.read_arrays(tmp_path / "out.npz")
        assert arrays_equal(read, found) and class_names == CLASSES and read.image_size == (60, 80)


def test_other_files_are_no_arrays_of_instances(tmp_path):
    (tmp_path / "text.npz").write_text("boxes")
    np.savez(tmp_path / "other.npz", boxes=np.zeros((1, 4)))
    np.savez(tmp_path / "more.npz", masks=np.zeros((1, 4, 4)), class_names=np.array(CLASSES), other=np.zeros(1))
    for name in ("text.npz", "other.npz", "more.npz", "absent.npz"):
        with pytest.raises(UserError, match=rf"{name}: not an archive \(npz\) of instances"):
            INSTANCES.read_arrays(tmp_path / name)


def test_coco_results_of_a_plain_image(tmp_path, found):
    save("json", tmp_path / "out.json", found)
    first, second = entries = INSTANCES.read_entries(tmp_path / "out.json")
    assert entries == INSTANCES.named_entries(predicted(found))
    assert first["bbox"] == [10, 10, 30, 20]
    assert (first["image_id"], first["category_id"], first["category"]) == (4, 10, "traffic light")
    assert second["file_name"] == "street.jpg"
    assert np.array_equal(rle_tools.decode(second["segmentation"]), found.masks[1])
    assert INSTANCES.named_entries(predicted(found, name="000000397133.jpg"))[0]["image_id"] == 397133


@pytest.mark.parametrize(
    ("text", "words"), [(None, "No such file"), ("[{", "not valid JSON"), ("{}", "not a list of COCO results")]
)
def test_other_files_are_no_results(tmp_path, text, words):
    if text is not None:
        (tmp_path / "out.json").write_text(text)
    with pytest.raises(UserError, match=rf"out\.json: {words}"):
        INSTANCES.read_entries(tmp_path / "out.json")


def test_an_unknown_format_is_refused_and_leaves_nothing(tmp_path, image, found):
    with pytest.raises(UserError, match=r"out\.xyz"):
        save("overlay", tmp_path / "out.xyz", found, image)
    assert not list(tmp_path.iterdir())
