"""The data check: every fault is counted and named, and what remains can be trained on."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.data.check import check, rules_of
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.families.mask_rcnn import samples as mask_rcnn_samples
from common.families.yolact.samples import Training
from common.models import load_settings
from tests.common.data.coco_files import HEIGHT, WIDTH, annotation, image, write

REPOSITORY = Path(__file__).parents[3]
EMPTY_RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}


def found(root: Path, **options) -> list[str]:
    return [str(fault) for fault in check(resolve(root, "train"), **options).faults]


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "common.data.check", *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


# What is written into the annotation (number 77 of a file that also has a sound one), and what the check says of it.
FAULTS = {
    "crowd": ({"iscrowd": 1}, "1 annotations of a crowd, no targets but not held against a prediction (77)"),
    "two points": (
        {"segmentation": [[1, 1, 9, 9]]},
        "1 annotations with a polygon of fewer than three points, left out (77)",
    ),
    "one of two polygons": (
        {"segmentation": [[1, 1, 9, 9], [1, 1, 9, 1, 9, 9]]},
        "1 annotations with a polygon of fewer than three points, that polygon left out (77)",
    ),
    "point as polygon": (
        {"segmentation": [[3, 3, 3, 3, 3, 3]]},
        "1 annotations with a mask without a pixel, trained on by its box (77)",
    ),
    "empty mask": (
        {"segmentation": EMPTY_RLE},
        "1 annotations with a mask without a pixel, trained on by its box (77)",
    ),
    "no mask": ({"segmentation": None}, "1 annotations without a segmentation, left out (77)"),
    "strange mask": ({"segmentation": "?"}, "1 annotations with a segmentation that cannot be read, left out (77)"),
    "mask of another size": (
        {"segmentation": {"size": [5, 5], "counts": [5, 20]}},
        "1 annotations with an RLE mask that does not fit the image, left out (77)",
    ),
    "far polygon": (
        {"segmentation": [[0, 0, 1e7, 0, 9, 9]]},
        "1 annotations with a polygon far outside the image, left out (77)",
    ),
    "box outside": ({"bbox": [50, 5, 5, 5]}, "1 annotations with a box outside the image, left out (77)"),
    "box across": ({"bbox": [30, 5, 20, 5]}, "1 annotations with a box across the image's border, cut (77)"),
    "flat box": ({"bbox": [5, 5, 10, 0]}, "1 annotations with a box without area, left out (77)"),
    "turned box": ({"bbox": [15, 15, -10, -10]}, "1 annotations with a box without area, left out (77)"),
    "infinite box": ({"bbox": [0, 0, 1e300, 5]}, "1 annotations with a box that is not finite, left out (77)"),
    "no box": (
        {"bbox": None},
        "1 annotations whose record is not as COCO's, left out (id 77: Object missing required field `bbox`)",
    ),
    "box of three": (
        {"bbox": [1, 2, 3]},
        "1 annotations whose record is not as COCO's, left out (id 77: Expected `array` of length 4 - at `$.bbox`)",
    ),
    "unknown image": ({"image_id": 99}, "1 annotations of an image that is not listed, left out (77)"),
    "unknown category": ({"category_id": 99}, "1 annotations of a category that is not listed, left out (77)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_an_annotation_with_a_fault_is_named(tmp_path, name):
    changes, expected = FAULTS[name]
    write(tmp_path, [image(1)], [annotation(1, 1), annotation(77, **({"image_id": 1} | changes))])
    assert found(tmp_path) == [expected]
    left_out = "left out" in expected and "that polygon" not in expected
    assert resolve(tmp_path, "train").load(0).annotation_ids.tolist() == ([1] if left_out else [1, 77])


def test_sound_data_have_no_fault(tmp_path):
    write(tmp_path, [image(1), image(2)], [annotation(1, 1), annotation(2, 2)])
    report = check(resolve(tmp_path, "train"))
    assert not report.faults and report.usable.tolist() == [0, 1]


def test_of_equal_ids_the_first_counts(tmp_path):
    images = [image(1), image(2), image(1, file_name="2.png")]
    categories = [{"id": 2, "name": "dog"}, {"id": 7, "name": "cat"}, {"id": 2, "name": "wolf"}]
    annotations = [annotation(5, 1, category_id=7), annotation(5, 2), annotation(6, 2)]
    write(tmp_path, images, annotations, categories)
    assert found(tmp_path) == [
        "1 images whose id stands before them already, left out (1)",
        "1 categories whose id stands before them already, left out (2)",
        "1 annotations whose id stands before them already, left out (5)",
    ]
    dataset = resolve(tmp_path, "train")
    assert dataset.class_names == ["dog", "cat"] and dataset.file_name(0) == "1.png"
    assert dataset.load(0).labels.tolist() == [1] and dataset.load(1).annotation_ids.tolist() == [6]


def test_images_are_named_by_what_is_wrong_with_them(tmp_path):
    images = [image(identity) for identity in range(1, 8)]
    annotations = [annotation(identity, identity) for identity in range(1, 7)]
    root = write(tmp_path, [*images, {"id": 8}, "nothing"], annotations)
    (root / "images/2.png").unlink()
    (root / "images/3.png").write_bytes((root / "images/3.png").read_bytes()[:-40])
    (root / "images/4.png").write_bytes(b"")
    cv2.imwrite(str(root / "images/5.png"), np.zeros((8, 8, 3), np.uint8))
    report = check(resolve(root, "train"))
    lines = [str(fault) for fault in report.faults]
    assert lines[:3] == [
        "2 images whose record is not as COCO's, left out (id 8: Object missing required field `file_name`, "
        "number 9: Expected `object`, got `str`)",
        "1 images whose file is missing, not trained on (2)",
        "1 images without an object, not trained on (7)",
    ]
    assert lines[3].startswith("3 images that cannot be read, not to be trained on (image 3 (")
    assert "image 4 (" in lines[3] and "image 5 (" in lines[3] and "is 8x8, while the annotations say 40x30" in lines[3]
    assert len(lines) == 4
    assert report.usable.tolist() == [0, 5]
    assert check(resolve(root, "train"), images=False).usable.tolist() == [0, 2, 3, 4, 5]
    trained = Training(resolve(root, "train"), load_settings("yolact_tiny", ["num_classes=2"]))
    assert trained.positions.tolist() == [0, 2, 3, 4, 5]


def test_images_that_are_too_small_for_a_model_are_named(tmp_path):
    sizes = [(31, 40), (32, 32), (40, 31), (0, 0), (30, 40)]
    images = [image(row, height=height, width=width) for row, (height, width) in enumerate(sizes, start=1)]
    root = write(tmp_path, images, [annotation(row, row) for row in range(1, 5)])
    settings = load_settings("cascade_mask_rcnn_tiny", ["num_classes=2"])
    data = resolve(root, "train")
    report = check(data, images=False, **rules_of(settings))
    assert [str(fault) for fault in report.faults] == [
        "1 images without an object, not trained on (5)",
        "3 images with a side of less than 32 pixels, not trained on (1, 3, 5)",
    ]
    # An image whose size the file does not tell is not too small.
    assert report.usable.tolist() == [1, 3] == mask_rcnn_samples.Training(data, settings).positions.tolist()
    assert check(data, images=False).usable.tolist() == [0, 1, 2, 3]
    with_empty = check(data, images=False, **rules_of(load_settings("mask_rcnn_tiny", ["num_classes=2"])))
    assert with_empty.usable.tolist() == [0, 1, 2, 3, 4] and len(with_empty.faults) == 1
    printed = command(root, "--model", "cascade_mask_rcnn_tiny", "--no-images").stdout
    assert "2 images to train on" in printed and "less than 32 pixels" in printed


def test_only_a_few_of_many_are_named(tmp_path):
    write(tmp_path, [image(1)], [annotation(identity, 1, bbox=[50, 5, 5, 5]) for identity in range(1, 31)])
    report = check(resolve(tmp_path, "train"))
    assert str(report.faults[0]) == "30 annotations with a box outside the image, left out (1, 2, 3, 4, 5, ...)"
    assert not len(report.usable)


def test_an_image_whose_only_object_is_useless_is_not_trained_on(tmp_path):
    annotations = [annotation(1, 1, segmentation=[[1, 1]]), annotation(2, 2, iscrowd=1), annotation(3, 3)]
    write(tmp_path, [image(1), image(2), image(3)], annotations)
    assert check(resolve(tmp_path, "train")).usable.tolist() == [2]


def test_the_command_reports_both_splits(tmp_path):
    write_shapes(tmp_path / "shapes", images=10, seed=0)
    done = command(tmp_path / "shapes")
    assert done.returncode == 0, done.stderr
    assert "instances_train.json: 10 images" in done.stdout and "instances_val.json: 2 images" in done.stdout
    assert "4 classes" in done.stdout
    only = command(tmp_path / "shapes", "--split", "val", "--kind", "person_keypoints", "--no-images")
    assert only.returncode == 0 and "person_keypoints_val.json: 2 images" in only.stdout
    assert "1 classes" in only.stdout and "instances" not in only.stdout


@pytest.mark.parametrize("name", ["nothing usable", "no folder", "broken file"])
def test_the_command_refuses_what_is_of_no_use_in_one_line(tmp_path, name):
    if name == "nothing usable":
        write(tmp_path, [image(1)], [annotation(1, 1, iscrowd=1)])
    if name == "broken file":
        write(tmp_path, [], [])
        (tmp_path / "annotations.json").write_text('{"images": [')
    done = command(tmp_path / "nowhere" if name == "no folder" else tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    expected = {"nothing usable": "nothing to train on", "no folder": "not found", "broken file": "not valid JSON"}
    assert expected[name] in done.stderr
