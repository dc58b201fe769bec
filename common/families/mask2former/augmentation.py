"""Large-scale jitter (Ghiasi et al., 2021) as detectron2 does it: a square cut from a mirrored, resized image.

What the image goes through, maps of segments, bitmaps and polygons follow.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.data.transforms import maybe, resize_by_pillow
from common.families.mask2former.settings import Mask2FormerAugmentation

GROUND = 128  # of each channel, where the square reaches beyond the image
# A polygon of less has been cut away, but for rounding.
_SMALLEST_AREA = 1e-6  # in pixels


@dataclass(frozen=True)
class Cut:
    """How an image becomes a square: mirrored or not, resized, and cut with the upper left pixel at `corner` (x, y).

    original, resized: the image's size (H, W) before and after; side: the square's, in pixels.
    """

    original: tuple[int, int]
    mirrored: bool
    resized: tuple[int, int]
    corner: tuple[int, int]
    side: int

    @property
    def shown(self) -> tuple[int, int]:
        """The size (H, W) of the part of the square that shows the image; it is the upper left one."""
        height, width = (min(length, self.side) for length in self.resized)
        return height, width


def draw_cut(size: tuple[int, int], augmentation: Mask2FormerAugmentation, rng: np.random.Generator) -> Cut:
    """Draws how an image of `size` (H, W) is cut.

    Sides and the corner are rounded to the nearest whole number, halves to the even one. One number serves the corner's
    x and y: squares lie on a diagonal.
    """
    side, (height, width) = augmentation.size, size
    mirrored = maybe(rng, augmentation.flip)
    target = side * rng.uniform(augmentation.smallest, augmentation.largest)
    factor = min(target / height, target / width)
    resized = max(1, round(height * factor)), max(1, round(width * factor))
    place = rng.uniform(0.0, 1.0)
    y, x = (round(max(length - side, 0) * place) for length in resized)
    return Cut(size, mirrored, resized, (x, y), side)


def cut_image(image: np.ndarray, cut: Cut) -> np.ndarray:
    """The square (S, S, 3) uint8 of an image (H, W, 3) uint8, on grey ground."""
    image = np.ascontiguousarray(image[:, ::-1]) if cut.mirrored else image
    (x, y), (height, width) = cut.corner, cut.shown
    square = np.full((cut.side, cut.side, 3), GROUND, np.uint8)
    square[:height, :width] = resize_by_pillow(image, cut.resized)[y : y + height, x : x + width]
    return square


def cut_map(values: np.ndarray, cut: Cut) -> np.ndarray:
    """The part (h, w) of a square that shows an image's values (H, W), which are not mixed: that of the nearest pixel.

    The part is `cut.shown`; beyond it there is nothing.
    """
    (x, y), (height, width) = cut.corner, cut.shown
    rows, columns = (_nearest(length, resized) for length, resized in zip(cut.original, cut.resized, strict=True))
    columns = columns[x : x + width]
    columns = cut.original[1] - 1 - columns if cut.mirrored else columns
    return values[rows[y : y + height, None], columns]


def cut_polygons(polygons: tuple[np.ndarray, ...], cut: Cut) -> list[np.ndarray]:
    """Polygons, each (2 K,) x, y, x, y, ..., in pixels of the image -> in those of the square, and cut to it.

    Those that are cut away are left out. Unlike the image itself, a polygon may reach beyond it.
    """
    kept = []
    for polygon in polygons:
        points = polygon.reshape(-1, 2).copy()
        if cut.mirrored:
            points[:, 0] = cut.original[1] - points[:, 0]
        points *= np.array([cut.resized[1] / cut.original[1], cut.resized[0] / cut.original[0]])
        points = clip_polygon(points - np.array(cut.corner), cut.side)
        if _area(points) > _SMALLEST_AREA:
            kept.append(points.reshape(-1))
    return kept


def clip_polygon(points: np.ndarray, side: float) -> np.ndarray:
    """Clips a polygon (K, 2) x, y to the square from 0 to `side`, one side after the other (Sutherland and Hodgman).

    Parts that are separate then stay joined along the square's border, where they enclose nothing.
    """
    for axis, bound, sign in ((0, 0.0, 1), (0, side, -1), (1, 0.0, 1), (1, side, -1)):
        distance = sign * (points[:, axis] - bound)
        inside = distance >= 0
        if inside.all():
            continue
        following, distance_after = np.roll(points, -1, axis=0), np.roll(distance, -1)
        crosses = inside != np.roll(inside, -1)
        share = np.divide(distance, distance - distance_after, out=np.zeros_like(distance), where=crosses)
        crossing = points + share[:, None] * (following - points)
        crossing[:, axis] = bound
        points = np.stack([points, crossing], axis=1)[np.stack([inside, crosses], axis=1)]
    return points


def _area(points: np.ndarray) -> float:
    """The area inside a polygon (K, 2)."""
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _nearest(length: int, resized: int) -> np.ndarray:
    """For each pixel of a resized side the one of the original side that Pillow shows there: (resized,)."""
    # Pillow adds up its steps, and the sum's rounding can decide: it is asked, with the pixels' own numbers.
    numbers = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    return np.asarray(numbers.resize((resized, 1), Image.Resampling.NEAREST))[0]
