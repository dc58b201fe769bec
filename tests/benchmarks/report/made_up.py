"""A folder as other commands leave it for `benchmarks.report`: a made-up set, with results whose faults are known.

Instances: the annotated objects are the results of all frameworks, but for what `FAULTS` does to those of the first
images. Panoptic results are the annotated segments; in MindSpore's the first image's lacks a segment.
"""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.tables import Table
from common.data.coco import CocoDataset, resolve
from common.data.shapes import write_shapes
from common.files import write_json
from common.results.panoptic_files import encode_map, write_panoptic

IMAGES = 5
SCORE = 0.9
# A name with what a page has to escape.
ODD = '<b>odd</b> & "quoted"'


def write_everything(folder: Path) -> Path:
    """Writes something for every section -> the folder."""
    write_predictions(folder, folder / "shapes")
    write_predictions(folder / "accuracy/some_model", folder / "data/instances")
    write_tables(folder)
    write_losses(folder)
    write_parity(folder)
    return folder


def write_predictions(folder: Path, data: Path) -> None:
    """Writes a set into the folder `data`, and the results of the frameworks.

    The first image of the set with two objects at least has in Jittor a wrong class, in MindSpore one object less; the
    next such image has in all frameworks a duplicate of a lower score and something that is not there.
    """
    write_shapes(data, images=1, seed=3, size=(96, 128), val_images=IMAGES)
    dataset = resolve(data, "val")
    first, second = [position for position in range(len(dataset)) if len(own_objects(dataset, position)) > 1][:2]
    for framework in FRAMEWORKS:
        entries = []
        for position in range(len(dataset)):
            found = own_objects(dataset, position)
            if position == first and framework == "jittor":
                others = [each for each in dataset.category_ids if each != found[0]["category_id"]]
                found[0]["category_id"] = others[0]
            if position == first and framework == "mindspore":
                del found[0]
            if position == second:
                found += [found[0] | {"score": 0.5}, found[1] | {"segmentation": _corner(), "score": 0.4}]
            entries += found
        write_json(folder / framework / "mask_results.json", entries)
        boxes = [each | {"bbox": rle_tools.toBbox(each["segmentation"]).tolist()} for each in entries]
        write_json(folder / framework / "box_results.json", boxes)
        figures = {"AP": 31.25 if framework == "torch" else 31.5, "AP_small": None}
        write_json(folder / framework / "metrics.json", {"mask": figures})


def own_objects(dataset: CocoDataset, position: int) -> list[dict]:
    """The annotated objects of an image that are no crowds, as results."""
    objects, image_id = dataset.objects(position), int(dataset.image_ids[position])
    rows = zip(objects.labels, objects.rles, objects.crowd, objects.ignored, strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": dataset.category_ids[label],
            "segmentation": {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")},
            "score": SCORE,
        }
        for label, mask, crowd, ignored in rows
        if not (crowd or ignored)
    ]


def _corner() -> dict:
    """The mask of a corner in which no object stands."""
    pixels = np.zeros((96, 128), np.uint8, order="F")
    pixels[:6, :6] = 1
    mask = rle_tools.encode(pixels)
    return {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}


def write_panoptic_predictions(folder: Path) -> None:
    """Writes a panoptic set into FOLDER/shapes and the results of the frameworks."""
    write_shapes(folder / "shapes", images=1, seed=3, size=(96, 128), val_images=2, stuff=True)
    dataset = resolve(folder / "shapes", "val", "panoptic")
    for framework in FRAMEWORKS:
        entries = []
        for position, image_id in enumerate(dataset.image_ids.tolist()):
            ids, segments = dataset.segments(position)
            if position == 0 and framework == "mindspore":
                ids = np.where(ids == segments[-1].id, 0, ids)
                segments = segments[:-1]
            info = [{"id": each.id, "category_id": each.category_id, "score": SCORE} for each in segments]
            names = {"image_id": image_id, "file_name": f"{image_id}.png", "png": encode_map(ids)}
            entries.append(names | {"segments_info": info})
        write_panoptic(folder / framework / "panoptic_results.json", entries)


def write_tables(folder: Path) -> None:
    """Writes the tables "speed", "growth" and one that nobody knows."""
    about = {"date": "2026-01-02", "machine": "an abacus"}
    columns = {"model": "model", "task": "task", "framework": "framework", "ms": "median, ms"}
    rows = [
        {"model": ODD, "task": "training step", "framework": name, "ms": 10.5 + place}
        for place, name in enumerate(FRAMEWORKS)
    ]
    Table("speed", "Speed of the models", columns, rows, about).write(folder)
    Table("own", "A table of somebody's own", columns, rows[:1]).write(folder)
    columns = {"model": "model", "task": "task", "quantity": "quantity", "value": "value", "framework": "framework"}
    columns |= {"seconds": "seconds", "exponent": "exponent"}
    rows = [
        dict(zip(columns, ["m", "forward", quantity, value, name, factor * value**2 * 1e-6, 2.0], strict=True))
        for quantity in ("image side", "batch")
        for factor, name in enumerate(FRAMEWORKS, start=1)
        for value in (64, 128, 256)
    ]
    Table("growth", "How the cost grows", columns, rows, about).write(folder)


def write_losses(folder: Path) -> None:
    """Writes the logs of 20 steps, in which MindSpore departs at the last one by a tenth."""
    for framework in FRAMEWORKS:
        lines = []
        for step in range(20):
            factor = 1.1 if framework == "mindspore" and step == 19 else 1.0
            losses = {"box": factor * 4 / (step + 1), "mask": factor * 2 / (step + 1)}
            lines.append({"step": step, "learning_rate": 0.01, "losses": losses})
        lines.append({"step": 20, "evaluation": {"AP": 1.0}})
        path = folder / "accuracy/some_model" / framework / "log.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 21, "lo')


def write_parity(folder: Path) -> None:
    """Writes what a comparison says of Jittor, which departs, and of MindSpore, which was not run."""
    gate = {"verdict": "failed", "passed": 7, "failed": 2, "cannot tell": 0}
    run = {"reference": "torch", "not_run": "", "gates": {}, "first": None}
    first = {"name": "backbone.conv1", "kind": "Conv"}
    runs = [
        run | {"framework": "torch"},
        run | {"framework": "jittor", "gates": {"1 layers": gate}, "first": first},
        run | {"framework": "mindspore", "not_run": "MindSpore is not installed"},
    ]
    write_json(folder / "parity/some_model/parity.json", {"passed": False, "runs": runs})
    (folder / "parity/some_model/parity.html").write_text("<!doctype html><title>parity</title>")
