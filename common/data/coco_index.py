"""Reads an annotation file in COCO's format into columns, as large as it may be.

Segmentations and key points stay text: the columns only say where each stands in the file.
"""

import mmap
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from common.data.faults import Fault, collect
from common.errors import UserError
from common.files import existing_file

_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Side = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Image(msgspec.Struct):
    id: _Id
    file_name: str
    height: _Side = 0  # 0: not told
    width: _Side = 0


class _Annotation(msgspec.Struct):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: tuple[float, float, float, float]
    iscrowd: bool | int = False
    ignore: bool | int | None = False
    area: float | None = None
    segmentation: msgspec.Raw = msgspec.Raw()
    keypoints: msgspec.Raw = msgspec.Raw()


class _Category(msgspec.Struct):
    id: _Id
    name: str = ""
    keypoints: list[str] = []


class _File(msgspec.Struct):
    images: list[msgspec.Raw]
    categories: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []


_Record = TypeVar("_Record", _Image, _Category)


@dataclass
class Index:
    """The columns of an annotation file.

    Images in the file's order: `image_id`, `image_size` (I, 2) height and width, `name_end` into the bytes `names`,
    and `first_annotation`, the place in the file of the first of its annotations, or -1.
    Annotations by image, in the file's order within one: image i has rows first[i] to first[i + 1] of `annotation_id`,
    `label`, `box` (N, 4) x, y, width, height, `area` (NaN where it is not told), `crowd`, `ignored` (marked so, or
    without area), and `segmentation` and `keypoints` (N, 2), begin and end in the file's bytes.
    """

    columns: dict[str, np.ndarray]
    category_ids: list[int]  # ascending; a label is a position in it
    class_names: list[str]
    keypoint_names: list[str]  # of the first category that has any
    keypoint_label: int | None  # of that category
    faults: list[Fault]


def read_index(path: Path) -> Index:
    """Every fault of single records is counted and named and the record left out; a file that is no COCO is refused."""
    text = map_file(path)
    whole = _decode_file(path, text)
    found: list[tuple[str, list]] = []
    images = _records(whole.images, _Image, "images", found)
    categories = _records(whole.categories, _Category, "categories", found)
    if not images:
        raise UserError(f"{path}: no usable image is listed{_first(found)}")
    if not categories:
        raise UserError(f"{path}: no usable category is listed{_first(found)}")
    categories.sort(key=lambda category: category.id)
    columns = _annotation_columns(whole.annotations, text, found)
    del whole
    # The pages of the file come back when a segmentation is wanted.
    text.madvise(mmap.MADV_DONTNEED)
    image_ids = np.array([image.id for image in images], np.int64)
    category_ids = [category.id for category in categories]
    columns = _joined(columns, image_ids, np.array(category_ids, np.int64), found)
    keypoint_label = next((label for label, category in enumerate(categories) if category.keypoints), None)
    names = [image.file_name.encode() for image in images]
    columns |= {
        "image_id": image_ids,
        "image_size": np.array([(image.height, image.width) for image in images], np.int32),
        "names": np.frombuffer(b"".join(names), np.uint8),
        "name_end": np.cumsum([len(name) for name in names]),
    }
    return Index(
        columns=columns,
        category_ids=category_ids,
        class_names=[category.name or str(category.id) for category in categories],
        keypoint_names=[] if keypoint_label is None else categories[keypoint_label].keypoints,
        keypoint_label=keypoint_label,
        faults=collect(found),
    )


def map_file(path: Path) -> mmap.mmap:
    """The file's bytes, shared by all the processes that read them."""
    with existing_file(path, "annotation file").open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise UserError(f"{path}: the file is empty") from None


def _decode_file(path: Path, text: mmap.mmap) -> _File:
    try:
        return msgspec.json.decode(text, type=_File)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: not an annotation file in COCO's format: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None


def _first(found: list[tuple[str, list]]) -> str:
    first = collect(found)[:1]
    return f": {first[0]}" if first else ""


def _records(
    texts: list[msgspec.Raw], kind: type[_Record], plural: str, found: list[tuple[str, list]]
) -> list[_Record]:
    """The well-formed records, of equal ids the first."""
    decoder = msgspec.json.Decoder(kind)
    records: dict[int, _Record] = {}
    malformed, repeated = [], []
    for position, text in enumerate(texts):
        try:
            record = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed.append(_malformed(text, position, error))
            continue
        if record.id in records:
            repeated.append(record.id)
        else:
            records[record.id] = record
    found.append((f"{plural} whose record is not as COCO's, left out", malformed))
    found.append((f"{plural} whose id stands before them already, left out", repeated))
    return list(records.values())


def _malformed(text: msgspec.Raw, position: int, error: Exception) -> str:
    """A record by its id where it has one, else by its place, with what is wrong."""
    try:
        name = f"id {msgspec.json.decode(text)['id']}"
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        name = f"number {position + 1}"
    return f"{name}: {error}"


def _annotation_columns(
    texts: list[msgspec.Raw], whole: mmap.mmap, found: list[tuple[str, list]]
) -> dict[str, np.ndarray]:
    decoder = msgspec.json.Decoder(_Annotation)
    start = _address(whole)
    # Packed arrays: as Python objects the numbers of COCO's 860,001 annotations would take over a gigabyte.
    numbers, boxes, areas, spans = array("q"), array("d"), array("d"), array("q")
    malformed = []
    for position, text in enumerate(texts):
        try:
            record = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed.append(_malformed(text, position, error))
            continue
        ignored = bool(record.ignore) or (record.area is not None and not record.area > 0)
        numbers.extend((record.id, record.image_id, record.category_id, bool(record.iscrowd), ignored))
        boxes.extend(record.bbox)
        areas.append(np.nan if record.area is None else record.area)
        for part in (record.segmentation, record.keypoints):
            length = len(memoryview(part))
            begin = _address(part) - start if length else 0
            spans.extend((begin, begin + length))
    found.append(("annotations whose record is not as COCO's, left out", malformed))
    table = np.array(numbers, np.int64).reshape(-1, 5)
    span = np.array(spans, np.int64).reshape(-1, 4)
    return {
        "annotation_id": table[:, 0],
        "image": table[:, 1],
        "category": table[:, 2],
        "crowd": table[:, 3] != 0,
        "ignored": table[:, 4] != 0,
        "box": np.array(boxes, np.float64).reshape(-1, 4),
        "area": np.array(areas, np.float64),
        "segmentation": span[:, :2],
        "keypoints": span[:, 2:],
    }


def _address(buffer: msgspec.Raw | mmap.mmap) -> int:
    """Where in memory the bytes of `buffer` begin."""
    return np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]


def _joined(
    columns: dict[str, np.ndarray], image_ids: np.ndarray, category_ids: np.ndarray, found: list[tuple[str, list]]
) -> dict[str, np.ndarray]:
    """The annotations of known images and categories, of equal ids the first, sorted by image; ids become positions."""
    ids = columns["annotation_id"]
    image, image_known = _positions(columns.pop("image"), image_ids)
    label, label_known = _positions(columns.pop("category"), category_ids)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    with np.errstate(over="ignore"):
        finite = np.isfinite(columns["box"].astype(np.float32)).all(axis=1)
    found.append(("annotations of an image that is not listed, left out", ids[~image_known].tolist()))
    found.append(("annotations of a category that is not listed, left out", ids[~label_known].tolist()))
    found.append(("annotations whose id stands before them already, left out", ids[repeated].tolist()))
    found.append(("annotations with a box that is not finite, left out", ids[~finite].tolist()))
    rows = np.flatnonzero(image_known & label_known & ~repeated & finite)
    rows = rows[np.argsort(image[rows], kind="stable")]
    joined = {name: column[rows] for name, column in columns.items()}
    joined["label"] = label[rows].astype(np.int32)
    joined["first"] = np.searchsorted(image[rows], np.arange(len(image_ids) + 1))
    has_any = np.diff(joined["first"]) > 0
    joined["first_annotation"] = np.full(len(image_ids), -1, np.int64)
    joined["first_annotation"][has_any] = rows[joined["first"][:-1][has_any]]
    return joined


def _positions(values: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `values` stands in `among`, and whether it does."""
    order = np.argsort(among, kind="stable")
    place = np.minimum(np.searchsorted(among[order], values), len(among) - 1)
    position = order[place]
    return position, among[position] == values
