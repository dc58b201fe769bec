"""OCHuman's own annotation file, written small, as COCO-format files."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as rle

from common.data.coco import CocoDataset
from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families.pose2seg import ochuman

NAMES = ["head", "neck", *KEYPOINT_NAMES[::-1]]


def person(**changes) -> dict:
    """Key point k of COCO's stands at (10 + k, 20 + k), with each visibility in turn."""
    points = [0.5, 0.5, 1, 1.5, 1.5, 1]
    for place in reversed(range(17)):
        points += [10 + place, 20 + place, place % 4]
    square, hole = [2, 2, 22, 2, 22, 32, 2, 32], [5, 5, 10, 5, 10, 10, 5, 10]
    segments = {"height": 50, "width": 40, "outer": [square, [1, 1, 2, 2]], "inner": [hole]}
    return {"bbox": [2, 2, 22, 32], "keypoints": points, "segms": segments, "max_iou": 0.6} | changes


def write(path: Path, *images: list[dict]) -> Path:
    records = [
        {"image_id": f"i{index}", "file_name": f"{index}.jpg", "width": 40, "height": 50, "annotations": persons}
        for index, persons in enumerate(images)
    ]
    visibility = {"missing": 0, "vis": 1, "self_occluded": 2, "others_occluded": 3}
    path.write_text(json.dumps({"keypoint_names": NAMES, "keypoint_visible": visibility, "images": records}))
    return path


def test_persons_with_key_points_and_mask_become_annotations(tmp_path):
    half = [person(keypoints=None), person(segms=None)]
    found = ochuman.convert(write(tmp_path / "ochuman.json", half, [person(), *half, person(max_iou=0.9)]))["val"]
    assert found["images"] == [{"id": 1, "file_name": "1.jpg", "height": 50, "width": 40}]
    first, second = found["annotations"]
    assert (first["id"], first["image_id"], second["id"], second["image_id"]) == (1, 1, 2, 1)
    assert first["bbox"] == [2, 2, 20, 30] and first["area"] == 600 and first["iscrowd"] == 0
    points = np.array(first["keypoints"]).reshape(17, 3)
    assert points[:, 0].tolist() == list(range(10, 27)) and points[:, 1].tolist() == list(range(20, 37))
    assert points[:4, 2].tolist() == [0, 2, 2, 1], "seen and hidden by oneself are seen"
    assert first["num_keypoints"] == 12
    mask = rle.decode(first["segmentation"])
    assert mask.shape == (50, 40) and mask.sum() == 20 * 30 - 5 * 5 and not mask[7, 7]
    assert found["categories"][0]["keypoints"] == list(KEYPOINT_NAMES)


def test_the_first_2500_images_are_val_and_ids_begin_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(ochuman, "VAL_IMAGES", 2)
    images = [[person(max_iou=0.8)], [], [person()], [person()], [person(max_iou=0.8)]]
    found = ochuman.convert(write(tmp_path / "ochuman.json", *images), 0.75, 1.0)
    names = {split: [image["file_name"] for image in content["images"]] for split, content in found.items()}
    assert names == {"val": ["0.jpg"], "test": ["4.jpg"]}
    assert found["test"]["images"][0]["id"] == 1 and found["test"]["annotations"][0]["id"] == 1


def test_the_command_writes_files_that_the_data_set_reads(tmp_path, monkeypatch, capsys):
    write(tmp_path / "ochuman.json", [person()])
    monkeypatch.setattr("sys.argv", ["ochuman", str(tmp_path), str(tmp_path / "annotations")])
    ochuman.main()
    assert "val: 1 persons in 1 images" in capsys.readouterr().out
    name = "ochuman_coco_format_val_range_0.00_1.00.json"
    assert [path.name for path in (tmp_path / "annotations").iterdir()] == [name]
    dataset = CocoDataset(tmp_path / "annotations" / name, tmp_path)
    assert len(dataset.objects(0)) == 1 and not dataset.faults


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keypoints": [1, 2, 1]}, r"0.jpg: a person has 3 key-point numbers"),
        ({"keypoints": [1, 2, 7] * 19}, "unknown visibility 7"),
        ({"bbox": None}, "not OCHuman's own annotation file"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(changes: dict, words: str, tmp_path):
    path = write(tmp_path / "ochuman.json", [person(**changes)])
    with pytest.raises(UserError, match=words) as refusal:
        ochuman.convert(path)
    assert str(path) in str(refusal.value)
