"""`python -m X_impl.train`: trains a model, from scratch, from weights, or on from where a run stopped."""

import math
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.commands import originals
from common.commands.arguments import at_least, default_workers
from common.commands.parser import Parser
from common.config import Settings
from common.data.class_names import check_class_names
from common.errors import UserError
from common.families import family_of
from common.models import initial_weights, load_settings
from common.weights import Card
from common.wing import Wing

if TYPE_CHECKING:
    from common.data.check import Findings, Report
    from common.data.coco import CocoDataset
    from common.data.sources import DataSource
    from common.results import Results
    from common.training.trainer import Trainer

EXAMPLES = """
yolact_tiny --data datasets/shapes --output runs/tiny
yolact_tiny --data datasets/shapes --output runs/tiny --resume
yolact_resnet50 --data datasets/coco --output runs/r50 --weights resnet50-19c8e357.pth --batch-size 16
yolact_resnet50 --data datasets/mine --output runs/mine --weights yolact_resnet50_54_800000.pth --iterations 20000
--config-file e2e_mask_rcnn_R_50_FPN_1x.yaml --weights R-50.pkl --skip-test SOLVER.IMS_PER_BATCH 2 OUTPUT_DIR runs/r50
"""


def main(wing: Wing, argv: Sequence[str] | None = None) -> None:
    parser = _parser(wing)
    arguments = parser.read(argv)
    chosen = load_settings(arguments.model, arguments.overrides)
    _check_origins(parser, arguments)

    from common.data.sources import Folder
    from common.training.logs import check_new
    from common.training.trainer import Trainer, check_output

    check_output(arguments.output, arguments.resume)
    if arguments.log_folder and not arguments.resume:
        check_new(arguments.log_folder)
    source = Folder(arguments.data) if isinstance(arguments.data, Path) else arguments.data
    dataset = source.training(family_of(chosen), chosen.data_kind)
    settings = _fit_settings(chosen, arguments, dataset)
    learner = wing.load_learner()(settings, arguments.device, training=True)
    say = print if learner.rank == 0 else _silent
    beginning = None if arguments.resume else _find_beginning(wing, learner, settings, arguments, dataset.class_names)
    evaluation = None if arguments.skip_test else _evaluation(learner, settings, source, dataset, arguments, say)
    report = _check_data(learner, settings, dataset, arguments)
    say(report)
    trainer = Trainer(
        learner,
        settings,
        arguments.seed,
        arguments.output,
        beginning and _make_card(settings, source.name, dataset, beginning),
        {"images": len(report.usable), "classes": list(dataset.class_names)},
        evaluation,
        arguments.log_folder,
        not arguments.no_log,
    )
    if beginning is None:
        trainer.resume()
    else:
        trainer.begin(beginning.weights, beginning.step)
    say(_describe_run(learner, settings, beginning, trainer.step, arguments.seed), flush=True)
    _run(trainer, learner, settings, dataset, report.usable, arguments)
    say(f"weights: {arguments.output / 'weights.safetensors'}")


def _check_origins(parser: Parser, arguments: Namespace) -> None:
    """Finds the file to go on from, and refuses more than one thing to start from or to go on with."""
    if arguments.resume_file is not None:
        arguments.resume_file = originals.saved_run(arguments.resume_file, arguments.output, arguments.model)
        arguments.resume = arguments.resume or arguments.resume_file is None
    if sum(map(bool, (arguments.weights, arguments.resume, arguments.resume_file))) > 1:
        parser.error(
            "--weights starts from weights alone, --resume goes on with everything, --resume=FILE from YOLACT's file:"
            " give one"
        )


def _run(
    trainer: "Trainer",
    learner: Any,
    settings: Settings,
    dataset: "CocoDataset",
    positions: np.ndarray,
    arguments: Namespace,
) -> None:
    """Trains on the images at `positions` (K,) from the trainer's step to the schedule's end."""
    from common.data.loader import Loader

    samples = family_of(settings).samples.Training(dataset, settings, positions)
    batch_size, workers = settings.schedule.batch_size, arguments.workers
    share = {"rank": learner.rank, "world": learner.world, "start_step": trainer.step}
    with Loader(samples, samples.collate, len(samples), batch_size, arguments.seed, workers, **share) as batches:
        trainer.run(batches)


def _check_data(learner: Any, settings: Settings, dataset: "CocoDataset", arguments: Namespace) -> "Report":
    """The report on what of a data set can be trained on; a data set without any such image is refused."""
    from common.data.check import check, rules_of

    inspect = partial(_inspect_images, learner)
    report = check(dataset, images=not arguments.no_image_check, inspect=inspect, **rules_of(settings))
    if len(report.usable) == 0:
        raise UserError(f"{dataset.annotations}: there is no image to train on")
    return report


def _inspect_images(learner: Any, dataset: "CocoDataset", positions: np.ndarray) -> "dict[int, Findings]":
    """What `check.inspect_images` finds, of which each rank reads a share of the positions (K,)."""
    from common.data.check import inspect_images
    from common.training.ranks import gather_values, take_share

    found = inspect_images(dataset, take_share(learner, positions))
    parts = gather_values(learner, [[int(position), findings] for position, findings in found.items()])
    return dict(sorted((position, findings) for part in parts for position, findings in part))


def _silent(*_: Any, **__: Any) -> None:
    """Stands for `print` on every rank but the first."""


def _fit_settings(settings: Settings, arguments: Namespace, dataset: "CocoDataset") -> Settings:
    """The variant's settings for this data set and this batch size, which scales what is not given."""
    from common.training.schedules import with_batch_size

    schedule = settings.schedule
    if arguments.batch_size:
        given = {override.partition("=")[0].removeprefix("schedule.") for override in arguments.overrides}
        schedule = with_batch_size(schedule, arguments.batch_size, given - {"batch_size"})
    if arguments.iterations:
        schedule = schedule.model_copy(update={"iterations": arguments.iterations})
    fitting = settings.with_classes(len(dataset.class_names), int(dataset.is_thing.sum()))
    return fitting.model_copy(update={"schedule": schedule})


@dataclass
class _Beginning:
    """The weights and the step that a new run starts with, and in words where the weights are from and their licence.

    details: lines that say what was kept of other weights.
    """

    weights: dict[str, np.ndarray]
    step: int
    origin: str
    licence: str
    details: Sequence[str] = ()


def _find_beginning(
    wing: Wing, learner: Any, settings: Settings, arguments: Namespace, classes: Sequence[str]
) -> _Beginning:
    """The beginning of a new run on `classes`: drawn numbers, and over them the weights that are given."""
    shapes = learner.shapes()
    drawn = initial_weights(shapes, settings, arguments.seed)
    path = arguments.resume_file or arguments.weights
    if path is None:
        return _Beginning(drawn, 0, f"scratch (seed {arguments.seed})", "not stated")
    weights, card = wing.open_weights(path, settings)
    # A file to go on from is of the same run, whose classes it does not name.
    goes_on = arguments.resume_file and len(card.classes) == len(classes)
    known = classes if goes_on else card.classes
    start = wing.fit_for_training(weights, drawn, settings, known, classes, str(path))
    origin = "; ".join(filter(None, [f"{path.name} ({card.source})", start.summary()]))
    missing = [name for name in shapes if name not in weights]
    if missing:
        parts = sorted({name.partition(".")[0] for name in missing})
        origin += f"; not in it and drawn afresh: {len(missing)} arrays of {', '.join(parts)}"
    licence = f"derived from weights under: {card.licence}"
    return _Beginning(drawn | start.weights, _start_step(arguments), origin, licence, start.lines())


def _make_card(settings: Settings, data_name: str, dataset: "CocoDataset", beginning: _Beginning) -> Card:
    return Card(
        model=settings.model,
        source=f"trained on {data_name} from {beginning.origin}",
        licence=beginning.licence,
        preprocessing=settings.preprocessing,
        classes=tuple(dataset.class_names),
        category_ids=tuple(dataset.category_ids),
        numerics=settings.numerics(),
    )


def _start_step(arguments: Namespace) -> int:
    """The first step: 0, or of an original's file to go on from, what `--start_iter` or else the file's name says."""
    path = arguments.resume_file
    if path is None:
        return 0
    if arguments.start_iter >= 0:
        return arguments.start_iter
    iteration = originals.saved_iteration(path)
    if iteration is None:
        raise UserError(f"{path}: its name tells no iteration (NAME_EPOCH_ITERATION); give --start_iter")
    return iteration


def _evaluation(
    learner: Any,
    settings: Settings,
    source: "DataSource",
    trained_on: "CocoDataset",
    arguments: Namespace,
    say: Callable,
) -> Callable[[], dict[str, float]] | None:
    """A function that gives the main figures of the weights on the validation part; None where there is no such part.

    Every rank calls it and predicts a share of the images; the first one rates what all have found.
    """
    from common.data.check import require_images
    from common.data.choosing import choose_images
    from common.evaluation.inference import evaluated_positions

    family = family_of(settings)
    kind = family.results(settings)
    datasets = source.validation(family, settings.data_kind, lambda why: say(f"no evaluation: {why}"))
    if arguments.validation_size:
        datasets = {name: choose_images(each, arguments.validation_size) for name, each in datasets.items()}
    for dataset in datasets.values():
        names = (trained_on.class_names, dataset.class_names)
        check_class_names(*names, str(trained_on.annotations), str(dataset.annotations))
        if not arguments.no_image_check:
            require_images(dataset, evaluated_positions(dataset, settings), partial(_inspect_images, learner))
    ratings = {name: kind.rating(dataset) for name, dataset in datasets.items() if learner.rank == 0}
    for note in filter(None, (rating.note for rating in ratings.values())):
        say(note)

    def evaluate() -> dict[str, float]:
        figures = {}
        for name, dataset in datasets.items():
            results = _shared_results(learner, settings, dataset, arguments.workers)
            rated = kind.main_figures(ratings[name](results)) if ratings else {}
            figures |= {f"{name} {figure}".strip(): value for figure, value in rated.items()}
        return {name: value for name, value in figures.items() if not math.isnan(value)}

    return evaluate if datasets else None


def _shared_results(learner: Any, settings: Settings, dataset: "CocoDataset", workers: int) -> "Results":
    """The results of the whole data set, of which each rank predicts a share, in the order of one process."""
    from common.evaluation.inference import evaluated_positions, predict_dataset
    from common.training.ranks import gather_values, take_share

    positions = take_share(learner, evaluated_positions(dataset, settings))
    family = family_of(settings)
    samples, kind = family.samples.Inference(dataset, settings), family.results(settings)
    batch_size = min(8, len(dataset))
    own = predict_dataset(learner, settings, dataset, samples, kind, batch_size, workers, positions=positions)
    parts = gather_values(learner, own)
    order = {image_id: position for position, image_id in enumerate(dataset.image_ids.tolist())}
    return {
        name: sorted((entry for part in parts for entry in part[name]), key=lambda entry: order[entry["image_id"]])
        for name in kind.rated
    }


def _describe_run(learner: Any, settings: Settings, beginning: _Beginning | None, step: int, seed: int) -> str:
    """The lines on the model, its losses, what is trained, the schedule and the origin, before the first step.

    A run without a beginning goes on from its checkpoint of `step`.
    """
    trainable = set(learner.trainable())
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, shape in learner.shapes().items():
        counts[name.partition(".")[0]][name in trainable] += math.prod(shape)
    parts = [
        f"  {part:<14} {trained:>11,} trained" + (f", {fixed:,} fixed" if fixed else "")
        for part, (fixed, trained) in counts.items()
    ]
    losses = [f"{name} {words} (x{weight:g})" for name, (words, weight) in settings.loss_terms().items()]
    schedule = settings.schedule
    shared = f" over {learner.world} processes" if learner.world > 1 else ""
    return "\n".join(
        [
            f"model {settings.model} in {learner.framework} on {learner.device}, {settings.num_classes} classes",
            *parts,
            "losses " + ", ".join(losses),
            f"{schedule.iterations} iterations of {schedule.batch_size} images{shared}, {schedule.optimizer}, "
            f"learning rate {schedule.learning_rate:g}, seed {seed}",
            f"from {beginning.origin if beginning else f'the checkpoint of step {step}'}",
            *(beginning.details if beginning else ()),
        ]
    )


def _parser(wing: Wing) -> Parser:
    parser = Parser(
        wing,
        "train",
        ["model"],
        "MODEL --data ROOT --output DIR",
        "Trains a model on ROOT's training part and rates it on the validation part. DIR gets log.jsonl,\n"
        "TensorBoard's files, checkpoints and at the end weights.safetensors.",
        EXAMPLES,
    )
    add = parser.add_argument
    parser.add_data()
    add("--output", "--save_folder", type=Path, required=True, metavar="DIR", help="folder of this run")
    add("--weights", type=Path, metavar="FILE", help="start from weights: of this project, upstream, or ImageNet's")
    add("--resume", action="store_true", help="go on with the run in DIR: step, optimizer, place in the data")
    add(
        "--resume_file",
        type=Path,
        metavar="FILE",
        help="(also --resume=FILE) YOLACT's NAME_EPOCH_ITERATION.pth: its weights, from its iteration on",
    )
    add("--start_iter", type=int, default=-1, metavar="N", help="with --resume=FILE: the iteration to start at")
    add("--iterations", type=at_least(1), metavar="N", help="train so many steps instead of the schedule's")
    add(
        "--batch-size",
        "--batch_size",
        type=at_least(1),
        metavar="N",
        help="images a step, over all processes; where schedule.autoscale is true it scales what is not given of"
        " the rate, the iterations and the steps",
    )
    add("--seed", type=int, default=0, metavar="N", help="of order, augmentation and initial weights (default 0)")
    add("--workers", "--num_workers", type=at_least(0), default=default_workers(), metavar="N", help="loader processes")
    add("--skip-test", action="store_true", help="do not rate the model, neither in training nor at the end")
    add("--validation-size", type=at_least(1), metavar="N", help="rate it on N images alone, always the same")
    add("--log-folder", type=Path, metavar="DIR", help="log.jsonl and TensorBoard's files go here instead")
    add("--no-log", action="store_true", help="write no log")
    add("--no-image-check", action="store_true", help="do not decode every image once before the first step")
    parser.add_originals()
    return parser
