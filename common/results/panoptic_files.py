"""Panoptic results as COCO has them: a JSON file beside a folder of PNGs, in which a pixel is its segment's id."""

import base64
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.data.panoptic import decode_ids, encode_ids
from common.errors import UserError
from common.files import write_json
from common.results.kind import Entry

# Under this name an entry in memory has its PNG, as text, so that it stays small and can be sent to other processes.
PNG = "png"


def encode_map(segment_map: np.ndarray) -> str:
    """A map (H, W) of ids -> a panoptic PNG as text, base64."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(encode_ids(segment_map), cv2.COLOR_RGB2BGR))
    return base64.b64encode(encoded).decode("ascii")


def decode_map(entry: Entry) -> np.ndarray:
    """The map (H, W) int32 of ids of an entry in memory."""
    return _read_map(base64.b64decode(entry[PNG]), f"the PNG of image {entry['image_id']}")


def _read_map(encoded: bytes, name: str) -> np.ndarray:
    """A panoptic PNG's bytes -> the ids (H, W) int32."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    if pixels is None:
        raise UserError(f"{name}: cannot be decoded; it is broken or no image")
    return decode_ids(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def folder_of(path: Path) -> Path:
    """The folder of the PNGs of a JSON file: that of its name without the suffix."""
    return path.with_suffix("")


def write_panoptic(path: Path, entries: Sequence[Entry]) -> None:
    """Writes COCO panoptic results: `annotations` in a JSON file, and the PNGs into the folder of its name.

    All PNGs are complete before any takes its place, and the JSON file comes last.
    """
    folder = folder_of(path)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{path}: the PNGs would go into the folder {folder}, which is a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as waiting:
        for entry in entries:
            (Path(waiting) / entry["file_name"]).write_bytes(base64.b64decode(entry[PNG]))
        folder.mkdir(exist_ok=True)
        for entry in entries:
            os.replace(Path(waiting) / entry["file_name"], folder / entry["file_name"])
    kept = [{name: value for name, value in entry.items() if name != PNG} for entry in entries]
    write_json(path, {"annotations": kept})


def read_panoptic(path: Path, records: list[Any]) -> list[Entry]:
    """The entries of COCO panoptic results, whose JSON file has these annotations, with their PNGs."""
    folder, entries = folder_of(path), []
    for record in records:
        if not _is_annotation(record):
            raise UserError(f"{path}: not an annotation of COCO panoptic results: {json.dumps(record)[:80]}")
        png = folder / Path(record["file_name"]).name
        try:
            encoded = png.read_bytes()
        except OSError as error:
            raise UserError(f"{png}: {error.strerror}") from None
        _read_map(encoded, str(png))
        entries.append(record | {"file_name": png.name, PNG: base64.b64encode(encoded).decode("ascii")})
    return entries


def _is_annotation(record: Any) -> bool:
    """Whether a record tells its image, its PNG, and of its segments the ids and the categories."""
    if not isinstance(record, dict) or not isinstance(record.get("file_name"), str):
        return False
    segments = record.get("segments_info")
    return (
        isinstance(record.get("image_id"), int)
        and isinstance(segments, list)
        and all(isinstance(each, dict) and {"id", "category_id"} <= each.keys() for each in segments)
    )
