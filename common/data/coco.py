"""Reads data sets in COCO's format: instances, and persons with key points."""

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
from common.data.coco_index import Index, map_file, read_index
from common.data.shared import SharedArrays
from common.errors import UserError

# This module is imported in the loader's workers too, so that they are silent as well.
opencv.silence()

Split = Literal["train", "val", "test"]


@dataclass
class Sample:
    """One image with its objects.

    image: (H, W, 3) RGB, uint8 as it is read, float32 in the transforms; boxes: (M, 4) xyxy float32; labels: (M,) int32
    from 0; crowd: (M,) bool; masks: (M, H, W) uint8 of 0 and 1; annotation_ids: (M,) int64.
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
    """One image's M annotations before their masks are decoded.

    The arrays are as in `Sample`, but boxes are not cut to the image.
    """

    annotation_ids: np.ndarray
    boxes: np.ndarray
    boxes_in_file: np.ndarray  # (M, 4) float64 x, y, width, height, as they stand in the file
    labels: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray  # (M,) bool: marked so, or of no area
    rles: list[dict | None]  # pycocotools' packed RLEs; None where a segmentation cannot be used at all
    mask_faults: list[str | None]  # what is wrong with a segmentation
    keypoints: np.ndarray | None  # (M, K, 3) float32 x, y, visibility; None if the data set has no key points
    keypoints_sound: np.ndarray  # (M,) bool: whether they could be read

    def __len__(self) -> int:
        return len(self.labels)


class CocoDataset:
    """An annotation file and a folder of images; an image is named by its position among the file's images.

    Opening reads the whole file into `columns` (see `coco_index.Index`); a segmentation is parsed when it is asked for.
    A copy that is sent to a process being started shares the columns and the file's pages in memory.
    """

    # The columns with a row for each image; the others have one for each annotation, or are made anew for other images.
    _per_image: tuple[str, ...] = ("image_id", "image_size", "first_annotation")

    def __init__(self, annotations: str | os.PathLike, images: str | os.PathLike) -> None:
        self.annotations, self.images = Path(annotations), Path(images)
        if not self.images.is_dir():
            raise UserError(f"folder of images not found: {images}")
        self._take_index(read_index(self.annotations))
        self._version = self._file_version()

    def _take_index(self, index: Index) -> None:
        self.category_ids = index.category_ids
        self.class_names = index.class_names
        self.keypoint_names, self.keypoint_label = index.keypoint_names, index.keypoint_label
        self.faults = index.faults
        self.columns = SharedArrays(index.columns)

    def __len__(self) -> int:
        return len(self.image_ids)

    def select_images(self, positions: np.ndarray) -> "CocoDataset":
        """Returns the data set of the images at `positions` (K,) alone, in this order, with all the classes."""
        columns = {name: self.columns[name] for name in self.columns}
        starts, ends = columns["first"][:-1][positions], columns["first"][1:][positions]
        rows = np.concatenate([np.arange(0), *map(np.arange, starts, ends)])
        made_anew = ("first", "names", "name_end")
        per_annotation = [name for name in columns if name not in (*self._per_image, *made_anew)]
        names = [self.file_name(position).encode() for position in positions]
        part = copy.copy(self)
        part.columns = SharedArrays(
            {name: columns[name][positions] for name in self._per_image}
            | {name: columns[name][rows] for name in per_annotation}
            | {
                "first": np.append(0, np.cumsum(ends - starts)),
                "names": np.frombuffer(b"".join(names), np.uint8),
                "name_end": np.cumsum([len(name) for name in names]),
            }
        )
        return part

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_whole_text"}

    @property
    def image_ids(self) -> np.ndarray:
        """The images' ids (I,) int64, in the file's order."""
        return self.columns["image_id"]

    @property
    def is_thing(self) -> np.ndarray:
        """Which classes are things, whose objects are told apart: (C,) bool."""
        return np.ones(len(self.class_names), bool)

    @property
    def annotation_count(self) -> int:
        return len(self.columns["label"])

    def file_name(self, position: int) -> str:
        begin = self.columns["name_end"][position - 1] if position else 0
        return self.columns["names"][begin : self.columns["name_end"][position]].tobytes().decode()

    def image_size(self, position: int) -> tuple[int, int]:
        """Returns an image's size (H, W) as the annotation file tells it; zeros where it does not."""
        height, width = self.columns["image_size"][position].tolist()
        return height, width

    def image_sizes(self) -> np.ndarray:
        """Returns all images' sizes (I, 2), as `image_size`."""
        return self.columns["image_size"]

    def path(self, position: int) -> Path:
        return self.images / self.file_name(position)

    def encoded_image(self, position: int) -> np.ndarray:
        """Reads the bytes (B,) uint8 of an image's file."""
        return np.fromfile(self.path(position), np.uint8)

    def text(self, position: int) -> mmap.mmap | bytes:
        """Returns the text in which the columns `segmentation` and `keypoints` of an image point."""
        return self._whole_text

    def image(self, position: int, upright: bool = True) -> np.ndarray:
        """Reads an image (H, W, 3) uint8 RGB.

        upright: whether it is turned as its EXIF data says. An image that has not the annotations' size so is read the
        other way, and refused if its size is wrong again.
        """
        name = f"image {self.image_ids[position]} ({self.path(position)})"
        try:
            encoded = self.encoded_image(position)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise UserError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
        expected = self.image_size(position)
        pixels = decode(encoded, upright)
        if pixels is None:
            raise UserError(f"{name}: cannot be decoded; the file is broken or no image")
        if 0 not in expected and pixels.shape[:2] != expected:
            # Some annotations were drawn on an image as it is stored, some as its EXIF data says to turn it.
            pixels = decode(encoded, not upright)
            if pixels.shape[:2] != expected:
                raise UserError(
                    f"{name}: is {_format_size(pixels.shape)}, while the annotations say {_format_size(expected)}"
                )
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    def objects(self, position: int, size: tuple[int, int] | None = None, masks: bool = True) -> Objects:
        """Reads all annotations of an image, sound or not, in the file's order.

        size: the image's (H, W), by default what the file tells. Without `masks`, whose reading takes most of the time,
        `rles` and `mask_faults` are empty.
        """
        rows = slice(*self.columns["first"][position : position + 2].tolist())
        boxes = self.columns["box"][rows].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        text = self.text(position) if masks or self.keypoint_names else b""
        keypoints, keypoints_sound = self._read_keypoints(rows, text)
        encoded = [
            segmentations.encode(text[begin:end], size or self.image_size(position))
            for begin, end in (self.columns["segmentation"][rows].tolist() if masks else ())
        ]
        return Objects(
            annotation_ids=self.columns["annotation_id"][rows].copy(),
            boxes=boxes,
            boxes_in_file=self.columns["box"][rows].copy(),
            labels=self.columns["label"][rows].copy(),
            crowd=self.columns["crowd"][rows].copy(),
            ignored=self.columns["ignored"][rows].copy(),
            rles=[packed for packed, _ in encoded],
            mask_faults=[fault for _, fault in encoded],
            keypoints=keypoints if self.keypoint_names else None,
            keypoints_sound=keypoints_sound,
        )

    def polygons(self, position: int, row: int) -> tuple[np.ndarray, ...]:
        """Reads the polygons of one annotation, each (2 K,) x, y, x, y, ...; none if its segmentation is an RLE.

        row: the annotation's place among the image's `objects`, where it must have an RLE.
        """
        begin, end = self.columns["segmentation"][self.columns["first"][position] + row].tolist()
        return segmentations.read_polygons(self.text(position)[begin:end])

    def truth(self, position: int) -> list[dict]:
        """Reads an image's annotations as records for the COCO tools, with a `label` for the category.

        A mask that cannot be read is empty. The image itself is read if the annotations do not tell its size.
        """
        rows = slice(*self.columns["first"][position : position + 2].tolist())
        if rows.start == rows.stop:
            return []
        size = self.image_size(position)
        size = self.image(position).shape[:2] if 0 in size else size
        objects = self.objects(position, size)
        boxes, areas = self.columns["box"][rows], self.columns["area"][rows]
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
        """Loads an image with the objects that can be trained on: the mask can be read and the box meets the image.

        Boxes are cut to the image; a mask may be empty.
        """
        image = self.image(position)
        size = image.shape[:2]
        objects = self.objects(position, size)
        boxes = clip_boxes(objects.boxes, size)
        sound = np.array([encoded is not None for encoded in objects.rles], bool) & has_area(boxes)
        rles = [encoded for encoded, is_sound in zip(objects.rles, sound, strict=True) if is_sound]
        masks = np.ascontiguousarray(rle.decode(rles).transpose(2, 0, 1)) if rles else np.zeros((0, *size), np.uint8)
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
        """Returns the positions (K,) of images with an annotation that is no crowd and whose box meets the image."""
        columns = self.columns
        image = np.repeat(np.arange(len(self)), np.diff(columns["first"]))
        boxes = columns["box"] + np.pad(columns["box"][:, :2], ((0, 0), (2, 0)))
        size = columns["image_size"][image]
        size = np.where(size > 0, size, np.iinfo(np.int32).max)
        sound = (boxes[:, :2] < size[:, ::-1]).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
        sound &= (columns["box"][:, 2:] > 0).all(axis=1) & ~columns["crowd"]
        return np.unique(image[sound])

    def positions_with_annotations(self) -> np.ndarray:
        """Returns the positions (K,) of the images with any annotation, sorted by their first one in the file."""
        numbers = self.columns["first_annotation"]
        return np.argsort(numbers, kind="stable")[np.count_nonzero(numbers < 0) :]

    def small_images(self, side: int) -> np.ndarray:
        """Returns the positions (K,) of the images of which the file tells a height or a width of less than `side`."""
        sizes = self.image_sizes()
        return np.flatnonzero((sizes.min(axis=1) < side) & (sizes > 0).all(axis=1))

    def missing_images(self) -> np.ndarray:
        """Returns the positions (K,) of the images whose file does not exist."""
        # Listing each folder once is faster than asking for every file.
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
    def _whole_text(self) -> mmap.mmap:
        if self._file_version() != self._version:
            raise UserError(f"{self.annotations} has changed since it was opened")
        return map_file(self.annotations)

    def _file_version(self) -> tuple[int, int]:
        status = self.annotations.stat()
        return status.st_size, status.st_mtime_ns

    def _read_keypoints(self, rows: slice, text: mmap.mmap | bytes) -> tuple[np.ndarray, np.ndarray]:
        """Reads the key points (M, K, 3) x, y, visibility of annotations, and whether they are as they should be (M,).

        An annotation without key points, or with unreadable ones, has zeros.
        """
        spans = self.columns["keypoints"][rows].tolist()
        points = np.zeros((len(spans), len(self.keypoint_names), 3), np.float32)
        sound = np.ones(len(spans), bool)
        if not self.keypoint_names:
            return points, sound
        for row, (begin, end) in enumerate(spans):
            try:
                flat = _keypoint_decoder.decode(text[begin:end] or b"null")
            except msgspec.DecodeError:
                flat = []
            sound[row] = flat is None or len(flat) == points[row].size
            if flat and sound[row]:
                points[row] = np.reshape(flat, (-1, 3))
        return points, sound


_keypoint_decoder = msgspec.json.Decoder(list[float] | None)


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cuts boxes (M, 4) xyxy to an image of `size` (H, W)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def has_area(boxes: np.ndarray) -> np.ndarray:
    """Tells which of the boxes (M, 4) xyxy are not empty, (M,) bool."""
    return (boxes[:, 2:] > boxes[:, :2]).all(axis=1)


def decode(encoded: np.ndarray, upright: bool) -> np.ndarray | None:
    """Decodes a file's bytes (N,) uint8 to an image (H, W, 3) uint8 BGR, or None if that is impossible.

    upright: whether the image is turned as its EXIF data says.
    """
    try:
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # an empty file, or a header that promises an impossible size
        return None


def _format_size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def resolve(
    root: str | os.PathLike, split: Split, kind: DataKind = "instances", published: Sequence[AnnotationFile] = ()
) -> CocoDataset:
    """Opens the data set of a split under `root`, in any of the layouts that `locate` knows."""
    return open_dataset(*locate(root, split, kind, published), kind)


def open_dataset(annotations: Path, images: Path, kind: DataKind) -> CocoDataset:
    """Opens an annotation file of a kind with a folder of images, as `locate` finds them."""
    if kind == "panoptic":
        from common.data.panoptic import PanopticDataset  # which builds on this module

        return PanopticDataset(annotations, images)
    return CocoDataset(annotations, images)


def locate(
    root: str | os.PathLike, split: Split, kind: DataKind = "instances", published: Sequence[AnnotationFile] = ()
) -> tuple[Path, Path]:
    """Finds the annotation file and the folder of images of a split, in one of these layouts.

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
    others = sorted(path.name for path in (root / "annotations").glob(f"*_{split}*.json"))
    classes_alone = {path.name for folder in (root, root / "annotations") for path in folder.glob(f"*semseg_{split}*")}
    others += [f"{name} (pixels' classes alone, without segments)" for name in sorted(classes_alone)]
    there = f"; there are those of another kind: {', '.join(others)}" if others else ""
    raise UserError(f"{root}: no annotations of the split {split}; looked for {looked_for}{there}")
