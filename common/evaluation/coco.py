"""COCO's average precision of boxes and masks, as pycocotools rates it.

hotcoco computes the same figures, bit for bit, in less time; boundaries it has not.
"""

import contextlib
import io
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.data.coco import CocoDataset
from common.errors import UserError
from common.evaluation.boundary import BoundaryEval
from common.evaluation.breakdown import Breakdown, Confusion
from common.evaluation.confusion import IOU, SCORE, count_confusions
from common.evaluation.errors import count_errors
from common.evaluation.overlaps import FIELDS, find_overlaps
from common.packages import import_package

# boundary: masks again, of whose edges a strip has to overlap, too (Cheng et al., 2021).
Shape = Literal["box", "mask", "boundary"]

_COCO_NAMES = {"box": "bbox", "mask": "segm", "boundary": "boundary"}
# How many detections of an image and a class count, at most: recall is rated with each of these, and all else but AP
# with the last one.
Limits = tuple[int, int, int]
LIMITS: Limits = (1, 10, 100)
# With so many AP is rated, whatever the limits are.
_AP_LIMIT = 100
# As pycocotools orders them.
_AREAS = ("all", "small", "medium", "large")
_IOUS = tuple(f"{percent / 100:.2f}" for percent in range(50, 100, 5))
_EVERY_IOU = "0.50:0.95"
# What an object is taken for that no detection has found, and what is found where no object is.
NOTHING = "nothing"


def check_limits(limits: Limits) -> None:
    """Raises a `ValueError` where pycocotools could not rate by these limits."""
    if not 0 < limits[0] < limits[1] < limits[2]:
        raise ValueError("they have to ascend from 1 or more")
    if _AP_LIMIT not in limits:
        raise ValueError(f"{_AP_LIMIT} has to be among them, with which AP is rated")


def _statistics(limits: Limits) -> dict[str, tuple[str, str, int]]:
    """The twelve numbers of COCOeval.stats, in its order: IoU, area, detections an image."""
    last = limits[-1]
    return {
        "AP": (_EVERY_IOU, "all", _AP_LIMIT),
        "AP50": ("0.50", "all", last),
        "AP75": ("0.75", "all", last),
        "APs": (_EVERY_IOU, "small", last),
        "APm": (_EVERY_IOU, "medium", last),
        "APl": (_EVERY_IOU, "large", last),
        **{f"AR{limit}": (_EVERY_IOU, "all", limit) for limit in limits},
        "ARs": (_EVERY_IOU, "small", last),
        "ARm": (_EVERY_IOU, "medium", last),
        "ARl": (_EVERY_IOU, "large", last),
    }


def full_name(shape: Shape, figure: str, limits: Limits = LIMITS) -> str:
    """A figure in full: "AP" of masks is `mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections)`."""
    iou, area, count = _statistics(limits)[figure]
    return f"{shape} {figure[:2]} (COCO {_COCO_NAMES[shape]}, IoU {iou}, area {area}, {count} detections)"


def lines(figures: dict[str, float], shape: Shape) -> list[str]:
    """A line for each figure, with its full name."""
    limits = _limits_of(figures)
    return [
        f"{full_name(shape, figure, limits)} {'no objects of this kind' if np.isnan(value) else f'{value:.1f}'}"
        for figure, value in figures.items()
    ]


def summary(figures: dict[str, float], shape: Shape) -> list[str]:
    """The figures in the very words in which pycocotools prints them, with -1 where there is nothing to find."""
    words = {"AP": "Average Precision  (AP)", "AR": "Average Recall     (AR)"}
    statistics = _statistics(_limits_of(figures))
    found = [f"{_COCO_NAMES[shape]}:"]
    for figure, value in figures.items():
        iou, area, count = statistics[figure]
        share = -1.0 if np.isnan(value) else value / 100
        found.append(f" {words[figure[:2]]} @[ IoU={iou:<9} | area={area:>6s} | maxDets={count:>3d} ] = {share:0.3f}")
    return found


def _limits_of(figures: dict[str, float]) -> Limits:
    """The limits that figures were rated by, which the names of the recalls tell."""
    return tuple(int(name[2:]) for name in figures if name.startswith("AR") and name[2:].isdecimal())


class CocoAP:
    """Rates the entries of COCO results files against a data set's annotations.

    The annotations are those that training reads: records that are left out there are left out here, too.
    by_pycocotools: pycocotools computes the figures, else hotcoco, as far as it has them. limits: of the detections,
    pycocotools' `maxDets`. truth: the annotations of each image as `CocoDataset.truth` has them, which it is asked for
    where they are not at hand.
    """

    def __init__(
        self,
        dataset: CocoDataset,
        by_pycocotools: bool = False,
        limits: Limits = LIMITS,
        truth: Iterable[list[dict]] | None = None,
    ):
        require_annotations(dataset)
        self._origin, self._limits = str(dataset.annotations), limits
        self._hotcoco = None if by_pycocotools else import_package("hotcoco", "hotcoco", "rating results")
        # The tools are given ranks instead of ids: one takes no ids below 0, the other matches no id 0.
        self._images = {int(image_id): rank for rank, image_id in enumerate(np.sort(dataset.image_ids), start=1)}
        self._categories = {category: rank for rank, category in enumerate(dataset.category_ids, start=1)}
        records = map(dataset.truth, range(len(dataset.image_ids))) if truth is None else truth
        self._truth = _truth(dataset, records, self._images)

    def rate(self, results: list[dict[str, Any]], shape: Shape) -> dict[str, float]:
        """The twelve figures in percent, "AP" first; NaN where the data set has no object that would count.

        For a boundary the IoU is the smaller one of the masks' and of the strips' inside their edges, which are as wide
        as a fiftieth of the image's diagonal.
        """
        precision, recall = self._evaluate(self._known(results), shape)
        figures = {}
        for name, (iou, area, count) in _statistics(self._limits).items():
            values = precision if name.startswith("AP") else recall
            values = values[..., _AREAS.index(area), self._limits.index(count)]
            figures[name] = _mean(values if iou == _EVERY_IOU else values[_IOUS.index(iou)])
        return figures

    def analyse(self, results: list[dict[str, Any]], shape: Shape) -> Breakdown:
        """What stands behind the figures; of boundaries the figures of classes and the curves alone."""
        known = self._known(results)
        precision, recall = self._evaluate(known, shape)
        precision, recall = precision[..., _AREAS.index("all"), :], recall[..., _AREAS.index("all"), -1]
        curves = _curves(precision[..., self._limits.index(_AP_LIMIT)])
        own = Breakdown(self._meanings(), self._rate_classes(precision, recall, known), curves=curves)
        if shape not in FIELDS:
            return own
        names = [category["name"] for category in self._truth["categories"]]
        overlaps = list(find_overlaps(self._truth, known, shape, self._limits[-1]))
        ap50, errors = count_errors(overlaps, len(names))
        counts = count_confusions(overlaps, len(names)).tolist()
        return replace(own, ap50=ap50, errors=errors, confusion=Confusion([*names, NOTHING], counts, IOU, SCORE))

    def _evaluate(self, known: list[dict[str, Any]], shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """The precision (IoU, recall, class, area, limit) and the recall (IoU, class, area, limit), -1 for neither."""
        coco, evaluate = (_open, COCOeval) if self._hotcoco is None else (self._hotcoco.COCO, self._hotcoco.COCOeval)
        kind = _COCO_NAMES[shape]
        if shape == "boundary":
            coco, evaluate, kind = _open, BoundaryEval, _COCO_NAMES["mask"]
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # hotcoco warns of limits that are not COCO's own.
            warnings.simplefilter("ignore", UserWarning)
            truth = coco(self._truth)
            found = truth.loadRes(known) if known else coco(self._truth | {"annotations": []})
            evaluation = evaluate(truth, found, kind)
            evaluation.params.maxDets = list(self._limits)
            evaluation.evaluate()
            evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])

    def _known(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of the data set's categories, with the ids that the tools know; refuses those of other images."""
        unknown = {result["image_id"] for result in results} - self._images.keys()
        if unknown:
            raise UserError(f"{self._origin}: no image {min(unknown)}, for which there are results")
        return [
            result | {"image_id": self._images[result["image_id"]], "category_id": self._categories[category]}
            for result in results
            if (category := result["category_id"]) in self._categories
        ]

    def _meanings(self) -> dict[str, str]:
        last = self._limits[-1]
        return {
            "objects": "number of objects that are rated",
            "found": "number of detections",
            "AP": f"average precision, IoU {_EVERY_IOU}, {_AP_LIMIT} detections",
            "AP50": f"average precision, IoU 0.50, {last} detections",
            "AP75": f"average precision, IoU 0.75, {last} detections",
            f"AR{last}": f"average recall, IoU {_EVERY_IOU}, {last} detections",
        }

    def _rate_classes(
        self, precision: np.ndarray, recall: np.ndarray, known: list[dict[str, Any]]
    ) -> dict[str, dict[str, float]]:
        """The figures of each class by name: of its precision (IoU, recall, class, limit) and recall (IoU, class)."""
        numbers = [
            np.bincount(np.array([each["category_id"] - 1 for each in records], int), minlength=len(self._categories))
            for records in ([each for each in self._truth["annotations"] if not each["iscrowd"]], known)
        ]
        figures = {}
        for row, category in enumerate(self._truth["categories"]):
            own = precision[..., row, self._limits.index(_AP_LIMIT)]
            at_50, at_75 = (precision[_IOUS.index(iou), :, row, -1] for iou in ("0.50", "0.75"))
            values = (*(int(each[row]) for each in numbers), *map(_mean, (own, at_50, at_75, recall[:, row])))
            figures[category["name"]] = dict(zip(self._meanings(), values, strict=True))
        return figures


def _open(dataset: dict[str, Any]) -> COCO:
    """A data set as pycocotools opens it, from the content of its file."""
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _mean(values: np.ndarray) -> float:
    """The mean in percent of what is not -1, which stands for "nothing to find"; NaN where nothing else is."""
    rated = values[values > -1]
    return 100.0 * float(rated.mean()) if rated.size else float("nan")


def _curves(precision: np.ndarray) -> dict[str, list[float]]:
    """The mean precision of the classes with objects in percent, by IoU: (IoU, recall, class) -> 101 values each."""
    rated = precision[..., (precision > -1).all(axis=(0, 1))]
    if not rated.shape[-1]:
        return {}
    return dict(zip(_IOUS, (100 * rated.mean(axis=2)).round(4).tolist(), strict=True))


def describe(dataset: CocoDataset) -> str:
    """The path of a data set's annotation file, and the records in it that were left out."""
    left_out = f" ({'; '.join(map(str, dataset.faults))})" if dataset.faults else ""
    return f"{dataset.annotations}{left_out}"


def require_annotations(dataset: CocoDataset) -> None:
    """Refuses a data set without any annotation to rate results against."""
    if dataset.annotation_count == 0:
        raise UserError(f"{describe(dataset)}: there are no annotations to evaluate against")


def _truth(dataset: CocoDataset, truth: Iterable[list[dict]], ranks: dict[int, int]) -> dict[str, Any]:
    """The whole annotation file as the COCO tools take it, with ranks from 1 for the ids of images and categories.

    truth: the annotations of each image, as `CocoDataset.truth` has them.
    """
    images, annotations = [], []
    for position, (image_id, objects) in enumerate(zip(dataset.image_ids.tolist(), truth, strict=True)):
        height, width = objects[0]["segmentation"]["size"] if objects else dataset.image_size(position)
        images.append({"id": ranks[image_id], "height": height, "width": width})
        for found in objects:
            mask, category = found["segmentation"], found.pop("label") + 1
            text = {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
            ids = {"id": len(annotations) + 1, "image_id": ranks[image_id], "category_id": category}
            annotations.append(found | ids | {"segmentation": text})
    categories = [{"id": rank, "name": name} for rank, name in enumerate(dataset.class_names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
