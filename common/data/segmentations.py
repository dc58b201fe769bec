"""Decodes the segmentations of an annotation file in COCO's format to pycocotools' packed RLEs and to polygons."""

import msgspec
import numpy as np
from pycocotools import mask as rle

# The faults that a segmentation can have; each completes "annotations ...".
ABSENT = "without a segmentation"
UNREADABLE = "with a segmentation that cannot be read"
SHORT_POLYGON = "with a polygon of fewer than three points"
FAR_POLYGON = "with a polygon far outside the image"
WRONG_SIZE = "with an RLE mask that does not fit the image"
EMPTY = "with a mask without a pixel"

# In pixels. pycocotools walks along a polygon's edges, which takes minutes where a point lies farther away.
_FARTHEST = 100_000.0


class _Rle(msgspec.Struct):
    size: tuple[int, int]
    counts: list[int] | str


_decoder = msgspec.json.Decoder(list[list[float]] | _Rle | None)


def encode(text: bytes | memoryview, size: tuple[int, int]) -> tuple[dict | None, str | None]:
    """Encodes one segmentation, given as JSON, in an image of `size` (H, W).

    Returns the packed RLE, or None if nothing of the segmentation can be used, and its fault, if any. Faulty polygons
    are left out. A mask without a pixel is a fault and yet has an RLE.
    """
    try:
        segmentation = _decoder.decode(text) if text else None
    except msgspec.DecodeError:
        return None, UNREADABLE
    if not segmentation:
        return None, ABSENT
    encode_kind = _encode_rle if isinstance(segmentation, _Rle) else _encode_polygons
    packed, fault = encode_kind(segmentation, size)
    if packed is not None and not rle.area(packed):
        fault = fault or EMPTY
    return packed, fault


def read_polygons(text: bytes | memoryview) -> tuple[np.ndarray, ...]:
    """Reads the sound polygons of a segmentation that `encode` can read, each (2 K,) float64 x, y, x, y, ...

    An RLE has none.
    """
    segmentation = _decoder.decode(text) if text else None
    kept = _select_sound(segmentation)[0] if isinstance(segmentation, list) else []
    return tuple(np.array(polygon, np.float64) for polygon in kept)


def _encode_polygons(polygons: list[list[float]], size: tuple[int, int]) -> tuple[dict | None, str | None]:
    kept, fault = _select_sound(polygons)
    return (rle.merge(rle.frPyObjects(kept, *size)) if kept else None), fault


def _select_sound(polygons: list[list[float]]) -> tuple[list[list[float]], str | None]:
    """Returns the polygons that can be used, and the fault of the others, if there are any."""
    fault, kept = None, []
    for polygon in polygons:
        # pycocotools takes a list of four numbers for a box.
        if len(polygon) < 6:
            fault = SHORT_POLYGON
        elif max(polygon) > _FARTHEST or min(polygon) < -_FARTHEST:
            fault = FAR_POLYGON
        else:
            kept.append(polygon[: len(polygon) // 2 * 2])  # pycocotools ignores half a point at the end, too
    return kept, fault


def _encode_rle(mask: _Rle, size: tuple[int, int]) -> tuple[dict | None, str | None]:
    # pycocotools leaves memory unwritten where the counts end too early, so they are added up first.
    try:
        counts = unpack_counts(mask.counts) if isinstance(mask.counts, str) else np.array(mask.counts, np.int64)
    except (ValueError, OverflowError):
        return None, UNREADABLE
    if mask.size != tuple(size) or (counts < 0).any() or counts.sum() != size[0] * size[1]:
        return None, WRONG_SIZE
    if isinstance(mask.counts, str):
        return {"size": list(size), "counts": mask.counts.encode("ascii")}, None
    return rle.frPyObjects({"size": list(size), "counts": mask.counts}, *size), None


def unpack_counts(text: str) -> np.ndarray:
    """Decodes the run lengths (N,) int64 of a packed RLE; ValueError if `text` is no packed RLE."""
    # A character holds five bits of a count, the lowest first; its sixth bit says that more characters follow. The
    # highest bit of a count's last character is the sign.
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((codes & 32) == 0)
    if (codes < 0).any() or (codes > 63).any() or (codes.size and (not last.size or last[-1] != codes.size - 1)):
        raise ValueError("not a packed RLE")
    first = np.append(0, last[:-1] + 1)[: last.size]
    if (last - first > 6).any():
        raise ValueError("not a packed RLE")
    digits = np.arange(codes.size) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((codes & 31) << (5 * digits), first) if codes.size else codes
    negative = (codes[last] & 16) != 0
    values = values - np.where(negative, np.int64(1) << (5 * (last - first + 1)), 0)
    # From the fourth on, a count is stored as its difference from the count two before it.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
