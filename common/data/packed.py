"""Data sets whose images and annotations lie one after another in a few large files, with an index of what is where.

Such a folder is made by a wing that has a file format of its own. It holds the large files, an index for each
annotation file that went in, and `record.json`, written last, which says what the folder was made of.
"""

import errno
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np

from common.config import DataKind
from common.data.coco import CocoDataset
from common.data.coco_index import Index
from common.data.faults import Fault
from common.errors import UserError
from common.families import Family
from common.files import atomic_path, existing_file

CONTENTS = "record.json"  # written last: a folder without it is not whole
PACKED_KINDS: tuple[DataKind, ...] = ("instances", "person_keypoints")  # panoptic ones have images of their own
MISSING = -1  # as begin and end of an image whose file was not there
TRAINING, VALIDATION = "train", "val"  # parts of every folder; others are called as the family's layout calls them


class PackedDataset(CocoDataset):
    """The data set of an index that `write_index` has written: the same as the `CocoDataset` that it was made of.

    Two columns of images are added: `shard` (I,), the number of the large file, and `span` (I, 4), where in it the
    image's encoded bytes begin and end, and where its annotations' text does. `segmentation` and `keypoints` point into
    that text, not into an annotation file.
    """

    _per_image = (*CocoDataset._per_image, "shard", "span")

    def __init__(self, path: str | os.PathLike) -> None:
        self.annotations = existing_file(path, "index")
        try:
            with np.load(path) as arrays:
                columns = {name: arrays[name] for name in arrays.files}
            header = msgspec.json.decode(columns.pop("header").tobytes())
            faults = msgspec.convert(header.pop("faults"), list[Fault])
            files = header.pop("files")
            self._take_index(Index(columns=columns, faults=faults, **header))
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not an index that was written here: {error}") from None
        self._files = [self.annotations.with_name(name) for name in files]
        for file, size in zip(self._files, files.values(), strict=True):
            if existing_file(file, "file of images").stat().st_size != size:
                raise UserError(f"{file} has changed since it was written: {file.stat().st_size} bytes, not {size}")

    def path(self, position: int) -> Path:
        """The large file, and in it the image's name: what errors call the image."""
        return self._files[self.columns["shard"][position]] / self.file_name(position)

    def encoded_image(self, position: int) -> np.ndarray:
        begin, end = self.columns["span"][position, :2].tolist()
        if begin == MISSING:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._read(position, begin, end)

    def text(self, position: int) -> bytes:
        return self._read(position, *self.columns["span"][position, 2:].tolist()).tobytes()

    def missing_images(self) -> np.ndarray:
        return np.flatnonzero(self.columns["span"][:, 0] == MISSING)

    def _read(self, position: int, begin: int, end: int) -> np.ndarray:
        # A file is opened for each read, as each image of a folder is: nothing stays open that a worker would inherit.
        return np.fromfile(self._files[self.columns["shard"][position]], np.uint8, end - begin, offset=begin)


def write_index(
    path: Path, dataset: CocoDataset, files: Mapping[str, int], shard: np.ndarray, span: np.ndarray, texts: np.ndarray
) -> None:
    """Writes the index of a data set whose images lie in large files beside it.

    files: the large files' names and sizes in bytes; shard (I,) and span (I, 4): see `PackedDataset`; texts (N, 2, 2):
    where each annotation's segmentation and key points begin and end in its image's text.
    """
    columns = {name: dataset.columns[name] for name in dataset.columns}
    columns |= {"shard": shard, "span": span, "segmentation": texts[:, 0], "keypoints": texts[:, 1]}
    header = {
        "category_ids": dataset.category_ids,
        "class_names": dataset.class_names,
        "keypoint_names": dataset.keypoint_names,
        "keypoint_label": dataset.keypoint_label,
        "faults": [asdict(fault) for fault in dataset.faults],
        "files": dict(files),
    }
    with atomic_path(path) as temporary:
        np.savez(temporary, header=np.frombuffer(msgspec.json.encode(header), np.uint8), **columns)


def annotation_text(dataset: CocoDataset, position: int) -> tuple[bytes, np.ndarray]:
    """Returns an image's M annotations as JSON in COCO's format, and where in it their long fields lie.

    The latter is (M, 2, 2) int64: begin and end of the segmentation's text, and of the key points'; two zeros where an
    annotation has none. Both texts are the annotation file's own, byte for byte.
    """
    columns, text = dataset.columns, dataset.text(position)
    rows = range(*columns["first"][position : position + 2].tolist())
    parts, spans, length = [], np.zeros((len(rows), 2, 2), np.int64), 0

    def append(part: bytes) -> None:
        nonlocal length
        parts.append(part)
        length += len(part)

    append(b"[")
    for number, row in enumerate(rows):
        append((b"," if number else b"") + _plain_fields(dataset, row)[:-1])
        for field, name in enumerate(("segmentation", "keypoints")):
            begin, end = columns[name][row].tolist()
            if begin < end:
                append(f',"{name}":'.encode())
                spans[number, field] = length, length + end - begin
                append(text[begin:end])
        append(b"}")
    append(b"]")
    return b"".join(parts), spans


def _plain_fields(dataset: CocoDataset, row: int) -> bytes:
    """An annotation without its segmentation and key points, as JSON."""
    columns = dataset.columns
    fields = {
        "id": int(columns["annotation_id"][row]),
        "category_id": dataset.category_ids[columns["label"][row]],
        "iscrowd": int(columns["crowd"][row]),
        "bbox": columns["box"][row].tolist(),
    }
    if columns["ignored"][row]:
        fields["ignore"] = 1
    if not np.isnan(columns["area"][row]):
        fields["area"] = float(columns["area"][row])
    return msgspec.json.encode(fields)


class PackedSource:
    """The parts of a folder of packed data sets, as the train command takes them: see `common.data.sources`."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)

    @property
    def name(self) -> str:
        return self._contents()["data"]

    def training(self, family: Family, kind: DataKind) -> CocoDataset:
        contents = self._contents()
        if kind not in PACKED_KINDS:
            raise UserError(
                f"{self.folder}: no record holds {kind} annotations: train on their own folder, with --data"
            )
        if contents["kind"] != kind:
            raise UserError(
                f"{self.folder} was made with --kind {contents['kind']}, while models that find {family.finds} are"
                f" trained on --kind {kind}"
            )
        return self._open(contents, TRAINING)

    def validation(self, family: Family, kind: DataKind, say: Callable[[str], None]) -> dict[str, CocoDataset]:
        contents = self._contents()
        names = [name for name in contents["parts"] if name != TRAINING]
        if VALIDATION not in names:
            say(f"{self.folder} has no part {VALIDATION}")
        return {"" if name == VALIDATION else name: self._open(contents, name) for name in names}

    def _contents(self) -> dict:
        contents = read_contents(self.folder / CONTENTS)
        if contents is None:
            raise UserError(f"{self.folder} holds no record that was written to its end: {CONTENTS} is not there")
        return contents

    def _open(self, contents: dict, part: str) -> PackedDataset:
        return PackedDataset(self.folder / index_name(contents["parts"][part]["stem"]))


def index_name(stem: str) -> str:
    """The name of the index of the large files whose names begin with `stem`."""
    return f"{stem}.index.npz"


def read_contents(path: Path) -> dict | None:
    """Reads what `record.json` says: the data's name and kind, and its parts by name; None if there is none.

    Each part tells its annotation file's name and hash, how many images and bytes went in, and its files' `stem`.
    """
    if not path.is_file():
        return None
    try:
        contents = json.loads(path.read_text())
        contents["data"], contents["kind"], [part["stem"] for part in contents["parts"].values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a record's contents: {error!r}") from None
    return contents
