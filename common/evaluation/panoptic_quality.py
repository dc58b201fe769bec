"""Panoptic quality (Kirillov et al., 2019), as panopticapi rates it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from common.errors import UserError
from common.evaluation.breakdown import Breakdown, from_figures

if TYPE_CHECKING:
    from common.data.panoptic import Segment

# With more than this IoU two segments are the same: no third one can have as much with either.
_SAME_SEGMENT = 0.5
# A segment with more than this share of its pixels on ground that is not rated is not found in vain.
_UNRATED = 0.5
# The ids of pixels without a segment, and of those whose id is none of the segments'.
_NONE, _UNKNOWN = 0, -1

_FIGURES = {"PQ": "panoptic quality", "SQ": "mean IoU of what is found", "RQ": "quality of recognition"}
_GROUPS = {"": "all classes", "_th": "things", "_st": "stuff"}

# How many pixels have an id in one map and an id in another.
Pairs = dict[tuple[int, int], int]


class Qualities(NamedTuple):
    """The panoptic quality PQ, of which SQ rates the shape of segments that were found and RQ their number.

    SQ = sum of IoU / matches, RQ = matches / (matches + found in vain / 2 + missed / 2), PQ = SQ * RQ
    """

    pq: np.ndarray
    sq: np.ndarray
    rq: np.ndarray


class PanopticQuality:
    """Counts the segments of K categories that are found, found in vain and missed, over the images that are added.

    origin: what the annotations are called in errors.
    """

    def __init__(self, category_ids: Sequence[int], origin: str):
        self._origin = origin
        self._labels = {int(category): label for label, category in enumerate(category_ids)}
        count = len(self._labels)
        self.overlap = np.zeros(count)  # the sum of the IoUs of what was found
        self.found, self.in_vain, self.missed = (np.zeros(count, np.int64) for _ in range(3))

    def add(
        self,
        image_id: int,
        truth: np.ndarray,
        segments: Sequence["Segment"],
        prediction: np.ndarray,
        categories: Mapping[int, int],
    ) -> None:
        """Adds an image: two maps (H, W) of segments' ids, as annotated and as predicted, with 0 where there is none.

        segments: those that are annotated, with the areas that the annotations tell; categories: the category of each
        predicted segment, by its id.
        """
        annotated = {segment.id: segment for segment in segments}
        if truth.shape != prediction.shape:
            sizes = " and ".join(f"{width}x{height}" for height, width in (prediction.shape, truth.shape))
            raise UserError(f"{self._origin}: image {image_id}: the prediction and the annotation are {sizes}")
        shared = count_pairs(truth, list(annotated), prediction, list(categories))
        areas = self._areas(image_id, shared, prediction, categories)
        partners = self._match(shared, areas, annotated, categories)
        for segment in annotated.values():
            if not segment.crowd and segment.id not in partners:
                self.missed[self._labels[segment.category_id]] += 1
        # Of several crowds of a category the last one counts alone, as in the original.
        crowds = {segment.category_id: segment.id for segment in annotated.values() if segment.crowd}
        for own in categories.keys() - partners.values():
            unrated = shared.get((_NONE, own), 0) + shared.get((crowds.get(categories[own]), own), 0)
            if not unrated / areas[own] > _UNRATED:
                self.in_vain[self._labels[categories[own]]] += 1

    @property
    def occurs(self) -> np.ndarray:
        """(K,) bool: the categories with any segment that is rated."""
        return self.found + self.in_vain + self.missed > 0

    def of_categories(self) -> Qualities:
        """The qualities (K,) from 0 to 1 of each category; NaN for one that does not occur."""
        with np.errstate(invalid="ignore"):
            total = self.found + 0.5 * self.in_vain + 0.5 * self.missed
            shape = np.where(self.occurs, self.overlap / np.maximum(self.found, 1), np.nan)
            return Qualities(self.overlap / total, shape, self.found / total)

    def figures(self, class_names: Sequence[str], is_thing: np.ndarray) -> dict[str, float]:
        """The means over all, things and stuff, each with the number of categories that occur, and every category's.

        In percent; NaN where nothing occurs.
        """
        groups = {"": np.ones(len(is_thing), bool), "_th": is_thing, "_st": ~is_thing}
        figures = {}
        for ending, group in groups.items():
            means = (100 * float(mean) for mean in self.means(group))
            figures |= dict(zip([name + ending for name in _FIGURES], means, strict=True))
        figures |= {f"N{ending}": float((group & self.occurs).sum()) for ending, group in groups.items()}
        for name, values in zip(_FIGURES, self.of_categories(), strict=True):
            figures |= {f"{name}-{each}": 100 * float(value) for each, value in zip(class_names, values, strict=True)}
        return figures

    def means(self, chosen: np.ndarray) -> Qualities:
        """The means over the categories of a group (K,) bool that occur; NaN where none of them does."""
        rated = chosen & self.occurs
        if not rated.any():
            return Qualities(*[np.array(np.nan)] * 3)
        return Qualities(*(each[rated].mean() for each in self.of_categories()))

    def _match(
        self, shared: Pairs, areas: Mapping[int, int], annotated: Mapping[int, "Segment"], categories: Mapping[int, int]
    ) -> dict[int, int]:
        """Counts what was found -> the predicted segment of each annotated one that was.

        IoU = shared / (area of both - shared - pixels of the predicted one without an annotation)
        """
        partners = {}
        for (true, own), both in shared.items():
            segment = annotated.get(true)
            if segment is None or segment.crowd or categories.get(own) != segment.category_id:
                continue
            iou = both / (areas[own] + segment.area - both - shared.get((_NONE, own), 0))
            if iou > _SAME_SEGMENT:
                label = self._labels[segment.category_id]
                self.found[label] += 1
                self.overlap[label] += iou
                partners[true] = own
        return partners

    def _areas(
        self, image_id: int, shared: Pairs, prediction: np.ndarray, categories: Mapping[int, int]
    ) -> dict[int, int]:
        """The pixels of each predicted segment; refuses a prediction whose map and list do not fit."""
        where = f"{self._origin}: the prediction of image {image_id}"
        areas = dict.fromkeys(categories, 0)
        for (_, own), both in shared.items():
            if own == _UNKNOWN:
                stray = np.setdiff1d(prediction, [_NONE, *categories])[0]
                raise UserError(f"{where} draws a segment {stray} that it does not list")
            if own != _NONE:
                areas[own] += both
        for own, category in categories.items():
            if areas[own] == 0:
                raise UserError(f"{where} lists a segment {own} that it does not draw")
            if category not in self._labels:
                raise UserError(f"{where} has the category {category}, which is not among the annotations'")
        return areas


def count_pairs(first: np.ndarray, first_ids: Sequence[int], second: np.ndarray, second_ids: Sequence[int]) -> Pairs:
    """Counts the pixels that have an id in one map and an id in another, of the pairs that there are.

    An id that is not among those given counts as `_UNKNOWN`, and 0 as itself.
    """
    known = [np.unique([_NONE, *ids]) for ids in (first_ids, second_ids)]
    rows, columns = (rank_ids(*pair) for pair in zip((first, second), known, strict=True))
    names = [[*ids.tolist(), _UNKNOWN] for ids in known]
    counts = np.bincount((rows * len(names[1]) + columns).reshape(-1))
    return {
        (names[0][place // len(names[1])], names[1][place % len(names[1])]): int(counts[place])
        for place in np.flatnonzero(counts).tolist()
    }


def rank_ids(segment_map: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The places of a map's ids among the known ones (N,), which ascend; N for others."""
    if len(known) == 0:
        return np.zeros(segment_map.shape, np.int64)
    ranks = np.searchsorted(known, segment_map)
    return np.where(known[np.minimum(ranks, len(known) - 1)] == segment_map, ranks, len(known))


def full_name(figure: str) -> str:
    """A figure in full: "PQ_th" is `panoptic PQ (panoptic quality, things)`."""
    return f"panoptic {figure[:2]} ({_FIGURES[figure[:2]]}, {_GROUPS[figure[2:]]})"


def lines(figures: Mapping[str, float]) -> list[str]:
    """A line for each figure of a group of classes, with its full name."""
    names = [name + ending for ending in _GROUPS for name in _FIGURES]
    return [
        f"{full_name(name)} {'no segments of this kind' if np.isnan(figures[name]) else f'{figures[name]:.1f}'}"
        for name in names
    ]


def by_class(figures: Mapping[str, float]) -> Breakdown:
    """The three qualities of each class."""
    return from_figures(figures, _FIGURES)


def summary(figures: Mapping[str, float]) -> list[str]:
    """The figures as panopticapi prints them, and a line for each class; -1 where no segment occurs."""

    def row(name: str, ending: str, count: str) -> str:
        values = np.nan_to_num([figures[figure + ending] for figure in _FIGURES], nan=-1.0)
        return f"{name:10s}| {values[0]:5.1f}  {values[1]:5.1f}  {values[2]:5.1f} {count:>5s}".rstrip()

    head = "{:10s}| {:>5s}  {:>5s}  {:>5s} {:>5s}".format("", "PQ", "SQ", "RQ", "N")
    groups = [
        row(name, ending, f"{figures[f'N{ending}']:.0f}")
        for name, ending in (("All", ""), ("Things", "_th"), ("Stuff", "_st"))
    ]
    classes = [name.removeprefix("PQ") for name in figures if name.startswith("PQ-")]
    return ["panoptic:", head, "-" * 38, *groups, *(row(name[1:], name, "") for name in classes)]
