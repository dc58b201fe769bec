"""The outlines of objects, from which mask targets are made, and how they travel in a batch: as a few flat arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle


@dataclass(frozen=True)
class Outline:
    """An object's polygons or, where it has none, a window of its bitmap, in pixels of the resized image.

    polygons: each (2 * points,) float64: x, y, x, y, ...; bitmap: (h, w) uint8 of 0 and 1, whose upper left pixel is
    the image's at `corner` (x, y). All of the object lies in the window, with an edge of zeros about it wherever the
    image goes on, so that a region pooled from the window is the one pooled from the image.
    """

    polygons: tuple[np.ndarray, ...] = ()
    bitmap: np.ndarray | None = None
    corner: tuple[int, int] = (0, 0)


def draw_outline(outline: Outline, size: tuple[int, int]) -> Outline:
    """The outline as a bitmap: the pixels of an image (height, width) that its polygons cover, as pycocotools draws."""
    if outline.bitmap is not None:
        return outline
    packed = rle.merge(rle.frPyObjects([polygon.tolist() for polygon in outline.polygons], *size))
    left, top, width, height = map(int, rle.toBbox(packed))
    x, y = max(left - 1, 0), max(top - 1, 0)
    return Outline(bitmap=rle.decode(packed)[y : top + height + 1, x : left + width + 1], corner=(x, y))


def pack_outlines(outlines: Sequence[Outline]) -> dict[str, np.ndarray]:
    """The outlines of all objects of a batch, in the order of `host.boxes` -> the entries that `unpack_outlines` reads.

    host.polygons (T,) float64, host.polygon_lengths (Q,) how many of these numbers each has, host.polygon_objects (Q,)
    whose it is; host.bitmaps (B,) uint8, host.bitmap_windows (W, 4) left, top, width, height, host.bitmap_objects (W,).
    """
    polygons = [(row, polygon) for row, outline in enumerate(outlines) for polygon in outline.polygons]
    bitmaps = [(row, outline) for row, outline in enumerate(outlines) if outline.bitmap is not None]
    windows = [(*outline.corner, *outline.bitmap.shape[::-1]) for _, outline in bitmaps]
    return {
        "host.polygons": np.concatenate([np.zeros(0), *(polygon for _, polygon in polygons)]),
        "host.polygon_lengths": np.array([len(polygon) for _, polygon in polygons], np.int32),
        "host.polygon_objects": np.array([row for row, _ in polygons], np.int32),
        "host.bitmaps": np.concatenate(
            [np.zeros(0, np.uint8), *(outline.bitmap.reshape(-1) for _, outline in bitmaps)]
        ),
        "host.bitmap_windows": np.array(windows, np.int32).reshape(-1, 4),
        "host.bitmap_objects": np.array([row for row, _ in bitmaps], np.int32),
    }


def outlines_by_image(batch: Mapping[str, np.ndarray]) -> list[list[Outline]]:
    """The outlines of each image's objects."""
    outlines, ends = unpack_outlines(batch), np.cumsum(batch["host.counts"]).tolist()
    return [outlines[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def unpack_outlines(batch: Mapping[str, np.ndarray]) -> list[Outline]:
    """The outlines of all objects of a batch, in the order of `host.boxes`."""
    count = len(batch["host.boxes"])
    polygons: list[list[np.ndarray]] = [[] for _ in range(count)]
    ends = np.cumsum(batch["host.polygon_lengths"])
    for row, polygon in zip(batch["host.polygon_objects"], np.split(batch["host.polygons"], ends[:-1]), strict=False):
        polygons[row].append(polygon)
    outlines = [Outline(tuple(parts)) for parts in polygons]
    windows = batch["host.bitmap_windows"].tolist()
    ends = np.cumsum([width * height for _, _, width, height in windows], dtype=np.int64)
    parts = np.split(batch["host.bitmaps"], ends[:-1])
    for row, (left, top, width, height), pixels in zip(batch["host.bitmap_objects"], windows, parts, strict=False):
        outlines[row] = Outline(bitmap=pixels.reshape(height, width), corner=(left, top))
    return outlines
