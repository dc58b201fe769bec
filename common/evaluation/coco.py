"""COCO's average precision of boxes and masks, as pycocotools rates it.

faster-coco-eval computes the same figures in less time.
"""

import contextlib
import io
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
# The twelve numbers of COCOeval.stats, in its order: IoU, area, detections an image.
_STATISTICS = {
    "AP": ("0.50:0.95", "all", 100),
    "AP50": ("0.50", "all", 100),
    "AP75": ("0.75", "all", 100),
    "APs": ("0.50:0.95", "small", 100),
    "APm": ("0.50:0.95", "medium", 100),
    "APl": ("0.50:0.95", "large", 100),
    "AR1": ("0.50:0.95", "all", 1),
    "AR10": ("0.50:0.95", "all", 10),
    "AR100": ("0.50:0.95", "all", 100),
    "ARs": ("0.50:0.95", "small", 100),
    "ARm": ("0.50:0.95", "medium", 100),
    "ARl": ("0.50:0.95", "large", 100),
}


def full_name(shape: Shape, figure: str) -> str:
    """A figure in full: "AP" of masks is `mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections)`."""
    iou, area, count = _STATISTICS[figure]
    return f"{shape} {figure[:2]} (COCO {_COCO_NAMES[shape]}, IoU {iou}, area {area}, {count} detections)"


def lines(figures: dict[str, float], shape: Shape) -> list[str]:
    """A line for each figure, with its full name."""
    return [
        f"{full_name(shape, figure)} {'no objects of this kind' if np.isnan(value) else f'{value:.1f}'}"
        for figure, value in figures.items()
    ]


def summary(figures: dict[str, float], shape: Shape) -> list[str]:
    """The figures in the very words in which pycocotools prints them, with -1 where there is nothing to find."""
    words = {"AP": "Average Precision  (AP)", "AR": "Average Recall     (AR)"}
    found = [f"{_COCO_NAMES[shape]}:"]
    for figure, value in figures.items():
        iou, area, count = _STATISTICS[figure]
        share = -1.0 if np.isnan(value) else value / 100
        found.append(f" {words[figure[:2]]} @[ IoU={iou:<9} | area={area:>6s} | maxDets={count:>3d} ] = {share:0.3f}")
    return found


class CocoAP:
    """Rates the entries of COCO results files against a data set's annotations.

    The annotations are those that training reads: records that are left out there are left out here, too.
    by_pycocotools: pycocotools computes the figures, else faster-coco-eval, which alone has boundaries.
    """

    def __init__(self, dataset: CocoDataset, by_pycocotools: bool = False):
        self._origin = str(dataset.annotations)
        self._coco, self._evaluation = COCO, COCOeval
        if not by_pycocotools:
            faster = import_package("faster_coco_eval", "faster-coco-eval", "rating results")
            self._coco, self._evaluation = faster.COCO, faster.COCOeval_faster
        # The tools are given ranks instead of ids: the fast one takes small ids alone, the other matches no id 0.
        self._images = {int(image_id): rank for rank, image_id in enumerate(np.sort(dataset.image_ids), start=1)}
        self._categories = {category: rank for rank, category in enumerate(dataset.category_ids, start=1)}
        self._truth = self._indexed(_truth(dataset, self._images))

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
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # -1 stands for "nothing to find" in both libraries.
        percent = [float("nan") if value < 0 else 100.0 * float(value) for value in evaluation.stats[:12]]
        return dict(zip(_STATISTICS, percent, strict=True))

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


def _truth(dataset: CocoDataset, ranks: dict[int, int]) -> dict[str, Any]:
    """The whole annotation file as the COCO tools take it, with ranks from 1 for the ids of images and categories."""
    if dataset.annotation_count == 0:
        raise UserError(f"{describe(dataset)}: there are no annotations to evaluate against")
    images, annotations = [], []
    for position, image_id in enumerate(dataset.image_ids.tolist()):
        objects = dataset.truth(position)
        height, width = objects[0]["segmentation"]["size"] if objects else dataset.image_size(position)
        images.append({"id": ranks[image_id], "height": height, "width": width})
        for found in objects:
            mask, category = found["segmentation"], found.pop("label") + 1
            text = {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
            ids = {"id": len(annotations) + 1, "image_id": ranks[image_id], "category_id": category}
            annotations.append(found | ids | {"segmentation": text})
    categories = [{"id": rank, "name": name} for rank, name in enumerate(dataset.class_names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
