"""Data sets of a few images: the first ones of another set, or synthetic ones, in a folder of its own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.config import AnnotationFile, DataKind, Settings
from common.data.coco import locate
from common.data.panoptic import PanopticDataset
from common.data.shapes import forms_of, write_shapes
from common.files import atomic_path

Counts = Mapping[str, int]  # images of the parts `train` and `val`


def write_synthetic(folder: Path, settings: Settings, counts: Counts, seed: int, size: tuple[int, int]) -> Path:
    """Writes made-up images of this size (height, width), with as many categories as a model has classes -> the set.

    Of a model's training images every one has an object. The set has the parts that `counts` names.
    """
    kind = settings.data_kind
    # Shapes are made with both parts, of one image at least.
    root = write_shapes(folder / "shapes", counts.get("train", 1), seed, size, counts.get("val", 1), **forms_of(kind))
    return write_excerpt(root, folder / "data", kind, counts, settings.is_thing)


def write_excerpt(
    root: Path,
    out: Path,
    kind: DataKind,
    counts: Counts,
    is_thing: Sequence[bool] = (),
    published: Sequence[AnnotationFile] = (),
) -> Path:
    """Writes the first images of both parts of a data set, with as many categories at least as told -> the set `out`.

    Images are linked, as are the PNGs of segments. Of the training part images without an object are left out.
    is_thing: for each category that there has to be, whether it is a thing.
    """
    for split, count in counts.items():
        annotations, images = locate(root, split, kind, published)
        content = json.loads(annotations.read_text())
        marked = {entry["image_id"] for entry in content["annotations"] if not all(map(_is_crowd, _objects(entry)))}
        chosen = [image for image in content["images"] if split == "val" or image["id"] in marked][:count]
        ids = {image["id"] for image in chosen}
        content["images"] = chosen
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        content["categories"] += _further_categories(content["categories"], is_thing)
        with atomic_path(out / f"annotations/{kind}_{split}.json") as path:
            path.write_text(json.dumps(content))
        if not (out / split).exists():
            (out / split).symlink_to(images.resolve(), target_is_directory=True)
        maps = out / f"annotations/{kind}_{split}"
        if kind == "panoptic" and not maps.exists():
            maps.symlink_to(PanopticDataset(annotations, images).maps.resolve(), target_is_directory=True)
    return out


def _objects(entry: dict) -> list[dict]:
    """The objects of an annotation, which are several in a panoptic one."""
    return entry.get("segments_info", [entry])


def _is_crowd(entry: dict) -> bool:
    return bool(entry.get("iscrowd"))


def _further_categories(categories: list[dict], is_thing: Sequence[bool]) -> list[dict]:
    """Categories without an object, until there are as many things, and as much stuff, as is told."""
    known = max((category["id"] for category in categories), default=0)
    further = []
    for wanted in (1, 0):
        missing = is_thing.count(bool(wanted)) - sum(each.get("isthing", 1) == wanted for each in categories)
        for _ in range(missing):
            number = len(further) + 1
            further.append({"id": known + number, "name": f"class without an object {number}", "isthing": wanted})
    return further
