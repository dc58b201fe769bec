"""Instances as a kind of result: boxes, scores, labels and masks, rated by COCO's average precision."""

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from pycocotools import mask as rle_tools

from common.data.coco import CocoDataset, has_area
from common.errors import UserError
from common.evaluation import coco
from common.evaluation.coco import CocoAP, Shape
from common.files import atomic_path, read_json, write_json
from common.images import write_image
from common.results.detections import compare_detections
from common.results.drawing import ALL_PARTS, Parts, draw_instances, require_supervision
from common.results.kind import Breakdowns, Comparison, Entry, Figures, Form, Prediction, Rating, Results

_COMPARED_FIGURES = {"box": "COCO figures of boxes", "mask": "COCO figures of masks"}
# Points of percent that figures may differ by where rounding moved a few detections.
_FIGURE_STEP = 0.1


@dataclass
class Instances:
    """The instances found in one image, in the image's own pixels, best score first.

    boxes: (N, 4) float32 xyxy, whose width is x2 - x1 whatever the model's own convention; scores: (N,) float32;
    labels: (N,) int64, positions in the list of class names; masks: (N, H, W) bool; image_size: (H, W).
    `mask_scores` (N,) is set where a model rates its masks apart. `probabilities` (N, h, w) float32 are what the masks
    were cut out of, as the network gives them: each lies in its row of `probability_boxes` (N, 4), which are as the
    model's own convention has them, or in the whole image where there are no such boxes. `points` (N, P, 3) float32 are
    those at which the masks were computed anew, where a model does that: x and y, and the number of the step, from 1.
    """

    image_size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    mask_scores: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    probability_boxes: np.ndarray | None = None
    points: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, keep: np.ndarray | slice) -> "Instances":
        """The instances that a mask, a list of positions or a slice chooses."""
        boxes, scores, labels = self.boxes[keep], self.scores[keep], self.labels[keep]
        optional = (self.mask_scores, self.probabilities, self.probability_boxes, self.points)
        others = (None if values is None else values[keep] for values in optional)
        return Instances(self.image_size, boxes, scores, labels, self.masks[keep], *others)

    def ranked(self, score_threshold: float, top_k: int) -> "Instances":
        """The `top_k` best with a score of at least `score_threshold`, as they are shown and saved.

        Where the masks are rated apart, their scores count and become the scores: the instances are sorted by them,
        the first wins among equals, and those below the threshold go.
        """
        if self.mask_scores is None:
            return self[:top_k]
        order = np.argsort(-self.mask_scores, kind="stable")[:top_k]
        best = self[order[self.mask_scores[order] >= score_threshold]]
        return replace(best, scores=best.mask_scores, mask_scores=None)


@dataclass(frozen=True)
class InstanceKind:
    """The kind of result `Instances`; the methods are those of `ResultKind`.

    rated: "mask" alone of a model that is told where the objects are and finds no boxes. needs_area: instances whose
    box has no width or no height are left out of evaluation.
    """

    rated: tuple[Shape, ...] = ("box", "mask")
    needs_area: bool = False

    name: ClassVar[str] = "instances"

    @property
    def forms(self) -> Mapping[str, Form]:
        """A picture, a folder of masks, an archive of arrays, and a file of COCO results."""
        return {
            "overlay": Form(".png", self._save_overlay),
            "masks": Form("_masks", _save_masks),
            "npz": Form(".npz", _save_arrays),
            "json": Form(".json", self._save_entries),
        }

    def require_drawing(self) -> None:
        """Raises a `MissingPackage` where supervision is not installed."""
        require_supervision()

    def draw(
        self, image: np.ndarray, result: Instances, class_names: Sequence[str], parts: Parts = ALL_PARTS
    ) -> np.ndarray:
        """A copy of the image (H, W, 3) uint8 RGB with the parts of the instances drawn onto it."""
        return draw_instances(image, result, class_names, parts)

    def read_arrays(self, path: Path) -> tuple[Instances, list[str]]:
        """The instances and the names of the classes from an archive that the form "npz" made."""
        try:
            with np.load(path) as archive:
                arrays = dict(archive)
            names = arrays.pop("class_names").tolist()
            return Instances(image_size=arrays["masks"].shape[1:], **arrays), names
        except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error):
            raise UserError(f"{path}: not an archive (npz) of {self.name} as they are saved") from None

    def named_entries(self, prediction: Prediction) -> list[Entry]:
        """COCO results with the boxes and the masks of an image outside any data set.

        The image's id is the number that is its file's name where the name is one, as COCO's are, else the image's
        position in the input.
        """
        stem = Path(prediction.name).stem
        image_id = int(stem) if stem.isdecimal() else prediction.number
        found, (class_names, category_ids) = prediction.result, prediction.classes
        boxes, masks = (coco_entries(image_id, found, category_ids, shape) for shape in ("box", "mask"))
        return [
            box | mask | {"file_name": prediction.name, "category": class_names[label]}
            for box, mask, label in zip(boxes, masks, found.labels, strict=True)
        ]

    def entries(
        self, image_id: int, result: Instances, category_ids: Sequence[int], top_k: int | None = None
    ) -> Results:
        """COCO results of an image of a data set: for each of `rated`, those of the `top_k` best that can be rated."""
        best = result[:top_k]
        keep = np.asarray(category_ids)[best.labels] >= 0
        if self.needs_area:
            keep &= has_area(best.boxes)
        return {shape: coco_entries(image_id, best[keep], category_ids, shape) for shape in self.rated}

    def write_entries(self, path: Path, entries: list[Entry]) -> None:
        """Writes a COCO results file."""
        write_json(path, entries)

    def read_entries(self, path: Path) -> list[Entry]:
        """The entries of a COCO results file."""
        entries = read_json(path)
        if not isinstance(entries, list):
            raise UserError(f"{path}: not a list of COCO results")
        return entries

    def rating(
        self,
        dataset: CocoDataset,
        by_reference: bool = False,
        boundaries: bool = False,
        limits: coco.Limits | None = None,
    ) -> Rating:
        """Rates by COCO's twelve figures of each of `rated`, and on request of masks' boundaries."""
        truth = CocoAP(dataset, by_pycocotools=by_reference, limits=limits or coco.LIMITS)

        def by_shape(results: Results) -> Results:
            return results | ({"boundary": results["mask"]} if boundaries else {})

        def rate(results: Results) -> Figures:
            return {shape: truth.rate(found, shape) for shape, found in by_shape(results).items()}

        def analyse(results: Results, figures: Figures) -> Breakdowns:
            return {shape: truth.analyse(found, shape) for shape, found in by_shape(results).items()}

        return Rating(rate, analyse=analyse)

    def lines(self, figures: Figures) -> list[str]:
        """A line for each figure, with the figure's full name."""
        return [line for shape, values in figures.items() for line in coco.lines(values, shape)]

    def summary(self, figures: Figures) -> list[str]:
        """The figures as pycocotools prints them."""
        return [line for shape, values in figures.items() for line in coco.summary(values, shape)]

    def main_figures(self, figures: Figures) -> dict[str, float]:
        """AP and AP50 of masks, then of boxes where they are rated; mask AP chooses."""
        return {
            coco.full_name(shape, name): figures[shape][name]
            for shape in reversed(self.rated)
            for name in ("AP", "AP50")
        }

    def compare(self, reference: Results, other: Results, dataset: CocoDataset) -> list[Comparison]:
        """Detections that have a partner in the other's results, and COCO's figures of both."""
        compared = compare_detections(reference, other)
        rate = self.rating(dataset)
        rated = rate(reference), rate(other)
        for shape in self.rated:
            figures = (np.nan_to_num(list(each[shape].values())) for each in rated)
            compared.append(Comparison(_COMPARED_FIGURES[shape], *figures, step=_FIGURE_STEP))
        return compared

    def _save_overlay(self, path: Path, prediction: Prediction) -> None:
        """Writes the image with the instances drawn onto it."""
        names, parts = prediction.classes.names, prediction.parts
        write_image(path, self.draw(prediction.image, prediction.result, names, parts)[:, :, ::-1])

    def _save_entries(self, path: Path, prediction: Prediction) -> None:
        self.write_entries(path, self.named_entries(prediction))


INSTANCES = InstanceKind()


def coco_entries(image_id: int, instances: Instances, category_ids: Sequence[int], shape: Shape) -> list[Entry]:
    """An image's instances as entries of a COCO results file; label c becomes `category_ids[c]`.

    Boxes and masks are two files: where both stand in one entry, pycocotools takes the box's area for the mask's.
    """
    categories = [int(category_ids[label]) for label in instances.labels]
    scores = instances.scores if shape == "box" or instances.mask_scores is None else instances.mask_scores
    if shape == "box":
        x1, y1, x2, y2 = np.asarray(instances.boxes, np.float64).reshape(-1, 4).T
        shapes = [{"bbox": box} for box in np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).tolist()]
    else:
        shapes = [{"segmentation": rle} for rle in encode_masks(instances.masks)]
    return [
        {"image_id": int(image_id), "category_id": category, **shape, "score": float(score)}
        for category, shape, score in zip(categories, shapes, scores, strict=True)
    ]


def encode_masks(masks: np.ndarray) -> list[Entry]:
    """Masks (N, H, W) bool -> COCO's compressed RLE, each with its counts as text."""
    encoded = rle_tools.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))
    return [{"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")} for rle in encoded]


def _save_masks(folder: Path, prediction: Prediction) -> None:
    """Writes a black and white PNG an instance, named by rank, class and score: `000_person_0.97.png`."""
    found = prediction.result
    for rank, (label, score, mask) in enumerate(zip(found.labels, found.scores, found.masks, strict=True)):
        name = re.sub(r"[^\w.-]+", "-", prediction.classes.names[label])
        write_image(folder / f"{rank:03d}_{name}_{score:.2f}.png", mask.astype(np.uint8) * 255)


def _save_arrays(path: Path, prediction: Prediction) -> None:
    """Writes boxes (xyxy, width x2 - x1), scores, labels, masks (and mask_scores), and the labels' class names."""
    found = prediction.result
    arrays = {
        "boxes": found.boxes,
        "scores": found.scores,
        "labels": found.labels,
        "masks": found.masks,
        "class_names": np.array(prediction.classes.names),
    }
    if found.mask_scores is not None:
        arrays["mask_scores"] = found.mask_scores
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
