"""Reads data sets in COCO's panoptic format: every pixel of an image belongs to one segment, or to none.

An image's segments stand in the annotation file, and which pixels each of them has in a PNG of the image's size: the
segment whose id is R + 256 G + 65536 B, while 0 is no segment's (void).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
from pycocotools import mask as rle

from common.data.coco import CocoDataset, Objects
from common.data.coco_index import find_positions
from common.data.panoptic_index import read_panoptic_index
from common.data.shared import SharedArrays
from common.errors import UserError

VOID = 0  # the id of pixels of no segment
# What may be wrong with a PNG of an image beside the list of its segments.
STRAY_IDS, EMPTY_SEGMENTS = "PNGs with ids that stand in no segment", "PNGs without a pixel of a segment"


@dataclass(frozen=True)
class Segment:
    """A segment of an image; `area` is the number of pixels that the file tells, or else what the PNG has."""

    id: int
    label: int
    category_id: int
    crowd: bool
    area: int


class PanopticDataset(CocoDataset):
    """A panoptic annotation file, its folder of PNGs and a folder of images; an image is named by its position.

    The PNGs lie in the folder that is called as the annotation file, beside it or one folder higher. Classes are in the
    order of their categories' ids, things before stuff. An image without an annotation has no segment, and void alone.
    """

    _per_image = (*CocoDataset._per_image, "map_name")

    def __init__(self, annotations: str | os.PathLike, images: str | os.PathLike) -> None:
        self.annotations, self.images = Path(annotations), Path(images)
        if not self.images.is_dir():
            raise UserError(f"folder of images not found: {images}")
        index = read_panoptic_index(self.annotations)
        self.category_ids, self.class_names = index.category_ids, index.class_names
        self.keypoint_names, self.keypoint_label = [], None
        self.faults = index.faults
        self.columns = SharedArrays(index.columns)
        self._things = index.things
        self.maps = self._find_maps()
        self._version = self._file_version()

    @property
    def is_thing(self) -> np.ndarray:
        return np.arange(len(self.class_names)) < self._things

    def map_path(self, position: int) -> Path | None:
        """The PNG of an image's segments; None for an image without an annotation."""
        begin, end = self.columns["map_name"][position].tolist()
        return self.maps / msgspec.json.decode(self.text(position)[begin:end], type=str) if begin < end else None

    def segments(self, position: int, size: tuple[int, int] | None = None) -> tuple[np.ndarray, list[Segment]]:
        """Reads an image's segments, with the map (H, W) int32 of the id that stands in each pixel.

        size: the image's (H, W), by default what the file tells; a PNG of another size is refused.
        """
        ids = self._read_map(position, size)
        rows = slice(*self.columns["first"][position : position + 2].tolist())
        columns = ("annotation_id", "label", "crowd", "area")
        segments = []
        for identity, label, crowd, area in zip(*(self.columns[name][rows].tolist() for name in columns), strict=True):
            pixels = int(np.count_nonzero(ids == identity)) if np.isnan(area) else int(area)
            segments.append(Segment(identity, label, self.category_ids[label], crowd, pixels))
        return ids, segments

    def objects(self, position: int, size: tuple[int, int] | None = None, masks: bool = True) -> Objects:
        """All segments of an image, things and stuff, as annotations of its objects."""
        ids, segments = self.segments(position, size)
        packed = [_pack(ids, segment) for segment in segments]
        boxes_in_file = np.array([rle.toBbox(each) for each in packed], np.float64).reshape(-1, 4)
        boxes = boxes_in_file.astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        return Objects(
            annotation_ids=np.array([segment.id for segment in segments], np.int64),
            boxes=boxes,
            boxes_in_file=boxes_in_file,
            labels=np.array([segment.label for segment in segments], np.int32),
            crowd=np.array([segment.crowd for segment in segments], bool),
            ignored=np.array([not rle.area(each) for each in packed], bool),
            rles=packed if masks else [],
            mask_faults=[None] * len(packed) if masks else [],
            keypoints=None,
            keypoints_sound=np.ones(len(segments), bool),
        )

    def polygons(self, position: int, row: int) -> tuple[np.ndarray, ...]:
        return ()

    def truth(self, position: int) -> list[dict]:
        """The things of an image as records for the COCO tools, with a `label` for the category.

        Areas and boxes are those of the pixels.
        """
        return self.things(*self.segments(position))

    def things(self, ids: np.ndarray, segments: list[Segment]) -> list[dict]:
        """What `truth` gives of an image whose map of ids and segments, as `segments` has them, are read already."""
        records = []
        for segment in segments:
            if segment.label < self._things:
                packed = _pack(ids, segment)
                records.append(
                    {
                        "label": segment.label,
                        "iscrowd": int(segment.crowd),
                        "bbox": rle.toBbox(packed).tolist(),
                        "area": float(rle.area(packed)),
                        "segmentation": packed,
                    }
                )
        return records

    @property
    def instances_file(self) -> Path | None:
        """COCO's file of the same images' instances, if it lies beside the annotations: `panoptic` is `instances`."""
        is_panoptic = self.annotations.name.startswith("panoptic_")
        path = self.annotations.with_name(f"instances_{self.annotations.name.removeprefix('panoptic_')}")
        return path if is_panoptic and path.is_file() else None

    def instances(self) -> CocoDataset | None:
        """Opens `instances_file`, with these images alone; None where it lacks some, or has other things.

        In COCO it differs from the segments: objects may overlap, and others are crowds.
        """
        if self.instances_file is None:
            return None
        found = CocoDataset(self.instances_file, self.images)
        positions, known = find_positions(self.image_ids, found.image_ids)
        things = dict(zip(self.category_ids[: self._things], self.class_names, strict=False))
        if not known.all() or dict(zip(found.category_ids, found.class_names, strict=True)) != things:
            return None
        return found.select_images(positions)

    def positions_with_objects(self) -> np.ndarray:
        """Returns the positions (K,) of images with a segment that is no crowd."""
        image = np.repeat(np.arange(len(self)), np.diff(self.columns["first"]))
        return np.unique(image[~self.columns["crowd"]])

    def missing_maps(self) -> np.ndarray:
        """Returns the positions (K,) of the annotated images whose PNG does not exist."""
        annotated = np.flatnonzero(self.columns["first_annotation"] >= 0).tolist()
        # Listing the folder once is faster than asking for every file.
        present = {self.maps / name for name in os.listdir(self.maps)} if annotated else set()
        paths = ((position, self.map_path(position)) for position in annotated)
        return np.array([place for place, path in paths if path not in present and not path.is_file()], np.int64)

    def untrainable(self) -> np.ndarray:
        """Returns the positions (K,) of the images of which it is not known what their pixels show."""
        return np.union1d(np.flatnonzero(self.columns["first_annotation"] < 0), self.missing_maps())

    def map_faults(self, position: int, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
        """Yields what is wrong with the PNG of an image of `size` (H, W): the fault in words, and its name.

        One that cannot be read is refused.
        """
        ids, segments = self.segments(position, size)
        drawn, listed = set(np.unique(ids).tolist()) - {VOID}, {segment.id for segment in segments}
        name = f"image {self.image_ids[position]} ({self.map_path(position)})"
        if drawn - listed:
            yield STRAY_IDS, f"{name}: {_join(drawn - listed)}"
        if listed - drawn:
            yield EMPTY_SEGMENTS, f"{name}: {_join(listed - drawn)}"

    def _find_maps(self) -> Path:
        """The folder of PNGs; without an annotation none is needed."""
        stem = self.annotations.with_suffix("")
        folders = (stem, stem.parent.parent / stem.name)
        found = next((folder for folder in folders if folder.is_dir()), None)
        if found is None and (self.columns["first_annotation"] >= 0).any():
            raise UserError(f"{self.annotations}: no folder of its PNGs; looked for {folders[0]} and {folders[1]}")
        return found or stem

    def _read_map(self, position: int, size: tuple[int, int] | None) -> np.ndarray:
        path = self.map_path(position)
        size = size or self.image_size(position)
        if path is None:
            return np.zeros(self.image(position).shape[:2] if 0 in size else size, np.int32)
        name = f"image {self.image_ids[position]} ({path})"
        try:
            pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise UserError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
        except cv2.error:
            pixels = None
        if pixels is None:
            raise UserError(f"{name}: cannot be decoded; the file is broken or no image")
        if pixels.ndim != 3 or pixels.dtype != np.uint8:
            raise UserError(f"{name}: has no segments' ids, which take three bytes a pixel; are these classes alone?")
        if 0 not in size and pixels.shape[:2] != tuple(size):
            found, expected = (f"{width}x{height}" for height, width in (pixels.shape[:2], size))
            raise UserError(f"{name}: the segments' PNG is {found}, while the image is {expected}")
        return decode_ids(cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB))


def decode_ids(pixels: np.ndarray) -> np.ndarray:
    """A panoptic PNG's pixels (H, W, 3) uint8 RGB -> ids (H, W) int32: R + 256 G + 65536 B."""
    # With a fourth byte each pixel is a number already.
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA).view("<u4")[..., 0].astype(np.int32) & 0xFFFFFF


def encode_ids(ids: np.ndarray) -> np.ndarray:
    """Ids (H, W) from 0 to 2**24 - 1 -> a panoptic PNG's pixels (H, W, 3) uint8 RGB, as `decode_ids` reads them."""
    return np.ascontiguousarray(ids.astype("<u4")[..., None].view(np.uint8)[..., :3])


def write_ids(path: str | os.PathLike, ids: np.ndarray) -> None:
    """Writes ids (H, W) as a panoptic PNG."""
    if not cv2.imwrite(str(path), cv2.cvtColor(encode_ids(ids), cv2.COLOR_RGB2BGR)):
        raise UserError(f"cannot write {path}")


def _pack(ids: np.ndarray, segment: Segment) -> dict:
    """A segment's mask as a packed RLE."""
    return rle.encode(np.asfortranarray(ids == segment.id, np.uint8))


def _join(ids: set[int]) -> str:
    return ", ".join(map(str, sorted(ids)))
