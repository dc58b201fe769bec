"""A data set in COCO's format: instances, and persons with key points."""

import copy
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import numpy as np
from pycocotools import mask as rle

from common import opencv
from common.config.sections import AnnotationFile, DataKind
from common.data import segmentations
from common.data.coco_index import map_file, read_index
from common.data.shared import SharedArrays
from common.errors import UserError

# In the loader's workers too.
opencv.silence()

Split = Literal["train", "val", "test"]


@dataclass
class Sample:
    """One image with its objects.

    image: (H, W, 3), RGB uint8 as read, float32 in the course of the transforms; boxes: (M, 4) xyxy float32;
    labels: (M,) int32; crowd: (M,) bool; masks: (M, H, W) uint8 of 0 and 1; annotation_ids: (M,) int64.
    """

    image_id: int
    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    masks: np.ndarray
    annotation_ids: np.ndarray


@dataclass
class Objects:
    """The annotations of one image before their masks are drawn; arrays as in `Sample`, `boxes` as in the file."""

    annotation_ids: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray  # (M,) bool; marked so, or without area
    rles: list[dict | None]  # packed; None where nothing of a segmentation can be used
    mask_faults: list[str | None]
    keypoints: np.ndarray | None  # (M, K, 3) float32 x, y, visibility, where the data set has key points
    keypoints_sound: np.ndarray  # (M,) bool; False where they cannot be read

    def __len__(self) -> int:
        return len(self.labels)


class CocoDataset:
    """An annotation file and a folder of images, by position.

    Opening reads the whole file into columns; a segmentation is parsed when its image is loaded. A copy that is sent
    to a process being started shares the columns and the file's pages.
    """

    def __init__(self, annotations: str | os.PathLike, images: str | os.PathLike) -> None:
        self.annotations, self.images = Path(annotations), Path(images)
        if not self.images.is_dir():
            raise UserError(f"folder of images not found: {images}")
        index = read_index(self.annotations)
        self.category_ids = index.category_ids
        self.class_names = index.class_names
        self.keypoint_names, self.keypoint_label = index.keypoint_names, index.keypoint_label
        self.faults = index.faults
        self._columns = SharedArrays(index.columns)
        self._version = self._file_version()

    def __len__(self) -> int:
        return len(self.image_ids)

    def only(self, positions: np.ndarray) -> "CocoDataset":
        """The data set of these images alone, in this order; its classes stay all."""
        columns = {name: self._columns[name] for name in self._columns}
        starts, ends = columns["first"][:-1][positions], columns["first"][1:][positions]
        rows = np.concatenate([np.arange(0), *map(np.arange, starts, ends)])
        per_image = ("image_id", "image_size", "first_annotation")
        whole = ("first", "names", "name_end")
        per_annotation = [name for name in columns if name not in (*per_image, *whole)]
        names = [self.file_name(position).encode() for position in positions]
        chosen = copy.copy(self)
        chosen._columns = SharedArrays(
            {name: columns[name][positions] for name in per_image}
            | {name: columns[name][rows] for name in per_annotation}
            | {
                "first": np.append(0, np.cumsum(ends - starts)),
                "names": np.frombuffer(b"".join(names), np.uint8),
                "name_end": np.cumsum([len(name) for name in names]),
            }
        )
        return chosen

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_text"}

    @property
    def image_ids(self) -> np.ndarray:
        """(I,) int64, in the file's order."""
        return self._columns["image_id"]

    @property
    def annotation_count(self) -> int:
        return len(self._columns["label"])

    def file_name(self, position: int) -> str:
        begin = self._columns["name_end"][position - 1] if position else 0
        return self._columns["names"][begin : self._columns["name_end"][position]].tobytes().decode()

    def image_size(self, position: int) -> tuple[int, int]:
        """(H, W) as the file tells it; zeros where it does not."""
        height, width = self._columns["image_size"][position].tolist()
        return height, width

    def image_sizes(self) -> np.ndarray:
        """(I, 2) of all images, as `image_size`."""
        return self._columns["image_size"]

    def path(self, position: int) -> Path:
        return self.images / self.file_name(position)

    def image(self, position: int, upright: bool = True) -> np.ndarray:
        """(H, W, 3) uint8 RGB; `upright` or as it is stored, but always of the size that the annotations tell."""
        what = f"image {self.image_ids[position]} ({self.path(position)})"
        try:
            encoded = np.fromfile(self.path(position), np.uint8)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise UserError(f"{what}: {getattr(error, 'strerror', None) or error}") from None
        expected = self.image_size(position)
        pixels = decode(encoded, upright)
        if pixels is None:
            raise UserError(f"{what}: cannot be decoded; the file is broken or no image")
        if 0 not in expected and pixels.shape[:2] != expected:
            # Some annotations were drawn on an image as it is stored, some as its EXIF data says to turn it.
            pixels = decode(encoded, not upright)
            if pixels.shape[:2] != expected:
                raise UserError(f"{what}: is {_by(pixels.shape)}, while the annotations say {_by(expected)}")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    def objects(self, position: int, size: tuple[int, int] | None = None, masks: bool = True) -> Objects:
        """All annotations of an image of `size` (H, W), sound or not, in the file's order.

        Without `masks`, whose reading takes most of the time, `rles` and `mask_faults` are empty.
        """
        rows = slice(*self._columns["first"][position : position + 2].tolist())
        boxes = self._columns["box"][rows].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        keypoints, keypoints_sound = self._keypoints(rows)
        encoded = [
            segmentations.encode(self._text[begin:end], size or self.image_size(position))
            for begin, end in (self._columns["segmentation"][rows].tolist() if masks else ())
        ]
        return Objects(
            annotation_ids=self._columns["annotation_id"][rows].copy(),
            boxes=boxes,
            labels=self._columns["label"][rows].copy(),
            crowd=self._columns["crowd"][rows].copy(),
            ignored=self._columns["ignored"][rows].copy(),
            rles=[packed for packed, _ in encoded],
            mask_faults=[fault for _, fault in encoded],
            keypoints=keypoints if self.keypoint_names else None,
            keypoints_sound=keypoints_sound,
        )

    def polygons(self, position: int, row: int) -> tuple[np.ndarray, ...]:
        """Those of one of an image's annotations, by its row in `objects`, which has an RLE of it; none of an RLE."""
        begin, end = self._columns["segmentation"][self._columns["first"][position] + row].tolist()
        return segmentations.polygons(self._text[begin:end])

    def truth(self, position: int) -> list[dict]:
        """The annotations of an image as the COCO tools have them, but by label; where no mask can be read it is empty.

        The size of an image that the annotations do not tell is read from the image itself.
        """
        rows = slice(*self._columns["first"][position : position + 2].tolist())
        if rows.start == rows.stop:
            return []
        size = self.image_size(position)
        size = self.image(position).shape[:2] if 0 in size else size
        objects = self.objects(position, size)
        boxes, areas = self._columns["box"][rows], self._columns["area"][rows]
        areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas)
        return [
            {
                "label": int(objects.labels[row]),
                "iscrowd": int(objects.crowd[row]),
                "bbox": boxes[row].tolist(),
                "area": float(areas[row]),
                "segmentation": objects.rles[row]
                or rle.frPyObjects({"size": size, "counts": [size[0] * size[1]]}, *size),
            }
            for row in range(len(objects))
        ]

    def load(self, position: int) -> Sample:
        """The image with the objects that can be trained on: there is a mask, if one without a pixel, and the box holds
        a part of the image, to which it is cut.
        """
        image = self.image(position)
        size = image.shape[:2]
        objects = self.objects(position, size)
        boxes = clipped(objects.boxes, size)
        sound = np.array([packed is not None for packed in objects.rles], bool) & has_area(boxes)
        kept = [packed for packed, keep in zip(objects.rles, sound, strict=True) if keep]
        masks = np.ascontiguousarray(rle.decode(kept).transpose(2, 0, 1)) if kept else np.zeros((0, *size), np.uint8)
        return Sample(
            image_id=int(self.image_ids[position]),
            image=image,
            boxes=boxes[sound],
            labels=objects.labels[sound],
            crowd=objects.crowd[sound],
            masks=masks,
            annotation_ids=objects.annotation_ids[sound],
        )

    def positions_with_objects(self) -> np.ndarray:
        """The images that have an annotation which is no crowd and whose box holds a part of the image."""
        column = self._columns
        image = np.repeat(np.arange(len(self)), np.diff(column["first"]))
        boxes = column["box"] + np.pad(column["box"][:, :2], ((0, 0), (2, 0)))
        size = column["image_size"][image]
        size = np.where(size > 0, size, np.iinfo(np.int32).max)
        sound = (boxes[:, :2] < size[:, ::-1]).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
        sound &= (column["box"][:, 2:] > 0).all(axis=1) & ~column["crowd"]
        return np.unique(image[sound])

    def positions_with_annotations(self) -> np.ndarray:
        """The images that have an annotation of any kind, in the order of the first of each in the file."""
        places = self._columns["first_annotation"]
        return np.argsort(places, kind="stable")[np.count_nonzero(places < 0) :]

    def missing_images(self) -> np.ndarray:
        """The positions whose file is not there; lists each folder once instead of asking for every file."""
        present: dict[str, set[str]] = {}
        missing = []
        for position in range(len(self)):
            folder, name = os.path.split(self.file_name(position))
            if folder not in present:
                path = self.images / folder
                present[folder] = set(os.listdir(path)) if path.is_dir() else set()
            if name not in present[folder]:
                missing.append(position)
        return np.array(missing, np.int64)

    @cached_property
    def _text(self) -> mmap.mmap:
        if self._file_version() != self._version:
            raise UserError(f"{self.annotations} has changed since it was opened")
        return map_file(self.annotations)

    def _file_version(self) -> tuple[int, int]:
        status = self.annotations.stat()
        return status.st_size, status.st_mtime_ns

    def _keypoints(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """(M, K, 3), at visibility 0 where an annotation has none; and (M,) whether they are as they should be."""
        spans = self._columns["keypoints"][rows].tolist()
        points = np.zeros((len(spans), len(self.keypoint_names), 3), np.float32)
        sound = np.ones(len(spans), bool)
        if not self.keypoint_names:
            return points, sound
        for row, (begin, end) in enumerate(spans):
            try:
                flat = _keypoint_decoder.decode(self._text[begin:end] or b"null")
            except msgspec.DecodeError:
                flat = []
            sound[row] = flat is None or len(flat) == points[row].size
            if flat and sound[row]:
                points[row] = np.reshape(flat, (-1, 3))
        return points, sound


_keypoint_decoder = msgspec.json.Decoder(list[float] | None)


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (M, 4) xyxy cut to an image of `size` (H, W)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def has_area(boxes: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the boxes (M, 4) xyxy are not empty."""
    return (boxes[:, 2:] > boxes[:, :2]).all(axis=1)


def decode(encoded: np.ndarray, upright: bool) -> np.ndarray | None:
    """A file's bytes (N,) uint8 -> (H, W, 3) uint8 BGR, `upright` as its EXIF data says or as it is stored; or None."""
    try:
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # an empty file, or a header that promises an impossible size
        return None


def _by(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def resolve(
    root: str | os.PathLike, split: Split, kind: DataKind = "instances", published: Sequence[AnnotationFile] = ()
) -> CocoDataset:
    """The data set of a split under `root`, in any of the layouts that `locate` knows."""
    return CocoDataset(*locate(root, split, kind, published))


def locate(
    root: str | os.PathLike, split: Split, kind: DataKind = "instances", published: Sequence[AnnotationFile] = ()
) -> tuple[Path, Path]:
    """The annotation file and the folder of images of a split.

    ROOT/annotations/instances_train2017.json with ROOT/train2017; ROOT/annotations/[instances_]train.json with
    ROOT/train; either with ROOT/images; ROOT/annotations/image_info_test-dev2017.json with ROOT/test2017;
    ROOT/annotations.json, for all splits, with ROOT/images. Files of another `kind` are called by it in place of
    `instances`, and those that are `published` under other names, as `Settings.data_files` tells them, come first.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"data folder not found: {root}")
    layouts = (
        *published,
        AnnotationFile(f"annotations/{kind}_{{split}}2017.json", ("{split}2017", "images/{split}2017", "images")),
        AnnotationFile(f"annotations/{kind}_{{split}}.json", ("{split}", "images/{split}", "images")),
        AnnotationFile("annotations/{split}.json", ("{split}", "images/{split}", "images")),
        AnnotationFile("annotations/image_info_{split}-dev2017.json", ("{split}2017",)),
        AnnotationFile("annotations/image_info_{split}2017.json", ("{split}2017",)),
        AnnotationFile("annotations.json", ("images",)),
    )
    for layout in layouts:
        annotations = layout.path.format(split=split)
        if (root / annotations).is_file():
            folders = [folder.format(split=split) for folder in layout.folders]
            folder = next((root / folder for folder in folders if (root / folder).is_dir()), None)
            if folder is None:
                raise UserError(f"{root}: {annotations} is there, but no folder of images ({', '.join(folders)})")
            return root / annotations, folder
    looked_for = ", ".join(layout.path.format(split=split) for layout in layouts)
    raise UserError(f"{root}: no annotations of the split {split}; looked for {looked_for}")
