"""MindRecord files, one by one: how large one will be, how it is written, and where in it each row lies.

A row is an image: its id and its file's name, its file's bytes and its annotations' text. MindSpore's readers only go
through a file from its beginning, or shuffle it themselves, and a loader's worker would have to import MindSpore to
have one. Training needs the images of any step in the loader's order, so what is written here is read by its place in
the file, which MindSpore's own index, an SQLite file beside it, tells.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from common.errors import UserError

_SCHEMA = {
    "image_id": {"type": "int64"},
    "file_name": {"type": "string"},
    "image": {"type": "bytes"},
    "annotations": {"type": "bytes"},
}
_BLOBS = ["annotations", "image"]  # in the order in which MindSpore writes them
_LENGTH_BYTES = 8  # before a row, and before each of its blobs
_HEADER_BYTES = 1 << 17  # lists the pages, and the blocks in which rows were written
_PAGE_BYTES = 4 << 20  # a row does not reach from one page into another: large pages waste less
LARGEST_ROW = 256 << 20  # the largest page that MindSpore takes
_ROWS_AT_ONCE = 16
_INDEX_BYTES = 16_384, 50  # of MindSpore's index: at least, and for each row


@dataclass(frozen=True)
class Row:
    """One image as it is written."""

    image_id: int
    file_name: str
    image: bytes
    annotations: bytes


def row_bytes(image_bytes: np.ndarray, text_bytes: np.ndarray) -> np.ndarray:
    """The size (R,) of rows in a file, from that of their images and their annotations' texts, (R,) each."""
    return image_bytes + text_bytes + _LENGTH_BYTES * (1 + len(_BLOBS))


def file_bytes(rows: np.ndarray) -> int:
    """The size of a file of rows of these sizes (R,), with MindSpore's index beside it, to a few hundredths."""
    page, pages, used = _page_bytes(rows), 1, 0
    for size in rows.tolist():
        if used + size > page:
            pages, used = pages + 1, 0
        used += size
    # One more page holds the rows' short fields. It is the second one, and the last one alone is cut to what it holds.
    least, for_each = _INDEX_BYTES
    return _HEADER_BYTES + pages * page + (used if pages > 1 else 0) + max(least, for_each * len(rows))


def write_file(path: Path, rows: Iterable[Row], sizes: np.ndarray) -> None:
    """Writes rows of these sizes (R,), see `row_bytes`, into a MindRecord file, and its index into PATH.db."""
    from mindspore.mindrecord import FileWriter
    from mindspore.mindrecord.common.exceptions import MindRecordException

    writer = FileWriter(str(path), shard_num=1, overwrite=True)
    writer.set_header_size(_HEADER_BYTES)
    writer.set_page_size(_page_bytes(sizes))
    writer.add_schema(_SCHEMA, "images in COCO's format")
    writer.add_index(["image_id"])
    try:
        for block in _blocks(rows):
            writer.write_raw_data([vars(row) for row in block])
        writer.commit()
    except (RuntimeError, MindRecordException) as error:  # such as that the disk is full
        found = re.search(r"\[ERROR\] (.*)", str(error))
        raise UserError(f"{path}: MindSpore cannot write it: {found[1] if found else error}") from None


def find_rows(path: Path) -> np.ndarray:
    """Finds where in a MindRecord file the rows lie: (R, 2) int64, each one's begin and end in bytes."""
    header = _read_header(path)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}.db?mode=ro", uri=True)) as index:
        columns = "PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END"
        found = index.execute(f"SELECT {columns} FROM INDEXES ORDER BY ROW_ID").fetchall()
    rows = np.array(found, np.int64).reshape(-1, 3)
    return rows[:, 1:] + (header["header_size"] + rows[:, :1] * header["page_size"])


def is_whole(path: Path, rows: np.ndarray) -> bool:
    """Whether a MindRecord file is there, with its index and rows of these sizes (R,), to its last byte."""
    try:
        header, found, size = _read_header(path), find_rows(path), path.stat().st_size
        last = header["page"][-1]
        end = header["header_size"] + last["page_id"] * header["page_size"] + last["page_size"]
    except (OSError, ValueError, LookupError, TypeError, sqlite3.Error):
        return False
    return size == end and np.array_equal(found[:, 1] - found[:, 0], rows)


def blob_spans(rows: np.ndarray, text_bytes: np.ndarray) -> np.ndarray:
    """Where images and annotations' texts begin and end, (R, 4) int64, in rows that lie at (R, 2).

    text_bytes: the sizes (R,) of the texts.
    """
    text = rows[:, 0] + 2 * _LENGTH_BYTES
    return np.stack([text + text_bytes + _LENGTH_BYTES, rows[:, 1], text, text + text_bytes], axis=1)


def _read_header(path: Path) -> dict:
    with path.open("rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little")))


def _page_bytes(rows: np.ndarray) -> int:
    """The size of a page that the largest of the rows of these sizes (R,) fits in."""
    return max(_PAGE_BYTES, -(-int(rows.max()) // _PAGE_BYTES) * _PAGE_BYTES)


def _blocks(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    """Some rows at a time, fewer than a file's, which need not all be in memory.

    The first block is one row: a block's images come before its short fields, whose page so is always the second one.
    """
    rows = iter(rows)
    yield list(islice(rows, 1))
    while block := list(islice(rows, _ROWS_AT_ONCE)):
        yield block
