"""Opens the results of one model in several frameworks beside the data set that they are of, image by image."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.report.kinds import Annotated, Found
from common.config import DataKind
from common.data.coco import CocoDataset, resolve
from common.errors import UserError
from common.results import INSTANCES, PANOPTIC
from common.results.kind import Entry
from common.results.panoptic_files import decode_map

LEAST_SCORE = 0.1  # what scores less is not shown
AGREED_SCORE = 0.3  # from this score on an object counts where pixels are compared
CANDIDATES = 500  # images at most among which those are looked for that disagree most
# The files of results, by what is rated.
_FILES = {name: f"{name}_results.json" for name in ("panoptic", "mask", "box")}
# The keys of an entry of results with masks, of either kind.
_NEEDED = ({"image_id", "category_id", "segmentation", "score"}, {"image_id", "segments_info"})


@dataclass(frozen=True)
class Scene:
    """An image of a data set, what is annotated in it, and what each framework finds, the best score first.

    position: of the image in the data set. differs: (H, W) bool, the pixels on whose class the frameworks disagree.
    """

    position: int
    annotated: list[Annotated]
    found: dict[str, list[Found]]
    differs: np.ndarray

    @property
    def disagreement(self) -> float:
        """The share of the pixels that disagree."""
        return float(self.differs.mean())


@dataclass(frozen=True)
class Predictions:
    """The results of the frameworks that have some, on one data set."""

    dataset: CocoDataset
    entries: dict[str, dict[int, list[Entry]]]  # by framework and image
    panoptic: bool

    @property
    def frameworks(self) -> list[str]:
        return list(self.entries)

    def scenes(self, count: int, seed: int) -> list[Scene]:
        """The images that disagree most, `count` at most; among equals those that were drawn first.

        They are looked for among all images, or among as many as `CANDIDATES` that are drawn with the seed.
        """
        total = len(self.dataset)
        drawn = np.random.default_rng(seed).permutation(total)[:CANDIDATES]
        scenes = [self._scene(int(position)) for position in drawn]
        return sorted(scenes, key=lambda scene: -scene.disagreement)[:count]

    def _scene(self, position: int) -> Scene:
        labels = {category: label for label, category in enumerate(self.dataset.category_ids)}
        image_id = int(self.dataset.image_ids[position])
        objects = self.dataset.objects(position)
        annotated = [
            Annotated(int(label), mask, bool(crowd))
            for label, mask, crowd, ignored in zip(
                objects.labels, objects.rles, objects.crowd, objects.ignored, strict=True
            )
            if mask is not None and (crowd or not ignored)
        ]
        read = _read_segments if self.panoptic else _read_instances
        try:
            found = {framework: read(entries.get(image_id, []), labels) for framework, entries in self.entries.items()}
        except KeyError as error:
            raise UserError(f"{self.dataset.annotations} has no category {error}, which results of it have") from None
        size = self._size(position)
        return Scene(position, annotated, found, disagreeing_pixels(list(found.values()), size))

    def _size(self, position: int) -> tuple[int, int]:
        size = self.dataset.image_size(position)
        return self.dataset.image(position).shape[:2] if 0 in size else size


@dataclass(frozen=True)
class ResultFiles:
    """The frameworks' files of results of one model. kind: of the annotations that the model is for."""

    kind: DataKind
    paths: dict[str, Path]

    @property
    def panoptic(self) -> bool:
        return self.kind == "panoptic"


def find_results(folder: Path) -> ResultFiles | None:
    """The files that `evaluate --output FOLDER/FRAMEWORK` has written; None where there are none."""
    have = {
        name: {framework: path for framework in FRAMEWORKS if (path := folder / framework / file).is_file()}
        for name, file in _FILES.items()
    }
    if have["panoptic"]:
        return ResultFiles("panoptic", have["panoptic"])
    # Without boxes are the results of a model that is told where persons are.
    return ResultFiles("instances" if have["box"] else "person_keypoints", have["mask"]) if have["mask"] else None


def open_predictions(files: ResultFiles, data: Path) -> Predictions:
    """The results with the data set whose validation part they are of; data: its folder."""
    dataset = resolve(data, "val", files.kind)
    known, entries = set(dataset.image_ids.tolist()), {}
    for framework, path in files.paths.items():
        entries[framework] = _by_image((PANOPTIC if files.panoptic else INSTANCES).read_entries(path), path)
        strange = entries[framework].keys() - known
        if strange:
            raise UserError(f"{path}: image {min(strange)} is not in {dataset.annotations}: name its data set, --data")
    return Predictions(dataset, entries, files.panoptic)


def disagreeing_pixels(found: Sequence[Sequence[Found]], size: tuple[int, int]) -> np.ndarray:
    """The pixels (H, W) bool to which not all frameworks give the same class.

    A pixel's class is that of the best object that covers it and scores `AGREED_SCORE` at least.
    """
    maps = [_class_map(each, size) for each in found]
    return np.any([each != maps[0] for each in maps[1:]], axis=0) if maps[1:] else np.zeros(size, bool)


def _class_map(found: Sequence[Found], size: tuple[int, int]) -> np.ndarray:
    """Each pixel's class (H, W), -1 for none."""
    classes = np.full(size, -1)
    for each in reversed(found):
        if each.score >= AGREED_SCORE:
            classes[rle_tools.decode(each.mask).astype(bool)] = each.label
    return classes


def _by_image(entries: Sequence[Entry], path: Path) -> dict[int, list[Entry]]:
    grouped: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if not isinstance(entry, dict) or not any(needed <= entry.keys() for needed in _NEEDED):
            raise UserError(f"{path}: not a file of results with masks")
        grouped[entry["image_id"]].append(entry)
    return dict(grouped)


def _read_instances(entries: Sequence[Entry], labels: dict[int, int]) -> list[Found]:
    found = [
        Found(labels[entry["category_id"]], entry["score"], entry["segmentation"])
        for entry in entries
        if entry["score"] >= LEAST_SCORE and rle_tools.area(entry["segmentation"])
    ]
    return sorted(found, key=lambda each: -each.score)


def _read_segments(entries: Sequence[Entry], labels: dict[int, int]) -> list[Found]:
    found = []
    for entry in entries:
        segment_map = decode_map(entry)
        for segment in entry["segments_info"]:
            mask = rle_tools.encode(np.asfortranarray(segment_map == segment["id"], np.uint8))
            # Published panoptic results have no scores.
            found.append(Found(labels[segment["category_id"]], segment.get("score", 1.0), mask))
    return sorted(found, key=lambda each: -each.score)
