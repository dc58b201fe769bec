"""Draws persons' key points as maps: a bell at each point, and along each limb its direction."""

import numpy as np

# The pairs of key points, counted from 0, that limbs join, in the order of the limbs' channels.
LIMBS = np.array([
    (0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (5, 7), (5, 11), (6, 8), (6, 12), (7, 9), (8, 10),
    (11, 12), (11, 13), (12, 14), (13, 15), (14, 16),
])  # fmt: skip
CHANNELS = 17 + 2 * len(LIMBS)

# A bell is cut off where it falls below exp(-4.6025), about a hundredth, as in the original.
_CUTOFF_EXPONENT = 4.6025


def draw_skeletons(keypoints: np.ndarray, size: int, sigma: float, limb_distance: float) -> np.ndarray:
    """Draws maps (P, 55, size, size) float32 of persons (P, 17, 3) x, y, visibility in cells.

    Channels 0 to 16 hold exp(-d^2 / (2 sigma^2)) at the distance d from a key point, times -1 if it is labelled but
    hidden (visibility 1). The other channels hold x and y of each limb's unit vector, in the cells that are nearer to
    its line than `limb_distance` and inside the box of its two points, which is grown by that distance and rounded.
    """
    maps = np.zeros((len(keypoints), CHANNELS, size, size), np.float32)
    _draw_points(maps, keypoints, sigma)
    _draw_limbs(maps, keypoints, limb_distance)
    return maps


def _draw_points(maps: np.ndarray, keypoints: np.ndarray, sigma: float) -> None:
    size = maps.shape[-1]
    radius = sigma * np.sqrt(2 * _CUTOFF_EXPONENT)
    near = (keypoints[..., :2] > -radius).all(axis=-1) & (keypoints[..., :2] < size + radius).all(axis=-1)
    person, point = np.nonzero(near & (keypoints[..., 2] > 0))
    middle = keypoints[person, point, :2].astype(np.float64)
    sign = np.where(keypoints[person, point, 2] == 1, -1.0, 1.0)
    # Only a window of w x w cells around each of the N points is computed.
    first = np.floor(middle - radius).astype(np.int64)
    cells = first[..., None] + np.arange(int(2 * radius) + 2)  # (N, 2, w)
    squares = (cells - middle[..., None]) ** 2
    exponent = (squares[:, 1, :, None] + squares[:, 0, None, :]) / 2 / sigma**2
    within = (cells >= 0) & (cells < size)
    drawn = (exponent < _CUTOFF_EXPONENT) & within[:, 1, :, None] & within[:, 0, None, :]
    first_row = (person * CHANNELS + point) * size
    offsets = ((first_row[:, None] + cells[:, 1]) * size)[:, :, None] + cells[:, 0, None, :]
    values = sign[:, None, None] * np.exp(-exponent)
    maps.reshape(-1)[offsets[drawn]] = values[drawn]


def _draw_limbs(maps: np.ndarray, keypoints: np.ndarray, distance: float) -> None:
    size = maps.shape[-1]
    ends = keypoints[:, LIMBS].astype(np.float64)  # (P, L, 2, 3)
    vectors = ends[:, :, 1, :2] - ends[:, :, 0, :2]
    lengths = np.sqrt((vectors**2).sum(axis=-1))
    person, limb = np.nonzero((ends[..., 2] > 0).all(axis=-1) & (lengths > 0))
    start, directions = ends[person, limb, 0, :2], vectors[person, limb] / lengths[person, limb, None]
    low = np.maximum(np.rint(ends[person, limb, :, :2].min(axis=1) - distance), 0)
    high = np.minimum(np.rint(ends[person, limb, :, :2].max(axis=1) + distance), size)
    # A limb's candidates are, at each step along the axis that it follows more closely, the few cells near its line.
    main = np.abs(directions).argmax(axis=1)
    rows = np.arange(len(main))
    steps = np.arange(size, dtype=np.float64)
    slope = directions[rows, 1 - main] / directions[rows, main]
    middle = start[rows, 1 - main, None] + (steps - start[rows, main, None]) * slope[:, None]
    lowest = np.floor(np.clip(middle - distance * np.sqrt(2), -size, size))
    others = lowest[..., None] + np.arange(int(2 * distance * np.sqrt(2)) + 2)
    mains = np.broadcast_to(steps[:, None], others.shape)
    along_x = (main == 0)[:, None, None]
    x, y = np.where(along_x, mains, others), np.where(along_x, others, mains)
    across = (x - start[:, 0, None, None]) * directions[:, 1, None, None]
    across -= (y - start[:, 1, None, None]) * directions[:, 0, None, None]
    low, high = low[:, :, None, None], high[:, :, None, None]
    drawn = (np.abs(across) < distance) & (x >= low[:, 0]) & (x < high[:, 0]) & (y >= low[:, 1]) & (y < high[:, 1])
    row = np.nonzero(drawn)[0]
    channel = person[row] * CHANNELS + keypoints.shape[1] + 2 * limb[row]
    offsets = (channel * size + y[drawn].astype(np.int64)) * size + x[drawn].astype(np.int64)
    flat = maps.reshape(-1)
    flat[offsets] = directions[row, 0]
    flat[offsets + size * size] = directions[row, 1]
