"""Panoptic results rated against a data set: their segments, their instances, and the classes of their pixels."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pycocotools import mask as rle_tools

from common.errors import UserError
from common.evaluation import panoptic_quality, semantic
from common.evaluation.coco import CocoAP, Limits, require_annotations
from common.evaluation.panoptic_quality import PanopticQuality
from common.evaluation.semantic import SemanticAccuracy, join_masks, name_pixels
from common.results.kind import Breakdowns, Entry, Figures, Results
from common.results.panoptic_files import decode_map

if TYPE_CHECKING:
    from common.data.panoptic import PanopticDataset, Segment

_MOST_NAMED = 10  # missing PNGs in one line


class PanopticRating:
    """Rates results against a panoptic data set, of whose images it reads each PNG once.

    The options are those of `ResultKind.rating`, and about instances alone. Instances are rated by COCO's file of them
    where the data set has one, else by the segments that are things, which are kept from the first results on. The line
    `note` says which it is.
    """

    def __init__(self, dataset: "PanopticDataset", by_reference: bool, boundaries: bool, limits: Limits):
        require_annotations(dataset)
        _require_maps(dataset)
        self._dataset, self._by_reference, self._limits = dataset, by_reference, limits
        self._shapes = ("mask", "boundary") if boundaries else ("mask",)
        objects = dataset.instances()
        self._instances = None if objects is None else CocoAP(objects, by_reference, limits)
        self.note = f"instances are rated by {dataset.instances_file}"
        if objects is None:
            misfit = f", as {dataset.instances_file} has other images or classes" if dataset.instances_file else ""
            self.note = f"instances are rated by the things of {dataset.annotations}{misfit}"

    def __call__(self, results: Results) -> Figures:
        """The figures of segments, of the classes of pixels, and of masks, on request of their boundaries, too."""
        pixels = self._rate_pixels(results)
        return pixels | {shape: self._instances.rate(results["mask"], shape) for shape in self._shapes}

    def analyse(self, results: Results, figures: Figures) -> Breakdowns:
        """What stands behind figures that were given for the same results; the classes' own are among them."""
        own = {"panoptic": panoptic_quality.by_class(figures["panoptic"])}
        own["semantic"] = semantic.by_class(figures["semantic"])
        return own | {shape: self._instances.analyse(results["mask"], shape) for shape in self._shapes}

    def _rate_pixels(self, results: Results) -> Figures:
        """The figures of segments and of the classes of pixels, image by image; each one needs its results."""
        names, category_ids, origin = self._dataset.class_names, self._dataset.category_ids, self._dataset.annotations
        quality, accuracy = PanopticQuality(category_ids, str(origin)), SemanticAccuracy(len(names))
        found = {entry["image_id"]: entry for entry in results["panoptic"]}
        classes: dict[int, list[Entry]] = {}
        for entry in results["semantic"]:
            classes.setdefault(entry["image_id"], []).append(entry)
        labels = {category: label for label, category in enumerate(category_ids)}
        for image_id, truth, segments in self._read():
            if image_id not in found:
                if not segments:
                    continue
                raise UserError(f"{origin}: image {image_id} has no panoptic result")
            entry = found[image_id]
            categories = {segment["id"]: segment["category_id"] for segment in entry["segments_info"]}
            quality.add(image_id, truth, segments, decode_map(entry), categories)
            masks = [
                (labels[each["category_id"]], rle_tools.decode(each["segmentation"]))
                for each in classes.get(image_id, ())
            ]
            annotated = name_pixels(truth, {segment.id: segment.label for segment in segments}, len(names))
            accuracy.add(annotated, join_masks(masks, truth.shape, len(names)))
        is_thing = np.asarray(self._dataset.is_thing)
        return {"panoptic": quality.figures(names, is_thing), "semantic": accuracy.figures(names)}

    def _read(self) -> Iterator[tuple[int, np.ndarray, list["Segment"]]]:
        """Yields each image's id, map of segments' ids and segments; keeps the things where instances have no file."""
        things = []
        for position, image_id in enumerate(self._dataset.image_ids.tolist()):
            ids, segments = self._dataset.segments(position)
            if self._instances is None:
                things.append(self._dataset.things(ids, segments))
            yield image_id, ids, segments
        if self._instances is None:
            self._instances = CocoAP(self._dataset, self._by_reference, self._limits, things)


def _require_maps(dataset: "PanopticDataset") -> None:
    """Refuses a data set that lacks PNGs, which would show when all images are predicted, and names them."""
    missing = [str(dataset.map_path(position)) for position in dataset.missing_maps()]
    if missing:
        named = ", ".join(missing[:_MOST_NAMED]) + (", ..." if len(missing) > _MOST_NAMED else "")
        raise UserError(f"{dataset.annotations}: {len(missing)} PNGs of segments are missing: {named}")
