"""COCO's average precision of boxes and masks, as pycocotools rates it.

faster-coco-eval computes the same figures in less time; `judge=True` asks pycocotools itself.
"""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import faster_coco_eval
import numpy as np
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.errors import UserError
from common.files import existing_file
from common.results import Instances

Kind = Literal["box", "mask"]

_COCO_KIND = {"box": "bbox", "mask": "segm"}
# What the twelve numbers of COCOeval.stats are, in its order: IoU, area, detections an image.
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


def full_name(kind: Kind, figure: str) -> str:
    """What a figure is: "AP" of masks is `mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections)`."""
    iou, area, count = _STATISTICS[figure]
    return f"{kind} {figure[:2]} (COCO {_COCO_KIND[kind]}, IoU {iou}, area {area}, {count} detections)"


def lines(figures: dict[str, float], kind: Kind) -> list[str]:
    """A line a figure, with its full name."""
    return [
        f"{full_name(kind, figure)} {'no objects of this kind' if np.isnan(value) else f'{value:.1f}'}"
        for figure, value in figures.items()
    ]


def coco_results(image_id: int, instances: Instances, category_ids: Sequence[int], kind: Kind) -> list[dict[str, Any]]:
    """An image's instances as entries of a COCO results file; label c becomes `category_ids[c]`.

    Boxes and masks are two files: where both stand in one entry, pycocotools takes the box's area for the mask's.
    """
    categories = [int(category_ids[label]) for label in instances.labels]
    scores = instances.scores if kind == "box" or instances.mask_scores is None else instances.mask_scores
    if kind == "box":
        x1, y1, x2, y2 = np.asarray(instances.boxes, np.float64).reshape(-1, 4).T
        shapes = [{"bbox": box} for box in np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).tolist()]
    else:
        shapes = [{"segmentation": rle} for rle in encode(instances.masks)]
    return [
        {"image_id": int(image_id), "category_id": category, **shape, "score": float(score)}
        for category, shape, score in zip(categories, shapes, scores, strict=True)
    ]


def encode(masks: np.ndarray) -> list[dict[str, Any]]:
    """(N, H, W) bool -> COCO's compressed RLE, each with its counts as text."""
    encoded = rle_tools.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))
    return [{"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")} for rle in encoded]


class CocoAP:
    """Rates results against one annotation file, on these of its images or on all."""

    def __init__(self, annotations: str | Path, judge: bool = False, image_ids: np.ndarray | None = None):
        self._origin = str(annotations)
        self._image_ids = None if image_ids is None else sorted(image_ids.tolist())
        self._coco, self._evaluation = (
            (COCO, COCOeval) if judge else (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster)
        )
        self._truth = self._indexed(_complete(_read(Path(annotations)), self._origin))

    def rate(self, results: list[dict[str, Any]], kind: Kind) -> dict[str, float]:
        """The twelve figures in percent, "AP" first; NaN where the file has no object that would count."""
        unknown = {result["image_id"] for result in results} - set(self._truth.imgs)
        if unknown:
            raise UserError(f"{self._origin}: no image {min(unknown)}, for which there are results")
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = self._evaluation(self._truth, self._found(results), _COCO_KIND[kind])
            if self._image_ids is not None:
                evaluation.params.imgIds = self._image_ids
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # -1 stands for "nothing to find" in both libraries.
        percent = [float("nan") if value < 0 else 100.0 * float(value) for value in evaluation.stats[:12]]
        return dict(zip(_STATISTICS, percent, strict=True))

    def _found(self, results: list[dict[str, Any]]) -> Any:
        if results:
            return self._truth.loadRes([dict(result) for result in results])
        return self._indexed(self._truth.dataset | {"annotations": []})

    def _indexed(self, dataset: dict[str, Any]) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            coco = self._coco()
            coco.dataset = dataset
            coco.createIndex()
        return coco


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(existing_file(path, "annotations").read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UserError(f"{path}: not a COCO annotation file: it lists no images")
    if not content.get("annotations"):
        raise UserError(f"{path}: there are no annotations to evaluate against")
    return content


def _complete(content: dict[str, Any], origin: str) -> dict[str, Any]:
    """Gives each object what the COCO tools take for granted; a missing or empty outline is an empty mask."""
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in content["images"]}
    annotations = []
    for annotation in content["annotations"]:
        if annotation.get("image_id") not in sizes:
            raise UserError(f"{origin}: annotation {annotation.get('id')} is of an image that is not listed")
        height, width = sizes[annotation["image_id"]]
        filled = {"iscrowd": 0, "bbox": [0, 0, 0, 0]} | annotation
        outline = filled.get("segmentation")
        if isinstance(outline, list):  # a polygon needs three points
            outline = [polygon for polygon in outline if len(polygon) >= 6]
        filled["segmentation"] = outline or encode(np.zeros((1, height, width), bool))[0]
        filled.setdefault("area", filled["bbox"][2] * filled["bbox"][3])
        annotations.append(filled)
    return content | {"annotations": annotations}
