"""Panoptic segmentation as a kind of result: every pixel's segment, with instances and classes of the same model."""

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from common.errors import UserError
from common.evaluation import panoptic_quality, semantic
from common.evaluation.coco import LIMITS, Limits
from common.files import atomic_path, read_json, write_json
from common.images import write_image
from common.results.drawing import ALL_PARTS, Parts, draw_segments, require_supervision
from common.results.instances import InstanceKind, Instances, encode_masks
from common.results.kind import Comparison, Entry, Figures, Form, Prediction, Rating, Results
from common.results.panoptic_compared import compare_panoptic
from common.results.panoptic_files import PNG, encode_map, read_panoptic, write_panoptic
from common.results.panoptic_rated import PanopticRating

if TYPE_CHECKING:
    from common.data.panoptic import PanopticDataset

# The instances of the same model, which are rated by their masks alone.
_MASKS = InstanceKind(rated=("mask",))


@dataclass
class Panoptic:
    """What a panoptic model finds in one image, in the image's own pixels.

    segment_map: (H, W) int32, each pixel's segment, 0 for none; ids (S,) int32, labels (S,) int64, scores (S,) float32
    and is_thing (S,) bool: of the segments. semantic: (H, W) int32, each pixel's most probable label. The three are
    answers of their own: a pixel may be of one class in a segment, and of another by itself.
    """

    image_size: tuple[int, int]
    segment_map: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    is_thing: np.ndarray
    instances: Instances
    semantic: np.ndarray

    def __len__(self) -> int:
        """The number of segments."""
        return len(self.ids)

    def ranked(self, score_threshold: float, top_k: int) -> "Panoptic":
        """The result with the `top_k` best instances at most; the segments are the model's own choice and remain."""
        return replace(self, instances=self.instances.ranked(score_threshold, top_k))

    def masks(self) -> np.ndarray:
        """The segments' masks, (S, H, W) bool."""
        return self.segment_map == self.ids[:, None, None]

    def modelscope_output(self, class_names: Sequence[str]) -> dict[str, list]:
        """The segments as ModelScope's pipeline answers: `masks` (H, W) int32 of 0 and 1, `labels` and `scores`.

        Things come first, the last one first, then stuff, the last class first; the original's scores are all the same.
        """
        order = np.lexsort((-np.where(self.is_thing, self.ids, self.labels), ~self.is_thing))
        masks, labels = self.masks()[order].astype(np.int32), self.labels[order]
        return {
            "masks": list(masks),
            "labels": [class_names[label] for label in labels],
            "scores": [0.999] * len(order),
        }


@dataclass(frozen=True)
class PanopticKind:
    """The kind of result `Panoptic`; the methods are those of `ResultKind`.

    Segments are rated by panoptic quality, instances by COCO's average precision of masks, and classes of pixels by
    their mean IoU.
    """

    name: ClassVar[str] = "panoptic results"
    rated: ClassVar[tuple[str, ...]] = ("panoptic", "mask", "semantic")

    @property
    def forms(self) -> Mapping[str, Form]:
        """A picture, a folder of the segments' masks, an archive of arrays, and COCO's JSON file and folder of PNGs."""
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
        self, image: np.ndarray, result: Panoptic, class_names: Sequence[str], parts: Parts = ALL_PARTS
    ) -> np.ndarray:
        """A copy of the image (H, W, 3) uint8 RGB with the segments drawn onto it."""
        return draw_segments(image, result, class_names, parts)

    def read_arrays(self, path: Path) -> tuple[Panoptic, list[str]]:
        """The result and the names of the classes from an archive that the form "npz" made."""
        try:
            with np.load(path) as archive:
                arrays = dict(archive)
            names = arrays.pop("class_names").tolist()
            size, marked = arrays["segment_map"].shape, "instance_"
            own = {name: array for name, array in arrays.items() if not name.startswith(marked)}
            others = {name.removeprefix(marked): array for name, array in arrays.items() if name.startswith(marked)}
            return Panoptic(image_size=size, instances=Instances(image_size=size, **others), **own), names
        except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error):
            raise UserError(f"{path}: not an archive (npz) of {self.name} as they are saved") from None

    def named_entries(self, prediction: Prediction) -> list[Entry]:
        """The entry of COCO panoptic results of an image outside any data set.

        The image's id is as that of instances, and the PNG has the name of the image's file.
        """
        stem = Path(prediction.name).stem
        image_id = int(stem) if stem.isdecimal() else prediction.number
        names, category_ids = prediction.classes
        entry = _segments_entry(image_id, prediction.result, category_ids)
        labels = dict(zip(prediction.result.ids.tolist(), prediction.result.labels.tolist(), strict=True))
        for segment in entry["segments_info"]:
            segment["category"] = names[labels[segment["id"]]]
        return [entry | {"file_name": f"{prediction.name}.png", "image_file_name": prediction.name}]

    def entries(
        self, image_id: int, result: Panoptic, category_ids: Sequence[int], top_k: int | None = None
    ) -> Results:
        """The segments of an image of a data set, its `top_k` best instances, and a mask of the pixels of each class.

        Segments of a class that the data set has not are no segments.
        """
        labels = np.unique(result.semantic)
        labels = labels[np.asarray(category_ids)[labels] >= 0]
        masks = encode_masks(result.semantic == labels[:, None, None])
        classes = [
            {"image_id": int(image_id), "category_id": int(category_ids[label]), "segmentation": mask}
            for label, mask in zip(labels, masks, strict=True)
        ]
        instances = _MASKS.entries(image_id, result.instances, category_ids, top_k)
        return {"panoptic": [_segments_entry(image_id, result, category_ids)], **instances, "semantic": classes}

    def write_entries(self, path: Path, entries: list[Entry]) -> None:
        """Writes COCO panoptic results, or a COCO results file of instances or of classes."""
        if entries and "segments_info" in entries[0]:
            write_panoptic(path, entries)
        else:
            write_json(path, entries)

    def read_entries(self, path: Path) -> list[Entry]:
        """The entries of a results file; those of COCO panoptic results with their PNGs."""
        content = read_json(path)
        if isinstance(content, dict) and isinstance(content.get("annotations"), list):
            return read_panoptic(Path(path), content["annotations"])
        if not isinstance(content, list):
            raise UserError(f"{path}: neither COCO panoptic results nor a list of COCO results")
        return content

    def rating(
        self,
        dataset: "PanopticDataset",
        by_reference: bool = False,
        boundaries: bool = False,
        limits: Limits | None = None,
    ) -> Rating:
        """Rates by the figures of all three; the options are about those of instances."""
        rate = PanopticRating(dataset, by_reference, boundaries, limits or LIMITS)
        return Rating(rate, rate.note, rate.analyse)

    def lines(self, figures: Figures) -> list[str]:
        """A line for each figure but those of single classes."""
        own = panoptic_quality.lines(figures["panoptic"]) + semantic.lines(figures["semantic"])
        return own + _MASKS.lines(_of_instances(figures))

    def summary(self, figures: Figures) -> list[str]:
        """The figures, those of each class too, as panopticapi, detectron2 and pycocotools print theirs."""
        own = panoptic_quality.summary(figures["panoptic"]) + semantic.summary(figures["semantic"])
        return own + _MASKS.summary(_of_instances(figures))

    def main_figures(self, figures: Figures) -> dict[str, float]:
        """PQ, which chooses, that of things and that of stuff, the AP of masks and the mean IoU."""
        segments = {panoptic_quality.full_name(name): figures["panoptic"][name] for name in ("PQ", "PQ_th", "PQ_st")}
        pixels = {semantic.full_name("mIoU"): figures["semantic"]["mIoU"]}
        return segments | _MASKS.main_figures(_of_instances(figures)) | pixels

    def compare(self, reference: Results, other: Results, dataset: "PanopticDataset") -> list[Comparison]:
        """Segments and instances that have a partner in the other's results, pixels that agree, figures of both."""
        rate = self.rating(dataset)
        return compare_panoptic(reference, other, rate(reference), rate(other))

    def _save_overlay(self, path: Path, prediction: Prediction) -> None:
        """Writes the image with the segments drawn onto it."""
        names, parts = prediction.classes.names, prediction.parts
        write_image(path, self.draw(prediction.image, prediction.result, names, parts)[:, :, ::-1])

    def _save_entries(self, path: Path, prediction: Prediction) -> None:
        self.write_entries(path, self.named_entries(prediction))


PANOPTIC = PanopticKind()


def _segments_entry(image_id: int, result: Panoptic, category_ids: Sequence[int]) -> Entry:
    """The segments of an image as an entry of COCO panoptic results, with its PNG; see `panoptic_files`.

    Classes whose id is below 0 are left out; label c becomes `category_ids[c]`.
    """
    categories = np.asarray(category_ids)[result.labels]
    kept = categories >= 0
    segment_map = result.segment_map
    if not kept.all():
        segment_map = np.where(np.isin(segment_map, result.ids[kept]), segment_map, 0)
    facts = (result.ids, categories, result.is_thing, result.scores)
    segments = [
        {"id": number, "category_id": category, "isthing": is_thing, "score": score}
        for number, category, is_thing, score in zip(*(each[kept].tolist() for each in facts), strict=True)
    ]
    return {
        "image_id": int(image_id),
        "file_name": f"{image_id:012d}.png",
        "segments_info": segments,
        PNG: encode_map(segment_map),
    }


def _of_instances(figures: Figures) -> Figures:
    """The figures of instances among those of a panoptic model."""
    return {name: values for name, values in figures.items() if name not in ("panoptic", "semantic")}


def _save_masks(folder: Path, prediction: Prediction) -> None:
    """Writes a black and white PNG a segment, named by id, class and score: `001_sky_0.97.png`."""
    found = prediction.result
    for number, label, score, mask in zip(found.ids, found.labels, found.scores, found.masks(), strict=True):
        name = re.sub(r"[^\w.-]+", "-", prediction.classes.names[label])
        write_image(folder / f"{number:03d}_{name}_{score:.2f}.png", mask.astype(np.uint8) * 255)


def _save_arrays(path: Path, prediction: Prediction) -> None:
    """Writes the segments' arrays, the instances' with `instance_` before their names, and the labels' class names."""
    found = prediction.result
    arrays = {each.name: getattr(found, each.name) for each in fields(found)}
    instances = arrays.pop("instances")
    arrays.pop("image_size")
    arrays |= {f"instance_{name}": getattr(instances, name) for name in ("boxes", "scores", "labels", "masks")}
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays, class_names=np.array(prediction.classes.names))
