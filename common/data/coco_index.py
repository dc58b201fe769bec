"""Reads an annotation file in COCO's format, however large, into columns: arrays with a row for each record.

Segmentations and key points stay text; the columns only tell where in the file each of them lies.
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

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Side = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Image(msgspec.Struct):
    id: Id
    file_name: str
    height: _Side = 0  # 0 where the file does not tell it
    width: _Side = 0


class _Annotation(msgspec.Struct):
    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    iscrowd: bool | int = False
    ignore: bool | int | None = False
    area: float | None = None
    segmentation: msgspec.Raw = msgspec.Raw()
    keypoints: msgspec.Raw = msgspec.Raw()


class _Category(msgspec.Struct):
    id: Id
    name: str = ""
    keypoints: list[str] = []


class _File(msgspec.Struct):
    images: list[msgspec.Raw]
    categories: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []


_Record = TypeVar("_Record", bound=msgspec.Struct)


@dataclass
class Index:
    """The contents of an annotation file: the columns of its I images and N annotations, and its classes.

    Columns of images, in the file's order: `image_id` (I,); `image_size` (I, 2) height, width; `first_annotation` (I,),
    the number in the file of an image's first annotation, or -1; `names`, the bytes of all file names one after
    another, and `name_end` (I,), where each ends; `first` (I + 1,): image i has the annotations first[i] to
    first[i + 1] - 1.
    Columns of annotations, sorted by image, then in the file's order: `annotation_id`, `label`, `crowd` and `ignored`
    (marked so, or of no area), each (N,); `box` (N, 4) x, y, width, height; `area` (N,), NaN where it is not told;
    `segmentation` and `keypoints` (N, 2), where each begins and ends in the file's bytes.
    """

    columns: dict[str, np.ndarray]
    category_ids: list[int]  # ascending; a label is a category's position in this list
    class_names: list[str]
    keypoint_names: list[str]  # those of the first category that has key points
    keypoint_label: int | None  # that category's label
    faults: list[Fault]


def read_index(path: Path) -> Index:
    """Reads an annotation file; a faulty record is left out and named in `faults`, a file in another format refused."""
    text = map_file(path)
    whole = decode_file(path, text)
    faults: list[tuple[str, list]] = []
    images = decode_records(whole.images, Image, "images", faults)
    categories = decode_records(whole.categories, _Category, "categories", faults)
    require_records(path, images, categories, faults)
    if is_panoptic(whole.annotations):
        raise UserError(
            f"{path}: these are panoptic annotations, each of a whole image, where those of objects are needed"
        )
    categories.sort(key=lambda category: category.id)
    columns = _decode_annotations(whole.annotations, text, faults)
    del whole
    # Memory is given back: the file's pages are read again when a segmentation is needed.
    text.madvise(mmap.MADV_DONTNEED)
    image_ids = np.array([image.id for image in images], np.int64)
    category_ids = [category.id for category in categories]
    columns = _link_annotations(columns, image_ids, np.array(category_ids, np.int64), faults)
    keypoint_label = next((label for label, category in enumerate(categories) if category.keypoints), None)
    columns |= image_columns(images)
    return Index(
        columns=columns,
        category_ids=category_ids,
        class_names=[category.name or str(category.id) for category in categories],
        keypoint_names=[] if keypoint_label is None else categories[keypoint_label].keypoints,
        keypoint_label=keypoint_label,
        faults=collect(faults),
    )


def map_file(path: Path) -> mmap.mmap:
    """Maps a file's bytes into memory; all processes that do so share them."""
    with existing_file(path, "annotation file").open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise UserError(f"{path}: the file is empty") from None


def decode_file(path: Path, text: mmap.mmap) -> _File:
    """Takes a file's text apart into its records, which stay text."""
    try:
        return msgspec.json.decode(text, type=_File)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: not an annotation file in COCO's format: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None


def require_records(path: Path, images: list, categories: list, faults: list[tuple[str, list]]) -> None:
    """Refuses a file without an image or a category that can be used."""
    for what, records in (("image", images), ("category", categories)):
        if not records:
            raise UserError(f"{path}: no usable {what} is listed{_describe_first(faults)}")


def is_panoptic(texts: list[msgspec.Raw]) -> bool:
    """Whether the first of the annotations is one of COCO's panoptic ones, of a whole image."""
    try:
        return bool(texts) and "segments_info" in msgspec.json.decode(texts[0])
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return False


def image_columns(images: list[Image]) -> dict[str, np.ndarray]:
    """The columns of an `Index` that the images' own records give."""
    names = [image.file_name.encode() for image in images]
    return {
        "image_id": np.array([image.id for image in images], np.int64),
        "image_size": np.array([(image.height, image.width) for image in images], np.int32),
        "names": np.frombuffer(b"".join(names), np.uint8),
        "name_end": np.cumsum([len(name) for name in names]),
    }


def _describe_first(faults: list[tuple[str, list]]) -> str:
    first = collect(faults)[:1]
    return f": {first[0]}" if first else ""


def decode_records(
    texts: list[msgspec.Raw], kind: type[_Record], plural: str, faults: list[tuple[str, list]]
) -> list[_Record]:
    """Decodes records and adds the faulty ones to `faults`; of records with the same id only the first is kept."""
    decoder = msgspec.json.Decoder(kind)
    records: dict[int, _Record] = {}
    malformed, repeated = [], []
    for position, text in enumerate(texts):
        try:
            record = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed.append(describe_malformed(text, position, error))
            continue
        if record.id in records:
            repeated.append(record.id)
        else:
            records[record.id] = record
    faults.append((f"{plural} whose record is not as COCO's, left out", malformed))
    faults.append((f"{plural} whose id stands before them already, left out", repeated))
    return list(records.values())


def describe_malformed(text: msgspec.Raw, position: int, error: Exception, key: str = "id") -> str:
    """Says what is wrong with a record, which is named by its id or, without one, by its number in the file.

    key: under which the id stands.
    """
    try:
        name = f"{key.replace('_', ' ')} {msgspec.json.decode(text)[key]}"
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
        name = f"number {position + 1}"
    return f"{name}: {error}"


def _decode_annotations(
    texts: list[msgspec.Raw], whole: mmap.mmap, faults: list[tuple[str, list]]
) -> dict[str, np.ndarray]:
    """Decodes annotations into columns in the file's order, with the ids `image` and `category` still as they are.

    texts: parts of the file's bytes `whole`. Malformed records are left out and added to `faults`.
    """
    decoder = msgspec.json.Decoder(_Annotation)
    start = address_of(whole)
    # These are packed arrays: as Python objects the numbers of COCO's 860,001 annotations would take over a gigabyte.
    numbers, boxes, areas, spans = array("q"), array("d"), array("d"), array("q")
    malformed = []
    for position, text in enumerate(texts):
        try:
            record = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed.append(describe_malformed(text, position, error))
            continue
        ignored = bool(record.ignore) or (record.area is not None and not record.area > 0)
        numbers.extend((record.id, record.image_id, record.category_id, bool(record.iscrowd), ignored))
        boxes.extend(record.bbox)
        areas.append(np.nan if record.area is None else record.area)
        for part in (record.segmentation, record.keypoints):
            length = len(memoryview(part))
            begin = address_of(part) - start if length else 0
            spans.extend((begin, begin + length))
    faults.append(("annotations whose record is not as COCO's, left out", malformed))
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


def address_of(buffer: msgspec.Raw | mmap.mmap) -> int:
    """Returns the address in memory of the buffer's first byte."""
    return np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]


def _link_annotations(
    columns: dict[str, np.ndarray], image_ids: np.ndarray, category_ids: np.ndarray, faults: list[tuple[str, list]]
) -> dict[str, np.ndarray]:
    """Sorts annotations by image and turns their categories into labels.

    Annotations of unknown images or categories, with an id that occurred before, or with a box that is not finite are
    left out and added to `faults`.
    """
    ids = columns["annotation_id"]
    image, image_known = find_positions(columns.pop("image"), image_ids)
    label, label_known = find_positions(columns.pop("category"), category_ids)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    with np.errstate(over="ignore"):
        finite = np.isfinite(columns["box"].astype(np.float32)).all(axis=1)
    faults.append(("annotations of an image that is not listed, left out", ids[~image_known].tolist()))
    faults.append(("annotations of a category that is not listed, left out", ids[~label_known].tolist()))
    faults.append(("annotations whose id stands before them already, left out", ids[repeated].tolist()))
    faults.append(("annotations with a box that is not finite, left out", ids[~finite].tolist()))
    rows = np.flatnonzero(image_known & label_known & ~repeated & finite)
    rows = rows[np.argsort(image[rows], kind="stable")]
    linked = {name: column[rows] for name, column in columns.items()}
    linked["label"] = label[rows].astype(np.int32)
    linked["first"] = np.searchsorted(image[rows], np.arange(len(image_ids) + 1))
    has_any = np.diff(linked["first"]) > 0
    linked["first_annotation"] = np.full(len(image_ids), -1, np.int64)
    linked["first_annotation"][has_any] = rows[linked["first"][:-1][has_any]]
    return linked


def find_positions(values: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the position of each of `values` (N,) in `among` (M,), and whether it is there, (N,) bool."""
    order = np.argsort(among, kind="stable")
    rank = np.minimum(np.searchsorted(among[order], values), len(among) - 1)
    position = order[rank]
    return position, among[position] == values
