"""Templates made from a key-point set: persons in the unit square, and their clusters."""

import json

import numpy as np
import pytest

from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families.pose2seg import make_templates as pose_templates
from common.families.pose2seg.templates import load_templates
from tests.common.data.coco_files import annotation, image, write

PERSON = [{"id": 1, "name": "person", "keypoints": list(KEYPOINT_NAMES)}]


def test_persons_stand_in_the_unit_square_and_their_mirror_images_behind_them(tmp_path):
    rng = np.random.default_rng(0)
    points = np.zeros((17, 3))
    points[:9, :2], points[:9, 2] = rng.integers(6, 28, (9, 2)), 2
    few = points * (np.arange(17) < 7)[:, None]
    # A box of 20 x 15 pixels, whose lower part lies outside the image of 40 x 30.
    boxes = {"bbox": [10, 20, 20, 15], "area": 1, "category_id": 1}
    annotations = [annotation(1, 1, keypoints=points.ravel().tolist(), **boxes)]
    annotations.append(annotation(2, 1, keypoints=few.ravel().tolist(), **boxes))
    write(tmp_path, [image(1)], annotations, PERSON, draw=False)
    dataset = pose_templates.CocoDataset(tmp_path / "annotations.json", tmp_path)
    first, mirrored = pose_templates.collect_persons(dataset, 8)
    for point, (x, y, visibility) in enumerate(points):
        # The box's last pixels are 29 and 29: 19 columns and 9 rows between the first and the last, so 1/19 a pixel.
        expected = ((x - 10) / 19, (y - 20) / 19 + 5 / 19, 2) if visibility else (0, 0, 0)
        np.testing.assert_allclose(first[point], expected, atol=1e-6)
    left, right = KEYPOINT_NAMES.index("left_eye"), KEYPOINT_NAMES.index("right_eye")
    np.testing.assert_allclose(mirrored[right], first[left] * (-1, 1, 1) + (1, 0, 0), atol=1e-6)
    assert not mirrored[9:].any()


def test_clusters_are_the_means_of_persons_that_lie_close():
    rng = np.random.default_rng(1)
    middles = np.concatenate([rng.uniform(0, 1, (3, 17, 2)), np.full((3, 17, 1), 2.0)], axis=2)
    middles[1, 11:] = 0
    kinds = rng.permutation(np.repeat([0, 1, 2], [50, 30, 20]))
    persons = middles[kinds] + rng.normal(0, 0.01, (100, 17, 3)) * (middles[kinds][..., 2:] > 0)
    # Starts differ; the best of a few finds the three.
    runs = [pose_templates.cluster(persons, 3, np.random.default_rng(seed)) for seed in range(8)]
    found = next(middles for middles, sizes in runs if sizes.tolist() == [50, 30, 20])
    for kind, middle in enumerate(found):
        mean = persons[kinds == kind].mean(axis=0)
        mean[mean[:, 2] == 0] = 0.5, 0.5, 0
        np.testing.assert_allclose(middle, mean, atol=1e-12)
    again = pose_templates.cluster(persons, 3, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(again, runs[0][0])


def test_the_command_writes_a_file_that_alignment_takes(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    boxes = {"bbox": [0, 0, 40, 30], "category_id": 1}
    draws = [np.concatenate([rng.integers(0, 28, (17, 2)), np.full((17, 1), 2)], axis=1) for _ in range(4)]
    annotations = [annotation(i, 1, keypoints=each.ravel().tolist(), **boxes) for i, each in enumerate(draws)]
    write(tmp_path, [image(1)], annotations, PERSON)
    out = tmp_path / "templates.json"
    for data in (tmp_path, tmp_path / "annotations.json"):
        monkeypatch.setattr("sys.argv", ["pose_templates", str(data), str(out), "--clusters", "2"])
        pose_templates.main()
        assert "4 persons" in capsys.readouterr().out
        templates = load_templates(out)
        assert templates.points.shape == (4, 17, 2) and templates.has.all()
    assert json.loads(out.read_text())["flip_map"]["left_eye"] == "right_eye"
    monkeypatch.setattr("sys.argv", ["pose_templates", str(tmp_path), str(out), "--clusters", "9"])
    with pytest.raises(UserError, match="too few for 9 clusters"):
        pose_templates.main()
