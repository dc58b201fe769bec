"""Data sets of a few images: the first ones of another set, or synthetic ones, in a folder of its own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.config import AnnotationFile, DataKind, Settings
from common.data.coco import locate
from common.data.shapes import write_shapes
from common.files import atomic_path

Counts = Mapping[str, int]  # images of the parts `train` and `val`


def write_synthetic(folder: Path, settings: Settings, counts: Counts, seed: int, size: tuple[int, int]) -> Path:
    """Writes made-up images of this size (height, width), with as many categories as a model has classes -> the set.

    Of a model's training images every one has an object. The set has the parts that `counts` names.
    """
    kind = settings.data_kind
    persons = kind == "person_keypoints"
    # Shapes are made with both parts, of one image at least.
    root = write_shapes(folder / "shapes", counts.get("train", 1), seed, size, counts.get("val", 1), persons)
    return write_excerpt(root, folder / "data", kind, counts, settings.num_classes)


def write_excerpt(
    root: Path, out: Path, kind: DataKind, counts: Counts, classes: int = 0, published: Sequence[AnnotationFile] = ()
) -> Path:
    """Writes the first images of both parts of a data set, with `classes` categories at least -> the set `out`.

    The images are linked. Of the training part those without an object are left out.
    """
    for split, count in counts.items():
        annotations, images = locate(root, split, kind, published)
        content = json.loads(annotations.read_text())
        marked = {entry["image_id"] for entry in content["annotations"] if not entry.get("iscrowd")}
        chosen = [image for image in content["images"] if split == "val" or image["id"] in marked][:count]
        ids = {image["id"] for image in chosen}
        content["images"] = chosen
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        known = max((category["id"] for category in content["categories"]), default=0)
        for number in range(1, classes - len(content["categories"]) + 1):
            content["categories"].append({"id": known + number, "name": f"class without an object {number}"})
        with atomic_path(out / f"annotations/{kind}_{split}.json") as path:
            path.write_text(json.dumps(content))
        if not (out / split).exists():
            (out / split).symlink_to(images.resolve(), target_is_directory=True)
    return out
