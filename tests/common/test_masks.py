"""Windows, resizing, pasting and drawing of masks against plain loops and the three families' answers."""

import numpy as np
import pytest
from pycocotools import mask as rle

from common.families.mask_rcnn.masks import paste, polygons_in_box
from common.families.yolact.masks import find_spans, make_windows, resize_binary
from tests.common.rcnn_cases import RULES, arrays, close


@pytest.mark.parametrize("prefix", RULES)
def test_pasting_is_the_familys(prefix):
    inputs = arrays("mask_paste")
    size = tuple(int(side) for side in inputs["in.image_size"])
    soft = paste(inputs["in.masks"], inputs["in.boxes"], size, RULES[prefix])
    if prefix != "mb":
        close(soft, "mask_paste", f"{prefix}_soft")
    binary = soft >= 0.5 if prefix == "d2" else soft > 0.5
    np.testing.assert_array_equal(binary.sum(axis=(1, 2)), inputs[f"out.{prefix}_areas"])
    ends = np.cumsum(inputs[f"out.{prefix}_lengths"])
    for mask, counts in zip(binary, np.split(inputs[f"out.{prefix}_counts"], ends[:-1]), strict=True):
        packed = rle.frPyObjects({"size": list(size), "counts": counts.tolist()}, *size)
        np.testing.assert_array_equal(mask, rle.decode(packed).astype(bool))


@pytest.mark.parametrize("prefix", RULES)
def test_masks_beside_the_image_and_none_at_all(prefix):
    full = np.ones((3, 28, 28), np.float32)
    boxes = np.array([[-50, 2, -40, 8], [2, 100, 8, 120], [-5, -5, 6, 6]], np.float32)
    pasted = paste(full, boxes, (20, 30), RULES[prefix])
    assert not pasted[:2].any() and (pasted[2, :4, :4] > 0.99).all() and not pasted[2, 10:, 10:].any()
    assert paste(full[:0], boxes[:0], (20, 30), RULES[prefix]).shape == (0, 20, 30)


def test_window_is_that_of_plain_loops():
    boxes = np.array([[0.1, 0.2, 0.55, 0.6], [0.9, 0.6, 0.3, 0.1], [-1, -1, 2, 2], [1.5, 0, 2, 1]], np.float32)
    height, width = 11, 17
    found = make_windows(boxes, (height, width), margin=1)
    for box, inside in zip(boxes, found, strict=True):
        low_x, high_x = sorted((box[0] * width, box[2] * width))
        low_y, high_y = sorted((box[1] * height, box[3] * height))
        for y in range(height):
            for x in range(width):
                assert inside[y, x] == (low_x - 1 <= x < high_x + 1 and low_y - 1 <= y < high_y + 1)
    np.testing.assert_array_equal(make_windows(boxes.reshape(2, 2, 4), (height, width), 1), found.reshape(2, 2, 11, 17))


def test_spans_are_what_the_window_has_inside():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(-0.5, 1.5, (200, 4)).astype(np.float32)
    boxes[:4] = [[0, 0, 1, 1], [2, 2, 3, 3], [-2, 0.5, -1, 0.5], [np.nan] * 4]
    expected = make_windows(boxes, (11, 17), margin=1)
    rows, columns = find_spans(boxes[:, 1], boxes[:, 3], 11, 1), find_spans(boxes[:, 0], boxes[:, 2], 17, 1)
    for inside, y, x in zip(expected, rows, columns, strict=True):
        assert inside[y, x].all() and inside[y, x].size == inside.sum()


@pytest.mark.parametrize(("source", "size"), [((9, 14), (23, 20)), ((40, 30), (7, 5)), ((12, 12), (6, 6))])
def test_resizing_is_bilinear_between_pixel_centres(source, size):
    rng = np.random.default_rng(0)
    masks = rng.random((3, *source)).astype(np.float32)
    expected = np.zeros((3, *size))
    for y in range(size[0]):
        for x in range(size[1]):
            place = [(i + 0.5) * s / t - 0.5 for i, s, t in ((y, source[0], size[0]), (x, source[1], size[1]))]
            place = [min(max(p, 0), s - 1) for p, s in zip(place, source, strict=True)]
            (y0, fy), (x0, fx) = [(int(p), p - int(p)) for p in place]
            y1, x1 = min(y0 + 1, source[0] - 1), min(x0 + 1, source[1] - 1)
            upper = masks[:, y0, x0] * (1 - fx) + masks[:, y0, x1] * fx
            expected[:, y, x] = upper * (1 - fy) + (masks[:, y1, x0] * (1 - fx) + masks[:, y1, x1] * fx) * fy
    sure = np.abs(expected - 0.5) > 1e-5
    np.testing.assert_array_equal(resize_binary(masks, size)[sure], (expected > 0.5)[sure])


def test_a_value_of_one_half_is_outside():
    assert not resize_binary(np.full((1, 4, 4), 0.5, np.float32), (9, 9)).any()
    halves = np.zeros((1, 4, 4), np.uint8)
    halves[0, :, ::2] = 1
    assert not resize_binary(halves, (2, 2)).any()
    assert resize_binary(np.zeros((0, 4, 4), bool), (9, 9)).shape == (0, 9, 9)


@pytest.mark.parametrize("prefix", ["mb", "d2"])
def test_polygons_in_a_box_are_the_familys(prefix):
    inputs = arrays("rcnn_losses")
    drawn = []
    for image in range(2):
        parts = np.split(inputs[f"in.poly_xy_{image}"], np.cumsum(inputs[f"in.poly_len_{image}"])[:-1])
        owners = inputs[f"in.poly_owner_{image}"]
        boxes = np.concatenate([inputs[f"in.proposals_{image}"], inputs[f"in.gt_boxes_{image}"]])
        objects = inputs[f"in.gt_boxes_{image}"]
        for row in inputs[f"in.{prefix}_roi_pos_{image}"]:
            box = boxes[row]
            matched = max(range(len(objects)), key=lambda i, box=box, objects=objects: _plain_iou(objects[i], box))
            polygons = [part for part, owner in zip(parts, owners, strict=True) if owner == matched]
            drawn.append(polygons_in_box(polygons, box, 28))
    close(np.stack(drawn), "rcnn_losses", f"{prefix}_mask_targets")


def _plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)
