"""COCO's average precision of boxes and masks, as pycocotools rates it.

faster-coco-eval computes the same figures in less time.
"""

import contextlib
import io
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.data.coco import CocoDataset
from common.errors import UserError
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
        "AP": ("0.50:0.95", "all", _AP_LIMIT),
        "AP50": ("0.50", "all", last),
        "AP75": ("0.75", "all", last),
        "APs": ("0.50:0.95", "small", last),
        "APm": ("0.50:0.95", "medium", last),
        "APl": ("0.50:0.95", "large", last),
        **{f"AR{limit}": ("0.50:0.95", "all", limit) for limit in limits},
        "ARs": ("0.50:0.95", "small", last),
        "ARm": ("0.50:0.95", "medium", last),
        "ARl": ("0.50:0.95", "large", last),
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
    by_pycocotools: pycocotools computes the figures, else faster-coco-eval, which alone has boundaries. limits: of the
    detections, pycocotools' `maxDets`. truth: the annotations of each image as `CocoDataset.truth` has them, which it
    is asked for where they are not at hand.
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
        self._coco, self._evaluation = COCO, COCOeval
        if not by_pycocotools:
            faster = import_package("faster_coco_eval", "faster-coco-eval", "rating results")
            self._coco, self._evaluation = faster.COCO, faster.COCOeval_faster
        # The tools are given ranks instead of ids: the fast one takes small ids alone, the other matches no id 0.
        self._images = {int(image_id): rank for rank, image_id in enumerate(np.sort(dataset.image_ids), start=1)}
        self._categories = {category: rank for rank, category in enumerate(dataset.category_ids, start=1)}
        records = map(dataset.truth, range(len(dataset.image_ids))) if truth is None else truth
        self._truth = self._indexed(_truth(dataset, records, self._images))

    def rate(self, results: list[dict[str, Any]], shape: Shape) -> dict[str, float]:
        """The twelve figures in percent, "AP" first; NaN where the data set has no object that would count.

        For a boundary the IoU is the smaller one of the masks' and of the strips' inside their edges, which are as wide
        as a fiftieth of the image's diagonal.
        """
        unknown = {result["image_id"] for result in results} - self._images.keys()
        if unknown:
            raise UserError(f"{self._origin}: no image {min(unknown)}, for which there are results")
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._evaluation(self._truth, self._found(results), _COCO_NAMES[shape])
            evaluation.params.maxDets = list(self._limits)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # -1 stands for "nothing to find" in both libraries, of which the fast one rates AP with the last limit.
        precision = evaluation.eval["precision"][:, :, :, 0, self._limits.index(_AP_LIMIT)]
        rated = precision[precision > -1]
        numbers = [rated.mean() if rated.size else -1.0, *evaluation.stats[1:12]]
        percent = [float("nan") if value < 0 else 100.0 * float(value) for value in numbers]
        return dict(zip(_statistics(self._limits), percent, strict=True))

    def _found(self, results: list[dict[str, Any]]) -> Any:
        """The results of the data set's categories, as the tools take them."""
        known = [
            result | {"image_id": self._images[result["image_id"]], "category_id": self._categories[category]}
            for result in results
            if (category := result["category_id"]) in self._categories
        ]
        if known:
            return self._truth.loadRes(known)
        return self._indexed(self._truth.dataset | {"annotations": []})

    def _indexed(self, dataset: dict[str, Any]) -> Any:
        """A data set as the tools open it, from the content of its file."""
        with contextlib.redirect_stdout(io.StringIO()):
            coco = self._coco()
            coco.dataset = dataset
            coco.createIndex()
        return coco


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
