"""PointRend's points in NumPy: where they lie, which are drawn, and what is read there."""

import numpy as np
import pytest

from common import numpy_ops
from common.errors import UserError
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.outlines import Outline, draw_outline
from common.families.point_rend.points import STRIDE, draw_points, grid_points, read_map, read_outlines, to_image
from common.families.point_rend.samples import with_bitmaps
from common.families.point_rend.settings import TrainingPoints
from common.models import load_settings

RNG = np.random.default_rng(3)


def test_a_grids_points_are_its_cells_centres_row_by_row():
    np.testing.assert_array_equal(grid_points(2), np.float32([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]))


def test_points_depend_on_the_seed_and_the_region_alone():
    points = TrainingPoints()
    candidates, fresh = draw_points(7, np.array([5, 1 << 41, 9]), points)
    assert candidates.shape == (3, 588, 2) and fresh.shape == (3, 49, 2)
    again, fresh_again = draw_points(7, np.array([9, 5]), points)
    np.testing.assert_array_equal(again, candidates[[2, 0]])
    np.testing.assert_array_equal(fresh_again, fresh[[2, 0]])
    assert not np.isin(draw_points(8, np.array([5]), points)[0], candidates).all()
    drawn = np.concatenate([candidates, fresh], axis=1)
    assert drawn.min() >= 0 and drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.02
    assert len(np.unique(drawn.reshape(-1, 2), axis=0)) == 3 * 637


def test_a_map_is_read_at_the_centres_of_its_cells_and_is_0_outside():
    feature = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
    y, x = np.mgrid[0:4, 0:5]
    centres = np.stack([(x + 0.5) * STRIDE, (y + 0.5) * STRIDE], axis=-1).reshape(1, -1, 2).astype(np.float32)
    outside = np.full_like(centres, -3.0)
    read = read_map(feature, np.concatenate([centres, centres, outside]), [1, 2])
    np.testing.assert_allclose(read[0].reshape(3, 4, 5), feature[0], atol=1e-5)
    np.testing.assert_allclose(read[1].reshape(3, 4, 5), feature[1], atol=1e-5)
    assert not read[2].any()


def test_a_window_of_a_bitmap_is_read_as_the_whole_image():
    image = np.zeros((20, 30), np.uint8)
    image[5:14, 0:9] = RNG.integers(0, 2, (9, 9))
    window = Outline(bitmap=image[4:16, 0:11], corner=(0, 4))
    points = RNG.uniform(-3, 33, (2, 400, 2)).astype(np.float32)
    grid = 2.0 * points / np.float32([30, 20]) - 1.0
    expected = numpy_ops.grid_sample(image[None, None].astype(np.float32), grid[:, :, None])[:, 0, :, 0]
    assert expected.any()
    for outline in (window, Outline(bitmap=image)):
        np.testing.assert_allclose(read_outlines([outline, outline], points), expected, atol=1e-5)


def test_points_of_a_box_in_the_image():
    boxes = np.float32([[10, 20, 30, 24]])
    np.testing.assert_array_equal(to_image(np.float32([[[0, 0], [0.5, 1]]]), boxes), np.float32([[[10, 20], [20, 24]]]))


def test_a_polygon_becomes_its_pixels_with_an_edge_of_zeros():
    square = Outline((np.float64([4, 3, 10, 3, 10, 8, 4, 8]),))
    drawn = draw_outline(square, (20, 30))
    assert drawn.corner == (3, 2) and drawn.bitmap.sum() == 6 * 5
    assert not drawn.bitmap[[0, -1]].any() and not drawn.bitmap[:, [0, -1]].any()
    assert drawn.bitmap[1:-1, 1:-1].all()
    at_the_border = draw_outline(Outline((np.float64([0, 0, 30, 0, 30, 20, 0, 20]),)), (20, 30))
    assert at_the_border.corner == (0, 0) and at_the_border.bitmap.shape == (20, 30) and at_the_border.bitmap.all()


@pytest.mark.parametrize(("convention", "labels"), [("detectron2", [2]), ("mindspore_zoo", [1, 2])])
def test_an_object_without_a_pixel_is_left_out_by_detectron2(convention, labels):
    line, square = (np.float64(each) for each in ([4, 3, 4.01, 3, 4.01, 3.01], [4, 3, 10, 3, 10, 8, 4, 8]))
    sample = {
        "image": np.zeros((3, 20, 30), np.float32),
        "boxes": np.float32([[4, 3, 4.01, 3.01], [4, 3, 10, 8]]),
        "labels": np.int32([1, 2]),
        "outlines": [Outline((line,)), Outline((square,))],
    }
    kept = with_bitmaps(sample, CONVENTIONS[convention])
    assert kept["labels"].tolist() == labels
    assert len(kept["outlines"]) == len(labels) and kept["boxes"].shape == (len(labels), 4)


@pytest.mark.parametrize(
    ("steps", "points", "sides"),
    [(5, 784, [28, 56, 112, 224]), (5, 783, [14, 28, 56, 112, 224]), (0, 784, [7]), (1, 784, [14])],
)
def test_the_sides_of_the_subdivision(steps, points, sides):
    changed = [f"subdivision.steps={steps}", f"subdivision.points={points}"]
    assert load_settings("point_rend_tiny", changed).mask_sides() == sides


def test_a_model_without_a_pyramid_is_refused():
    with pytest.raises(UserError, match=r"network\.fpn: PointRend reads the finest map of a feature pyramid"):
        load_settings("point_rend_r50_fpn", ["network.fpn=false"])
