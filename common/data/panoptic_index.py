"""Reads an annotation file in COCO's panoptic format into columns: arrays with a row for each record."""

import mmap
from array import array
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from common.data.coco_index import (
    Id,
    Image,
    address_of,
    decode_file,
    decode_records,
    describe_malformed,
    find_positions,
    image_columns,
    is_panoptic,
    map_file,
    require_records,
)
from common.data.faults import Fault, collect
from common.errors import UserError

LARGEST_ID = 2**24 - 1  # that the three bytes of a pixel hold


class _Segment(msgspec.Struct):
    id: Id
    category_id: Id
    iscrowd: bool | int = False
    area: float | None = None


class _Annotation(msgspec.Struct):
    image_id: Id
    file_name: msgspec.Raw
    segments_info: list[_Segment]


class _Category(msgspec.Struct):
    id: Id
    name: str = ""
    isthing: bool | int | None = None


@dataclass
class PanopticIndex:
    """The contents of a panoptic annotation file: the columns of its I images and N segments, and its classes.

    Columns of images are those of `coco_index.Index`, where the annotation of an image counts as its first, and
    `map_name` (I, 2): where in the file's bytes the name of the image's PNG begins and ends, as JSON; two zeros for an
    image without an annotation.
    Columns of segments, sorted by image, then in the file's order: `annotation_id` (N,) int32, the segment's id, which
    its image alone has but once; `label`, `crowd`; `area`, NaN where it is not told.
    """

    columns: dict[str, np.ndarray]
    category_ids: list[int]  # things first, then stuff, both ascending; a label is a category's position in this list
    class_names: list[str]
    things: int  # how many of the classes are things
    faults: list[Fault]


def read_panoptic_index(path: Path) -> PanopticIndex:
    """Reads a panoptic file; a faulty record is left out and named in `faults`, a file in another format refused."""
    text = map_file(path)
    whole = decode_file(path, text)
    faults: list[tuple[str, list]] = []
    images = decode_records(whole.images, Image, "images", faults)
    categories = decode_records(whole.categories, _Category, "categories", faults)
    require_records(path, images, categories, faults)
    if whole.annotations and not is_panoptic(whole.annotations):
        raise UserError(f"{path}: no panoptic annotations, each of which lists an image's segments (segments_info)")
    untold = next((category.id for category in categories if category.isthing is None), None)
    if untold is not None:
        raise UserError(f"{path}: category {untold} does not say whether it is a thing, as panoptic ones do (isthing)")
    categories.sort(key=lambda category: (not category.isthing, category.id))
    columns = image_columns(images)
    category_ids = [category.id for category in categories]
    annotations, segments = _decode_annotations(whole.annotations, text, faults)
    del whole
    text.madvise(mmap.MADV_DONTNEED)
    image = _link_images(annotations, columns, faults)
    columns |= _link_segments(segments, image, columns["image_id"], np.array(category_ids, np.int64), faults)
    return PanopticIndex(
        columns=columns,
        category_ids=category_ids,
        class_names=[category.name or str(category.id) for category in categories],
        things=sum(bool(category.isthing) for category in categories),
        faults=collect(faults),
    )


def _decode_annotations(
    texts: list[msgspec.Raw], whole: mmap.mmap, faults: list[tuple[str, list]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Decodes the annotations (A, 4) int64: image id, number in the file, begin and end of the PNG's name.

    Also gives the segments' columns in the file's order, with the row of each one's annotation, and its category's id.
    """
    decoder = msgspec.json.Decoder(_Annotation)
    start = address_of(whole)
    rows, numbers, areas = array("q"), array("q"), array("d")
    malformed = []
    for position, text in enumerate(texts):
        try:
            record = decoder.decode(text)
            msgspec.json.decode(record.file_name, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed.append(describe_malformed(text, position, error, "image_id"))
            continue
        row, begin = len(rows) // 4, address_of(record.file_name) - start
        rows.extend((record.image_id, position, begin, begin + len(memoryview(record.file_name))))
        for segment in record.segments_info:
            numbers.extend((row, segment.id, segment.category_id, bool(segment.iscrowd)))
            areas.append(np.nan if segment.area is None else segment.area)
    faults.append(("annotations whose record is not as COCO's, left out", malformed))
    table = np.array(numbers, np.int64).reshape(-1, 4)
    columns = {
        "annotation": table[:, 0],
        "annotation_id": table[:, 1],
        "category": table[:, 2],
        "crowd": table[:, 3] != 0,
        "area": np.array(areas, np.float64),
    }
    return np.array(rows, np.int64).reshape(-1, 4), columns


def _link_images(annotations: np.ndarray, columns: dict[str, np.ndarray], faults: list[tuple[str, list]]) -> np.ndarray:
    """Adds `first_annotation` and `map_name` to the images' columns; gives each annotation's image (A,), or -1.

    Annotations of images that are unknown or have one already are left out, and added to `faults`.
    """
    ids = annotations[:, 0]
    image, known = find_positions(ids, columns["image_id"])
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    faults.append(("annotations of an image that is not listed, left out", ids[~known].tolist()))
    faults.append(("annotations of an image that has one already, left out", ids[known & repeated].tolist()))
    image = np.where(known & ~repeated, image, -1)
    used = np.flatnonzero(image >= 0)
    columns["first_annotation"] = np.full(len(columns["image_id"]), -1, np.int64)
    columns["first_annotation"][image[used]] = annotations[used, 1]
    columns["map_name"] = np.zeros((len(columns["image_id"]), 2), np.int64)
    columns["map_name"][image[used]] = annotations[used, 2:]
    return image


def _link_segments(
    segments: dict[str, np.ndarray],
    image: np.ndarray,
    image_ids: np.ndarray,
    category_ids: np.ndarray,
    faults: list[tuple[str, list]],
) -> dict[str, np.ndarray]:
    """Sorts segments by image and turns their categories into labels; image: that of each annotation, or -1.

    Segments of unknown categories, with an id that no pixel can have or that occurred before in the image are left out,
    and added to `faults`.
    """
    owner, ids = image[segments.pop("annotation")], segments["annotation_id"]
    label, known = find_positions(segments.pop("category"), category_ids)
    held = (ids > 0) & (ids <= LARGEST_ID)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(np.stack([owner, ids], axis=1), axis=0, return_index=True)[1]] = False
    for what, wrong in (
        ("of a category that is not listed", ~known),
        (f"with an id that is not from 1 to {LARGEST_ID}", ~held),
        ("whose id stands before them in the image already", repeated & held),
    ):
        rows = np.flatnonzero(wrong & (owner >= 0)).tolist()
        faults.append((f"segments {what}, left out", [f"image {image_ids[owner[row]]}: {ids[row]}" for row in rows]))
    rows = np.flatnonzero((owner >= 0) & known & held & ~repeated)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    return {
        "annotation_id": ids[rows].astype(np.int32),
        "label": label[rows].astype(np.int32),
        "crowd": segments["crowd"][rows],
        "area": segments["area"][rows],
        "first": np.searchsorted(owner[rows], np.arange(len(image_ids) + 1)),
    }
