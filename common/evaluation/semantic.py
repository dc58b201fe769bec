"""How well the class of every pixel is found, as detectron2 rates semantic segmentation."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from common.evaluation.breakdown import Breakdown, from_figures
from common.evaluation.panoptic_quality import rank_ids

_NAMES = {
    "mIoU": "mean IoU of the classes",
    "fwIoU": "IoU of the classes, weighted by their pixels",
    "mACC": "mean share of a class's pixels that are found",
    "pACC": "share of the pixels that are found",
}
_CLASS_NAMES = {"IoU": "IoU of its pixels", "ACC": "share of its pixels that is found"}


class SemanticAccuracy:
    """Counts the pixels of K classes by what they are and what they are taken for, over the images that are added."""

    def __init__(self, classes: int):
        # Rows are what is predicted, columns what is annotated; the last of each is no class.
        self.counts = np.zeros((classes + 1, classes + 1), np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Adds an image: two maps (H, W) of labels, in which K is no class: unlabelled ground is not rated."""
        pairs = prediction.reshape(-1).astype(np.int64) * len(self.counts) + truth.reshape(-1)
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)

    def figures(self, class_names: Sequence[str]) -> dict[str, float]:
        """The four figures in percent, and the IoU and the share that is found of each class; NaN without any pixel.

        IoU = found / (annotated + predicted - found), in pixels with an annotation. The means are over the classes that
        are annotated anywhere.
        """
        found = self.counts.diagonal()[:-1].astype(float)
        annotated = self.counts[:, :-1].sum(axis=0).astype(float)
        predicted = self.counts[:-1, :-1].sum(axis=1).astype(float)
        occurs = annotated > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = np.where(occurs, found / (annotated + predicted - found), np.nan)
            accuracy = np.where(occurs, found / annotated, np.nan)
            total = annotated.sum()
            whole = {
                "mIoU": iou[occurs].mean() if total else np.nan,
                "fwIoU": (iou * annotated)[occurs].sum() / total,
                "mACC": accuracy[occurs].mean() if total else np.nan,
                "pACC": found.sum() / total,
            }
        classes = {f"IoU-{name}": value for name, value in zip(class_names, iou, strict=True)}
        classes |= {f"ACC-{name}": value for name, value in zip(class_names, accuracy, strict=True)}
        return {name: 100 * float(value) for name, value in (whole | classes).items()}


def name_pixels(segment_map: np.ndarray, labels: Mapping[int, int], other: int) -> np.ndarray:
    """A map (H, W) of segments' ids -> a map of their labels, with `other` where an id has none."""
    known = np.unique([*labels]).astype(segment_map.dtype)
    return np.array([*(labels[number] for number in known.tolist()), other])[rank_ids(segment_map, known)]


def join_masks(masks: Iterable[tuple[int, np.ndarray]], size: tuple[int, int], other: int) -> np.ndarray:
    """Labels, each with its mask (H, W) -> a map (H, W) of labels, with `other` where there is no mask."""
    joined = np.full(size, other, np.int32)
    for label, mask in masks:
        joined[mask.astype(bool)] = label
    return joined


def full_name(figure: str) -> str:
    """A figure in full: "mIoU" is `semantic mIoU (mean IoU of the classes)`."""
    return f"semantic {figure} ({_NAMES[figure]})"


def lines(figures: Mapping[str, float]) -> list[str]:
    """A line for each of the four figures, with its full name."""
    return [
        f"{full_name(name)} {'nothing annotated' if np.isnan(figures[name]) else f'{figures[name]:.1f}'}"
        for name in _NAMES
    ]


def by_class(figures: Mapping[str, float]) -> Breakdown:
    """The IoU and the share that is found of each class."""
    return from_figures(figures, _CLASS_NAMES)


def summary(figures: Mapping[str, float]) -> list[str]:
    """All figures, a line each, as detectron2 names them."""
    return ["semantic:", *(f" {name} = {value:.3f}" for name, value in figures.items())]
