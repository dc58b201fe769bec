"""Where tokens lie: position encodings, places and first offsets, against numbers worked out one by one."""

import math

import numpy as np
import pytest

from common.errors import UserError
from common.families.mask2former.positions import (
    cell_sizes,
    map_sizes,
    offset_pattern,
    reference_points,
    sine_positions,
)


def test_maps_are_read_from_coarse_to_fine():
    assert map_sizes(64, 96) == ((2, 3), (4, 6), (8, 12))
    for height, width in ((64, 97), (33, 32), (0, 32)):
        with pytest.raises(UserError, match=rf"^image: {height}x{width} pixels; .* multiples of 32$"):
            map_sizes(height, width)


def test_positions_are_waves_of_y_then_of_x():
    found = sine_positions((3, 5), 16)
    assert found.shape == (15, 16) and found.dtype == np.float32
    for y in range(3):
        for x in range(5):
            for channel in range(16):
                place, side = (y, 3) if channel < 8 else (x, 5)
                turn = (place + 1) / (side + 1e-6) * 2 * math.pi
                angle = turn / 10000 ** (2 * (channel % 8 // 2) / 8)
                expected = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
                assert found[5 * y + x, channel] == pytest.approx(expected, abs=1e-6)


def test_places_are_cells_centres_x_first():
    found = reference_points(((1, 2), (2, 4)))
    first = [[0.25, 0.5], [0.75, 0.5]]
    second = [[(x + 0.5) / 4, (y + 0.5) / 2] for y in range(2) for x in range(4)]
    np.testing.assert_allclose(found, first + second)
    np.testing.assert_allclose(cell_sizes(((1, 2), (2, 4))), [[1 / 2, 1], [1 / 4, 1 / 2]])


def test_heads_look_into_eight_directions_at_first():
    found = offset_pattern(8, 3, 4)
    assert found.shape == (8, 3, 4, 2)
    ways = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    for head, way in enumerate(ways):
        for level in range(3):
            for point in range(4):
                np.testing.assert_allclose(found[head, level, point], np.multiply(way, point + 1), atol=1e-6)
