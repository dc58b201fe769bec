"""Alignment and skeletons as one would write them first: person by person, template by template, limb by limb.

The reference for the family's own; `python -m tests.common.pose.per_person` says how much faster that is.
"""

import math
import time

import cv2
import numpy as np

from common.families.pose2seg import alignment
from common.families.pose2seg.skeletons import CHANNELS, LIMBS, draw_skeletons
from common.families.pose2seg.templates import load_templates

TEMPLATES = load_templates()


def align(keypoints: np.ndarray, source: int, target: int) -> tuple[np.ndarray, float, int]:
    """One person (17, 3) -> matrix (2, 3), score, template."""
    smallest = target / source
    best = np.array([[smallest, 0, 0], [0, smallest, 0]]), 0.0, -1
    for index, (points, has) in enumerate(zip(TEMPLATES.points, TEMPLATES.has, strict=True)):
        seen = keypoints[:, 2] > 0
        if (seen & ~has).any() or (seen & has).sum() < 3:
            continue
        matrix = _similarity(keypoints[seen, :2], points[seen])
        moved = keypoints[seen, :2].astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
        errors = ((moved - points[seen]) ** 2).sum(axis=1) / 2
        score = np.exp(-errors).mean() * (seen & has).sum() / (seen | has).sum()
        if score > best[1] and target * math.hypot(matrix[0, 0], matrix[0, 1]) > smallest:
            best = target * matrix, score, index
    return best


def _similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    system, right = np.zeros((2 * len(points), 4)), np.zeros((2 * len(points), 1))
    for row, ((x, y), target) in enumerate(zip(points, targets, strict=True)):
        system[2 * row], system[2 * row + 1] = (x, y, 1, 0), (y, -x, 0, 1)
        right[2 * row : 2 * row + 2, 0] = target
    a, b, x, y = cv2.solve(system, right, flags=cv2.DECOMP_SVD)[1][:, 0]
    return np.array([[a, b, x], [-b, a, y]])


def skeleton(keypoints: np.ndarray, size: int, sigma: float, distance: float) -> np.ndarray:
    """One person (17, 3) -> (55, size, size)."""
    maps = np.zeros((CHANNELS, size, size), np.float32)
    for point, (x, y, visibility) in enumerate(keypoints.astype(np.float64)):
        if visibility > 0:
            maps[point] = _bell(x, y, size, sigma) * (-1 if visibility == 1 else 1)
    for limb, (start, end) in enumerate(LIMBS):
        if keypoints[start, 2] > 0 and keypoints[end, 2] > 0:
            first, second = keypoints[start, :2].astype(np.float64), keypoints[end, :2].astype(np.float64)
            maps[17 + 2 * limb : 19 + 2 * limb] = _limb(first, second, size, distance)
    return maps


def _bell(x: float, y: float, size: int, sigma: float) -> np.ndarray:
    steps = np.arange(size)
    exponent = ((steps - x) ** 2 + (steps[:, None] - y) ** 2) / 2 / sigma**2
    return np.where(exponent < 4.6025, np.exp(-exponent), 0)


def _limb(first: np.ndarray, second: np.ndarray, size: int, distance: float) -> np.ndarray:
    maps = np.zeros((2, size, size))
    length = np.sqrt(((second - first) ** 2).sum())
    if length == 0:
        return maps
    along = (second - first) / length
    x_low, y_low = (max(round(low), 0) for low in np.minimum(first, second) - distance)
    x_high, y_high = (min(round(high), size) for high in np.maximum(first, second) + distance)
    if x_high <= x_low or y_high <= y_low:
        return maps
    x, y = np.arange(x_low, x_high), np.arange(y_low, y_high)[:, None]
    near = np.abs((x - first[0]) * along[1] - (y - first[1]) * along[0]) < distance
    for channel in (0, 1):
        maps[channel, y_low:y_high, x_low:x_high][near] = along[channel]
    return maps


def persons(count: int, side: float, rng: np.random.Generator) -> np.ndarray:
    """(count, 17, 3): turned, scaled, disturbed templates in a square, some points hidden, some unlabelled."""
    drawn = np.zeros((count, 17, 3), np.float32)
    for person in drawn:
        template = rng.integers(len(TEMPLATES.points))
        angle, scale = rng.uniform(-1, 1), side * rng.uniform(0.1, 1.0)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        points = TEMPLATES.points[template] @ turn * scale + rng.uniform(-0.2, 0.8, 2) * side
        person[:, :2] = points + rng.normal(0, 0.02 * scale, (17, 2))
        person[:, 2] = np.where(TEMPLATES.has[template], rng.choice([0, 1, 2], 17, p=[0.15, 0.25, 0.6]), 0)
    return drawn * (drawn[..., 2:] > 0)


def main() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 8, 64):
        drawn = persons(count, 128, rng)
        aligned = drawn * np.array([0.5, 0.5, 1], np.float32)
        pairs = {
            "alignment": (
                lambda drawn=drawn: [align(person, 128, 64) for person in drawn],
                lambda drawn=drawn: alignment.align(drawn, TEMPLATES, 128, 64),
            ),
            "skeletons": (
                lambda aligned=aligned: np.stack([skeleton(person, 64, 3.0, 1.0) for person in aligned]),
                lambda aligned=aligned: draw_skeletons(aligned, 64, 3.0, 1.0),
            ),
        }
        for what, (slow, fast) in pairs.items():
            before, now = _milliseconds(slow), _milliseconds(fast)
            print(f"{what}, {count} persons: {before:.2f} ms in a loop, {now:.2f} ms at once, {before / now:.1f} times")


def _milliseconds(call, runs: int = 15) -> float:
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[runs // 2]


if __name__ == "__main__":
    main()
