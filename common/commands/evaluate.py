"""`python -m X_impl.evaluate`: the figures of a trained model on a data set: COCO's AP, and panoptic quality."""

import argparse
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.commands import originals
from common.commands.arguments import at_least, default_workers
from common.commands.evaluation_report import FILE, check_report, describe_run, write_report
from common.commands.parser import Parser, model_arguments, prompt_file, rated_parts
from common.config import Settings
from common.data.class_names import check_class_names
from common.families import config_files_of, family_of
from common.files import atomic_path, write_json
from common.models import load_settings
from common.wing import Wing, open_model

if TYPE_CHECKING:
    from common.data.coco import CocoDataset
    from common.evaluation.coco import Limits
    from common.families.prompts import PromptFile
    from common.results import Figures, Rating, ResultKind, Results

EXAMPLES = """
yolact_resnet50 --data datasets/coco --weights yolact_resnet50_54_800000.pth
yolact_tiny --data datasets/shapes --weights runs/tiny/weights.safetensors --output results
yolact_tiny --data datasets/shapes --weights runs/tiny/weights.safetensors detection.nms=exact
yolact_base --data datasets/coco --split test --weights yolact_base_54_800000.pth --results-only --output results
--data datasets/coco --trained_model=yolact_base_54_800000.pth --output_coco_json
--config-file e2e_mask_rcnn_R_50_FPN_1x.yaml --ckpt model_final.pth TEST.IMS_PER_BATCH 1
cascade_mask_rcnn_swin_t --data datasets/coco --weights swin_t.safetensors --max-dets 100,300,1000
mask2former_r50 --data datasets/coco --weights mask2former_r50.safetensors --output results --report
pose2seg --data data --weights last.pkl --coco --OCHuman
pose2seg --data datasets/coco --weights last.pkl --keypoints person_keypoints_results.json
"""

# The options that name a file for results, by what these are of.
_DET_FILES = {"box": "bbox_det_file", "mask": "mask_det_file", "panoptic": "panoptic_det_file"}


def main(wing: Wing, argv: Sequence[str] | None = None) -> None:
    parser = _parser(wing)
    arguments = parser.read(argv)
    check_report(parser, arguments)
    chosen = load_settings(arguments.model, arguments.overrides)
    parser.check_family(arguments, chosen)
    kind = family_of(chosen).results(chosen)
    for result, name in arguments.rated.items():
        if result not in kind.rated:
            parser.error(f"--eval {name}: {chosen.model} is rated by {', '.join(kind.rated)}")
    datasets = {name: _reduce(each, arguments) for name, each in _find_datasets(arguments, chosen).items()}
    if len(datasets) > 1 and (arguments.output_coco_json or _has_det_file(arguments)):
        parser.error(f"results of {' and '.join(datasets)} do not go into one file: write them with --output DIR")
    _check_images(arguments, chosen, datasets)
    ratings = {}
    if not arguments.benchmark:
        ratings = {name: _rating(parser, arguments, kind, dataset) for name, dataset in datasets.items()}
    prompts = _open_prompts(arguments, chosen, list(datasets.values()))
    learner, settings, card = open_model(wing, *model_arguments(arguments))
    for name, dataset in datasets.items():
        if arguments.benchmark:
            _time(learner, settings, dataset, prompts, arguments)
            continue
        categories = categories_of(card.classes, dataset, str(arguments.weights))
        results = _predict(learner, settings, dataset, kind, categories, prompts, arguments)
        output = arguments.output and arguments.output / name
        facts = describe_run(arguments, learner, settings, dataset) if arguments.report else {}
        _report(kind, results, ratings[name], arguments, output, facts)


def _find_datasets(arguments: Namespace, settings: Settings) -> dict[str, "CocoDataset"]:
    """Finds the data sets to rate on, by name: the test sets of a configuration, or those of the original's protocols.

    If there are neither, it is the one that the arguments name, under the name "".
    """
    from common.data.coco import resolve

    if arguments.test_sets:
        parts = arguments.test_sets
    else:
        parts = [(part.name, part.root(arguments.data), part.split) for part in rated_parts(arguments, settings)]
    kind = settings.data_kind, settings.data_files
    return {name: resolve(root, split, *kind) for name, root, split in parts or [("", arguments.data, arguments.split)]}


def _reduce(dataset: "CocoDataset", arguments: Namespace) -> "CocoDataset":
    """The data set with the images alone that --max-images chooses."""
    from common.data.choosing import choose_images

    order = "shuffled" if arguments.shuffle else "file" if arguments.no_sort else "hashed"
    return choose_images(dataset, arguments.max_images, order, arguments.seed)


def _check_images(arguments: Namespace, settings: Settings, datasets: dict[str, "CocoDataset"]) -> None:
    """Says what the annotation files have that is left out, and refuses images that cannot be read."""
    from common.data.check import require_images
    from common.evaluation.inference import evaluated_positions

    for dataset in datasets.values():
        for fault in dataset.faults:
            print(f"{dataset.annotations}: {fault}", flush=True)
        if not arguments.no_image_check:
            require_images(dataset, evaluated_positions(dataset, settings))


def _rating(parser: Parser, arguments: Namespace, kind: "ResultKind", dataset: "CocoDataset") -> "Rating | None":
    """The function that rates the results; None where they are only to be written."""
    writes = arguments.output or arguments.output_coco_json or _has_det_file(arguments)
    if arguments.results_only and not writes:
        parser.error("--results-only writes the results: say where with --output DIR or --output_coco_json")
    # YOLACT's option never rates; here it does where there is something to rate on.
    without_truth = arguments.output_coco_json and dataset.annotation_count == 0 and not arguments.report
    if arguments.results_only or without_truth:
        return None
    if dataset.annotation_count == 0 and not dataset.faults:
        parser.error(f"{dataset.annotations}: there are no annotations to evaluate against; give --results-only")
    return kind.rating(dataset, arguments.pycocotools, arguments.boundary, arguments.max_dets)


def _open_prompts(arguments: Namespace, settings: Settings, datasets: Sequence["CocoDataset"]) -> "PromptFile | None":
    """The prompts of the file that is given, if one is; refused where they are of other images than a data set's."""
    path = prompt_file(arguments, settings)
    if path is None:
        return None
    prompts = family_of(settings).prompts.open_file(path, settings)
    for dataset in datasets:
        prompts.check(dataset.image_ids, dataset.annotations)
    return prompts


def _predict(
    learner: Any,
    settings: Settings,
    dataset: "CocoDataset",
    kind: "ResultKind",
    categories: np.ndarray,
    prompts: "PromptFile | None",
    arguments: Namespace,
) -> "Results":
    from common.evaluation.inference import evaluated_positions, predict_dataset

    samples = _make_samples(learner, settings, dataset, prompts)
    batch_size = min(arguments.batch_size, len(evaluated_positions(dataset, settings)))
    limits = (arguments.score_threshold, arguments.top_k)
    return predict_dataset(
        learner, settings, dataset, samples, kind, batch_size, arguments.workers, categories, *limits
    )


def _time(
    learner: Any, settings: Settings, dataset: "CocoDataset", prompts: "PromptFile | None", arguments: Namespace
) -> None:
    """Prints how fast the images are worked on; none is rated."""
    from common.evaluation.inference import evaluated_positions
    from common.evaluation.speed import speed_lines, time_images

    samples = _make_samples(learner, settings, dataset, prompts)
    seconds = time_images(learner, samples, evaluated_positions(dataset, settings), arguments.score_threshold)
    print("\n".join(speed_lines(seconds, learner.device)))


def _make_samples(learner: Any, settings: Settings, dataset: "CocoDataset", prompts: "PromptFile | None") -> Any:
    """The family's samples of the images for prediction; says what is about to be done with them."""
    from common.evaluation.inference import evaluated_positions

    family = family_of(settings)
    data = f"{len(evaluated_positions(dataset, settings))} images of {dataset.annotations}"
    if family.prompts:
        origin = family.prompts.annotated if prompts is None else prompts.summary(dataset.image_ids)
        data += f", {family.prompts.target} by {origin}"
    print(f"{settings.model} in {learner.framework} on {learner.device}: {data}", flush=True)
    make = family.samples.Inference
    return make(dataset, settings) if prompts is None else make(dataset, settings, prompts)


def _report(
    kind: "ResultKind",
    results: "Results",
    rate: "Rating | None",
    arguments: Namespace,
    output: Path | None,
    facts: dict[str, str],
) -> None:
    """Prints the figures where the results are rated, and writes the files that the arguments name.

    facts: of the page's head, where the arguments ask for one.
    """
    figures = rate(results) if rate else {}
    notes = [rate.note] if rate and rate.note else []
    if figures:
        print("\n".join([*kind.lines(figures), *notes]))
    files = _results_files(arguments, output, results)
    for path, name in files.items():
        kind.write_entries(path, results[name])
    written = list(files)
    if output and figures:
        breakdowns = rate.analyse(results, figures) if arguments.report else {}
        plain = {"report": {name: each.plain() for name, each in breakdowns.items()}} if arguments.report else {}
        write_json(output / "metrics.json", _without_nan(figures) | plain)
        with atomic_path(output / "evaluation.log") as temporary:
            temporary.write_text("\n".join([*kind.summary(figures), *notes]) + "\n")
        written += [output / "metrics.json", output / "evaluation.log"]
        if arguments.report:
            write_report(output / FILE, kind, rate.note, figures, breakdowns, facts)
            written.append(output / FILE)
    if written:
        print(f"written: {', '.join(map(str, written))}")


def categories_of(known: Sequence[str], dataset: "CocoDataset", weights: str) -> np.ndarray:
    """The data set's category id of each class that the weights know, -1 where it has none.

    More classes than the data set's are told apart by their names: torchvision's weights have one for each of COCO's
    category ids, of which ten are no category.
    """
    by_name = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    if len(known) > len(by_name) and by_name.keys() <= set(known):
        return np.array([by_name.get(name, -1) for name in known])
    from common.evaluation.coco import describe

    check_class_names(known, dataset.class_names, weights, describe(dataset))
    return np.array(dataset.category_ids)


def _results_files(arguments: Namespace, output: Path | None, results: "Results") -> dict[Path, str]:
    """The results files to write, with the names of the results that go into them."""
    named = {name: getattr(arguments, option) for name, option in _DET_FILES.items()}
    if arguments.output_coco_json:
        named = {name: path or originals.results_files().get(name) for name, path in named.items()}
    files = {path: name for name, path in named.items() if path and name in results}
    if output:
        original = config_files_of(arguments.config_file) if arguments.config_file else None
        file_names = original.result_files if original else {}
        files |= {output / file_names.get(name, f"{name}_results.json"): name for name in results}
    return files


def _has_det_file(arguments: Namespace) -> bool:
    return any(getattr(arguments, option) for option in _DET_FILES.values())


def _without_nan(figures: "Figures") -> dict[str, dict[str, float | None]]:
    """The figures as JSON has them: null where there is no object to rate."""
    return {
        name: {figure: None if math.isnan(value) else value for figure, value in values.items()}
        for name, values in figures.items()
    }


def _parser(wing: Wing) -> Parser:
    parser = Parser(
        wing,
        "evaluate",
        ["model"],
        "MODEL --data ROOT --weights FILE",
        "Predicts every image of a data set and prints COCO's AP of boxes and masks, or a panoptic model's figures.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="ROOT", help="folder of a data set in COCO's format")
    add("--split", choices=("train", "val", "test"), default="val")
    add(
        "--weights",
        "--trained_model",
        "--ckpt",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights of any known format",
    )
    _add_writing(parser)
    add("--batch-size", "--batch_size", type=at_least(1), default=8, metavar="N", help="images at once (default 8)")
    add("--workers", type=at_least(0), default=default_workers(), metavar="N", help="processes that read images")
    _add_rating(parser)
    parser.add_prompts()
    parser.add_protocols()
    _add_choosing(parser)
    add("--benchmark", action="store_true", help="tell how fast images are worked on, one by one, and rate nothing")
    parser.set_defaults(test_sets=(), rated={}, panoptic_det_file=None)
    parser.add_originals()
    return parser


def _add_writing(parser: Parser) -> None:
    """Adds the options that say where results are written."""
    add = parser.add_argument
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="write the results (COCO JSON), metrics.json and the originals' own lines (evaluation.log) here",
    )
    add(
        "--report",
        action="store_true",
        help="write a page, too: DIR/report.html with the kinds of error, precision over recall, what objects are taken"
        " for, and the figures of each class, which metrics.json has then, too",
    )
    add("--output_coco_json", action="store_true", help="write them to YOLACT's results/{bbox,mask}_detections.json")
    add("--bbox_det_file", type=Path, metavar="FILE", help="write the boxes' results here")
    add("--mask_det_file", type=Path, metavar="FILE", help="write the masks' results here")


def _add_rating(parser: Parser) -> None:
    """Adds the options that say how results are rated."""
    add = parser.add_argument
    add("--results-only", action="store_true", help="write the results and rate nothing, as of test-dev, without truth")
    add("--pycocotools", action="store_true", help="rate by pycocotools itself: the same figures, slower")
    add(
        "--max-dets",
        type=_limits,
        metavar="A,B,C",
        help="how many detections of an image and a class count: recall is rated with each, and all else but AP, which"
        " takes 100, with C (default 1,10,100; mmdetection's are 100,300,1000)",
    )
    add("--boundary", action="store_true", help="rate the boundaries of the masks, too: boundary AP")


def _add_choosing(parser: Parser) -> None:
    """Adds the options that say which images are looked at, and what of their results counts."""
    add = parser.add_argument
    add(
        "--no-image-check", action="store_true", help="do not decode every image once before the first one is predicted"
    )
    add("--max-images", type=_image_count, metavar="N", help="take N images alone, always the same; -1: all (default)")
    add("--shuffle", action="store_true", help="with --max-images: take any, drawn with --seed")
    add("--seed", type=int, metavar="N", help="of --shuffle; without it they are others each time")
    add("--no-sort", action="store_true", help="with --max-images: take the first of the file")
    add(
        "--score-threshold",
        type=float,
        default=0.0,
        metavar="S",
        help="rate what has a score above S alone (default 0)",
    )
    add("--top-k", type=at_least(1), metavar="K", help="rate the best K of an image alone")


def _limits(text: str) -> "Limits":
    from common.evaluation.coco import check_limits

    words = text.split(",")
    if len(words) != 3 or not all(word.strip().isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers, such as 100,300,1000")
    first, second, last = map(int, words)
    try:
        check_limits((first, second, last))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None
    return first, second, last


def _image_count(text: str) -> int | None:
    return None if text == "-1" else at_least(1)(text)
