"""`python -m X_impl.evaluate`: COCO's AP of a trained model on a data set."""

import json
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.commands.wing import (
    Parser,
    at_least,
    default_workers,
    nms_overrides,
    refuse_unwritten,
    trained_model,
)
from common.config import load_settings
from common.errors import UserError
from common.files import atomic_path

if TYPE_CHECKING:
    from common.data.coco import CocoDataset

EXAMPLES = """
yolact_resnet50 --data datasets/coco --weights yolact_resnet50_54_800000.pth
yolact_tiny --data datasets/shapes --weights runs/tiny/weights.safetensors --output results
yolact_tiny --data datasets/shapes --weights runs/tiny/weights.safetensors detection.nms=exact
--data datasets/coco --trained_model=yolact_base_54_800000.pth --output_coco_json
--config-file e2e_mask_rcnn_R_50_FPN_1x.yaml --ckpt model_final.pth TEST.IMS_PER_BATCH 1
"""

# Where YOLACT's --output_coco_json writes when nothing else is said.
_DETECTION_FILES = {"box": Path("results/bbox_detections.json"), "mask": Path("results/mask_detections.json")}


def main(framework: str, argv: Sequence[str] | None = None) -> None:
    arguments = _parser(framework).read(argv)
    arguments.overrides += nms_overrides(arguments)
    refuse_unwritten(load_settings(arguments.model, arguments.overrides), "evaluation")

    from common.data.coco import resolve
    from common.evaluation.coco import CocoAP, lines
    from common.evaluation.inference import predict_dataset

    dataset = resolve(arguments.data, arguments.split)
    rating = CocoAP(dataset.annotations, judge=arguments.pycocotools)
    learner, settings, card = trained_model(framework, arguments)
    categories = categories_of(card.classes, dataset, str(arguments.weights))
    print(
        f"{settings.model} in {framework} on {learner.device}: {len(dataset)} images of {dataset.annotations}",
        flush=True,
    )
    batch_size = min(arguments.batch_size, len(dataset))
    results = predict_dataset(learner, settings, dataset, batch_size, arguments.workers, categories)
    figures = {kind: rating.rate(found, kind) for kind, found in results.items()}
    for kind in figures:
        print("\n".join(lines(figures[kind], kind)))
    files = _files(arguments, results, figures)
    for path, content in files.items():
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content))
    if files:
        print(f"written: {', '.join(map(str, files))}")


def categories_of(known: Sequence[str], dataset: "CocoDataset", weights: str) -> np.ndarray:
    """The data set's category id of each class that the weights know, -1 where it has none.

    More classes than the data set's are told apart by their names: torchvision's weights have one for each of COCO's
    category ids, of which ten are no category.
    """
    by_name = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    if len(known) > len(by_name) and by_name.keys() <= set(known):
        return np.array([by_name.get(name, -1) for name in known])
    check_classes(known, dataset.class_names, weights, str(dataset.annotations))
    return np.array(dataset.category_ids)


def check_classes(known: Sequence[str], wanted: Sequence[str], weights: str, data: str) -> None:
    """Refuses to rate a model on other classes than its own; a class whose name nobody knows may be any."""
    from weights_convert.class_names import unnamed

    if len(known) != len(wanted):
        raise UserError(f"{weights} knows {len(known)} classes, {data} has {len(wanted)}")
    for number, (ours, theirs) in enumerate(zip(known, wanted, strict=True), start=1):
        if ours not in (theirs, unnamed(number)):
            raise UserError(f"class {number} is {ours} to {weights} and {theirs} in {data}")


def _files(
    arguments: Namespace, results: dict[str, list[dict[str, Any]]], figures: dict[str, dict[str, float]]
) -> dict[Path, Any]:
    """What to write where: COCO results of boxes and of masks, and the figures; null where no object is of a kind."""
    chosen = {"box": arguments.bbox_det_file, "mask": arguments.mask_det_file}
    if arguments.output_coco_json:
        chosen = {kind: path or _DETECTION_FILES[kind] for kind, path in chosen.items()}
    files = {path: results[kind] for kind, path in chosen.items() if path}
    if arguments.output:
        files |= {arguments.output / f"{kind}_results.json": found for kind, found in results.items()}
        files[arguments.output / "metrics.json"] = {
            kind: {name: None if math.isnan(value) else value for name, value in each.items()}
            for kind, each in figures.items()
        }
    return files


def _parser(framework: str) -> Parser:
    parser = Parser(
        framework,
        "evaluate",
        ["model"],
        "MODEL --data ROOT --weights FILE",
        "Predicts every image of a data set and prints COCO's AP of boxes and masks.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="ROOT", help="folder of a data set in COCO's format")
    add("--split", choices=("train", "val"), default="val")
    add(
        "--weights",
        "--trained_model",
        "--ckpt",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights of any known format",
    )
    add("--output", type=Path, metavar="DIR", help="write the results (COCO JSON) and metrics.json here")
    add("--output_coco_json", action="store_true", help="write them to YOLACT's results/{bbox,mask}_detections.json")
    add("--bbox_det_file", type=Path, metavar="FILE", help="write the boxes' results here")
    add("--mask_det_file", type=Path, metavar="FILE", help="write the masks' results here")
    add("--batch-size", "--batch_size", type=at_least(1), default=8, metavar="N", help="images at once (default 8)")
    add("--workers", type=at_least(0), default=default_workers(), metavar="N", help="processes that read images")
    add("--pycocotools", action="store_true", help="rate by pycocotools itself: the same figures, slower")
    parser.add_nms_options()
    return parser
