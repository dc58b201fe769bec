"""Arrays for ms_deform_attn, in NumPy."""

import numpy as np

# Among them a map of one cell, one of a single row and one of a single column.
SHAPES = [(4, 6), (1, 1), (1, 5), (3, 1)]


def places(pixels: np.ndarray, shapes: list[tuple[int, int]]) -> np.ndarray:
    """Pixels (..., maps, points, 2) as x, y, where cell 0 has its middle at 0, as shares of their maps."""
    return (pixels + 0.5) / np.array(shapes)[:, None, ::-1]


def arrays(
    shapes: list[tuple[int, int]] = SHAPES, images: int = 2, heads: int = 3, size: int = 5, queries: int = 7
) -> list[np.ndarray]:
    """value, locations and attention; locations lie up to two cells outside, and between the middles of cells.

    For at the middles, as finite differences show them, the gradient of a location jumps.
    """
    random = np.random.default_rng(11)
    points = images, queries, heads, len(shapes), 3
    cells = random.integers(-2, np.array(shapes)[:, None, ::-1] + 1, (*points, 2))
    locations = places(cells + random.uniform(0.1, 0.9, (*points, 2)), shapes)
    value = random.standard_normal((images, sum(height * width for height, width in shapes), heads, size))
    return [array.astype(np.float32) for array in (value, locations, random.random(points))]


def exact_places(shapes: list[tuple[int, int]] = SHAPES) -> np.ndarray:
    """(1, queries, 1, maps, 1, 2): middles of cells, corners, borders, and places outside by half a cell and more."""
    x, y = np.meshgrid([-1.5, -1, -0.5, 0, 1, 0.5], [-1.5, -1, -0.5, 0, 1, 0.5])
    from_start = np.stack([x, y], -1).reshape(1, -1, 1, 1, 1, 2) + np.zeros((len(shapes), 1, 1))
    from_end = np.array(shapes)[:, None, ::-1] - 1 - from_start
    return places(np.concatenate([from_start, from_end], 1), shapes).astype(np.float32)
