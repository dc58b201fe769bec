"""The synthetic set: the same bytes from the same seed, and annotations that say what is drawn."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from common.data.shapes import write_shapes
from common.errors import UserError

REPOSITORY = Path(__file__).parents[3]


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("synthetic") / "shapes", images=150, seed=11, val_images=5)


@pytest.fixture(scope="module")
def instances(root) -> COCO:
    return COCO(root / "annotations/instances_train.json")


@pytest.mark.slow
def test_equal_seeds_give_equal_bytes(root, tmp_path):
    again = write_shapes(tmp_path / "again", images=150, seed=11, val_images=5)
    assert contents(again) == contents(root)
    other = contents(write_shapes(tmp_path / "other", images=20, seed=12, val_images=5))
    assert other.keys() <= contents(again).keys()
    assert not set(other.values()) & set(contents(again).values())


def test_an_image_does_not_depend_on_how_many_there_are(root, tmp_path):
    few = contents(write_shapes(tmp_path / "few", images=3, seed=11))
    for name in ("train/000000000003.png", "val/000001000001.png"):
        assert few[name] == contents(root)[name]


def test_layout(root):
    names = set(contents(root))
    assert {f"annotations/{kind}_{split}.json" for kind in ("instances", "person_keypoints") for split in
            ("train", "val")} <= names  # fmt: skip
    assert len(list((root / "train").iterdir())) == 150 and len(list((root / "val").iterdir())) == 5


def test_annotations_are_cocos(root, instances):
    assert [each["id"] for each in instances.dataset["categories"]] == [1, 3, 4, 8]
    assert {each["category_id"] for each in instances.anns.values()} == {1, 3, 4, 8}
    kinds = set()
    for each in instances.anns.values():
        mask = instances.annToMask(each)
        assert mask.shape == (128, 160) and mask.sum() == each["area"] > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
        np.testing.assert_array_equal(each["bbox"], box)
        segmentation = each["segmentation"]
        kinds.add("polygons" if isinstance(segmentation, list) else type(segmentation["counts"]).__name__)
        assert isinstance(segmentation, list) or each["iscrowd"] == isinstance(segmentation["counts"], list)
    assert kinds == {"polygons", "str", "list"}


def test_objects_of_an_image_do_not_share_a_pixel_and_some_are_half_hidden(root, instances):
    hidden = 0
    for image_id in instances.imgs:
        found = instances.loadAnns(instances.getAnnIds(image_id))
        masks = [instances.annToMask(each) for each in found]
        assert np.sum(masks, axis=0).max(initial=0) <= 1
        assert sum(not each["iscrowd"] for each in found) <= 4
        hidden += sum(isinstance(each["segmentation"], dict) for each in found)
    assert 0.1 < hidden / len(instances.anns) < 0.6


def test_each_class_has_its_colour(root, instances):
    hues = {1: 45, 3: 350, 4: 130, 8: 220}
    for each in list(instances.anns.values())[:80]:
        pixels = cv2.imread(str(root / "train" / instances.imgs[each["image_id"]]["file_name"]))
        colour = pixels[instances.annToMask(each).astype(bool)].mean(axis=0).astype(np.float32)
        hue = cv2.cvtColor(colour[None, None], cv2.COLOR_BGR2HSV)[0, 0, 0]
        distance = abs((hue - hues[each["category_id"]] + 180) % 360 - 180)
        assert distance < 20, each["id"]


def test_persons_have_key_points_where_they_are_seen(root, instances):
    persons = COCO(root / "annotations/person_keypoints_train.json")
    assert list(persons.cats) == [1] and len(persons.cats[1]["keypoints"]) == 17
    assert set(persons.anns) == {key for key, each in instances.anns.items() if each["category_id"] == 1}
    counts = np.zeros(3, int)
    for key, person in persons.anns.items():
        plain = instances.anns[key]
        assert all(person[field] == plain[field] for field in plain)
        mask = instances.annToMask(plain)
        points = np.reshape(person["keypoints"], (17, 3))
        assert person["num_keypoints"] == (points[:, 2] > 0).sum()
        for x, y, visibility in points:
            counts[int(visibility)] += 1
            if visibility:
                assert mask[int(y), int(x)] == (visibility == 2)
            else:
                assert (x, y) == (0, 0)
    assert (counts > 10).all()


def test_a_set_of_persons_alone_hides_many_of_them(tmp_path):
    out = write_shapes(tmp_path / "persons", images=40, seed=0, val_images=1, persons=True)
    whole = json.loads((out / "annotations/person_keypoints_train.json").read_text())
    assert len(whole["annotations"]) > 60 and {each["category_id"] for each in whole["annotations"]} == {1}
    plain = json.loads((out / "annotations/instances_train.json").read_text())
    assert len(plain["annotations"]) == len(whole["annotations"])
    visibility = np.array([each["keypoints"][2::3] for each in whole["annotations"]])
    behind = (visibility == 1).sum(axis=1) / np.maximum((visibility > 0).sum(axis=1), 1)
    assert (behind > 0.3).mean() > 0.15 and (behind > 0.6).any(), "persons behind others"
    assert (behind == 0).mean() > 0.3
    assert write_shapes(out, images=40, seed=0, val_images=1, persons=True) == out
    with pytest.raises(UserError, match="holds something else"):
        write_shapes(out, images=40, seed=0, val_images=1)


def test_some_images_are_empty_and_some_hold_a_crowd(instances):
    owners = [each["image_id"] for each in instances.anns.values()]
    assert 0 < len(set(instances.imgs) - set(owners)) < 15
    assert 0 < sum(each["iscrowd"] for each in instances.anns.values()) < 20


def test_a_set_that_is_there_stays_and_anything_else_is_not_overwritten(tmp_path):
    out = write_shapes(tmp_path / "shapes", images=2, seed=0)
    stamp = (out / "annotations/instances_val.json").stat().st_mtime_ns
    write_shapes(out, images=2, seed=0)
    assert (out / "annotations/instances_val.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="holds something else"):
        write_shapes(out, images=3, seed=0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(UserError, match="holds something else"):
        write_shapes(tmp_path / "full", images=2, seed=0)
    (tmp_path / "empty").mkdir()
    write_shapes(tmp_path / "empty", images=2, seed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full", "shapes"]


def test_nothing_is_left_of_a_set_that_could_not_be_finished(tmp_path, monkeypatch):
    calls = []

    def imwrite(*arguments) -> bool:
        calls.append(arguments)
        return len(calls) < 4

    monkeypatch.setattr(cv2, "imwrite", imwrite)
    with pytest.raises(UserError, match="cannot write"):
        write_shapes(tmp_path / "shapes", images=5, seed=0)
    assert not list(tmp_path.iterdir())


def test_command(tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "common.data.shapes", str(tmp_path / "out"), *arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    done = run("--images", "2", "--val-images", "1", "--seed", "3", "--size", "96x64")
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())["images"]
    assert [(each["width"], each["height"]) for each in listed] == [(96, 64)] * 2
    for arguments, message in ((("--size", "96"), "expected WIDTHxHEIGHT"), (("--images", "0"), "at least one image")):
        refused = run(*arguments)
        assert refused.returncode == 2 and message in refused.stderr and "Traceback" not in refused.stderr
