"""Alignment to pose templates: against the loop over persons, and on persons of whom little is seen."""

import json

import numpy as np
import pytest

from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families.pose2seg import affine, templates
from common.families.pose2seg.alignment import align, make_sampling_grid
from common.families.pose2seg.templates import load_templates
from common.numpy_ops import grid_sample
from tests.common.pose import per_person

SOURCE, TARGET = 128, 64
PLAIN = np.array([[0.5, 0, 0], [0, 0.5, 0]], np.float32)


def test_many_persons_are_aligned_as_each_by_itself():
    persons = per_person.persons(60, SOURCE, np.random.default_rng(0))
    found = align(persons, per_person.TEMPLATES, SOURCE, TARGET)
    matrices, scores, templates = zip(*(per_person.align(each, SOURCE, TARGET) for each in persons), strict=True)
    np.testing.assert_array_equal(found.templates, templates)
    np.testing.assert_allclose(found.scores, scores, atol=1e-9)
    np.testing.assert_allclose(found.matrices, matrices, rtol=1e-6, atol=1e-5)
    assert (found.templates == -1).sum() >= 3 and len(set(templates)) == 7, "the draw misses a case"


def test_a_turned_template_is_found_again_and_its_map_undone():
    points = per_person.TEMPLATES.points[0]
    turn = affine.turn_squares(np.array([25.0]), np.array([60.0]), np.array([[30.0, 20.0]]), 1)[0]
    person = affine.transform(np.concatenate([points, np.full((17, 1), 2.0)], axis=1)[None], turn)
    found = align(person, per_person.TEMPLATES, SOURCE, TARGET)
    assert found.templates[0] == 0 and found.scores[0] == pytest.approx(1)
    moved = affine.transform(person, found.matrices)[0, :, :2]
    np.testing.assert_allclose(moved, points * TARGET, atol=1e-3)


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_a_person_of_whom_fewer_than_three_points_are_seen_gets_the_plain_resize(seen: int):
    person = np.zeros((1, 17, 3), np.float32)
    person[0, :seen] = np.array([(40, 50, 2), (60, 45, 1)])[:seen]
    found = align(person, per_person.TEMPLATES, SOURCE, TARGET)
    np.testing.assert_array_equal(found.matrices[0], PLAIN)
    assert found.templates[0] == -1 and found.scores[0] == 0


def test_points_that_lie_in_one_place_are_mapped_by_the_smallest_numbers():
    person = np.zeros((1, 17, 3), np.float32)
    person[0, 5:9] = 70, 40, 2
    found = align(person, per_person.TEMPLATES, SOURCE, TARGET)
    matrix, score, _ = per_person.align(person[0], SOURCE, TARGET)
    np.testing.assert_allclose(found.matrices[0], matrix, rtol=1e-5, atol=1e-5)
    assert found.scores[0] == pytest.approx(score)


def test_points_outside_the_image_count_like_others():
    persons = per_person.persons(20, SOURCE, np.random.default_rng(1))
    persons[..., :2] -= 300 * (persons[..., 2:] > 0)
    found = align(persons, per_person.TEMPLATES, SOURCE, TARGET)
    for person, matrix in zip(persons, found.matrices, strict=True):
        np.testing.assert_allclose(matrix, per_person.align(person, SOURCE, TARGET)[0], rtol=1e-5, atol=1e-3)


def test_no_person_is_no_error():
    found = align(np.zeros((0, 17, 3), np.float32), per_person.TEMPLATES, SOURCE, TARGET)
    assert found.matrices.shape == (0, 2, 3)
    assert make_sampling_grid(found.matrices, SOURCE, TARGET).shape == (0, TARGET, TARGET, 2)


def test_the_grid_samples_where_the_matrix_points():
    # A map whose two channels are its own coordinates.
    columns, rows = np.meshgrid(np.arange(SOURCE, dtype=np.float32), np.arange(SOURCE, dtype=np.float32))
    matrices = np.array([[[1.1, 0.3, -30], [-0.3, 1.1, -20]]])
    sampled = grid_sample(np.stack([columns, rows])[None], make_sampling_grid(matrices, SOURCE, TARGET), True)[0]
    back, stretch = affine.invert(matrices)[0], SOURCE / (SOURCE - 1)
    for row, column in ((0, 0), (10, 50), (63, 20)):
        # The original's slip: cells a little farther apart on the way in, a little closer on the way out.
        place = (back[:, :2] @ (column * stretch, row * stretch) + back[:, 2]) / stretch
        np.testing.assert_allclose(sampled[:, row, column], place, atol=1e-3)


def test_jitter_turns_scales_and_shifts_about_the_middle():
    (matrix,) = affine.turn_squares(np.array([90.0]), np.array([2.0]), np.array([[0.1, 0.0]]), 64)
    np.testing.assert_allclose(matrix @ (32, 32, 1), (38.4, 32))
    np.testing.assert_allclose(matrix @ (33, 32, 1), (38.4, 34))


def test_templates_that_are_none_are_refused_in_one_line(tmp_path):
    path = tmp_path / "templates.json"
    good = json.loads(templates.COCO_TEMPLATES.read_text())
    for broken, words in (
        ("{", "not a file of pose templates"),
        (json.dumps(good | {"templates": [[1, 2]]}), "not a file of pose templates"),
        (json.dumps(good | {"templates": []}), "at least one template"),
        (json.dumps(good | {"names": list(KEYPOINT_NAMES[::-1])}), "not COCO's 17"),
    ):
        path.write_text(broken)
        with pytest.raises(UserError, match=words) as refusal:
            load_templates(path)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
