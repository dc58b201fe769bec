"""Making a case: the data that it needs and no more, and weights where none are given."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import WEIGHTS, Case
from common import weights as weight_files
from common.array import Array, namespace
from common.config import Settings
from common.config.sections import AnnotationFile, DataKind
from common.data.coco import locate
from common.data.shapes import write_shapes
from common.files import atomic_path
from common.models import initial_weights
from common.training.randomness import stream
from common.training.schedules import with_batch_size
from common.weights import Card

IMAGES = {"train": 64, "val": 8}
NORMS = ("BatchNorm", "FrozenBatchNorm")
# From drawn weights rounding grows tenfold an optimizer step, and the steps cannot be compared for long. At a tenth of
# the rate, and with norms that never make values larger, it does not grow in twenty.
DRAWN_RATE = 0.1

# How far apart a two-stage model's scores are to lie, by the stage's name and the layer that gives it. Fresh ones are
# nearly equal: what is chosen by them is chosen by rounding, and of 80 classes none gets a score worth a detection.
SPREADS = {"rpn_logits": ("rpn.objectness.weight", 2.0), "class_logits": ("box_head.classes.weight", 3.0)}


def prepare(
    folder: Path, settings: Settings, batch_size: int, data: Path | None, steps: int = 20, seed: int = 0
) -> Case:
    """A case in `folder`, on the first images of `data`, or on a synthetic set where that is None."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = settings.data_kind
    if data is None:
        persons = kind == "person_keypoints"
        root = write_shapes(folder / "shapes", IMAGES["train"], seed, (240, 320), IMAGES["val"], persons)
        _excerpt(root, folder / "data", kind, settings.num_classes)
    else:
        _excerpt(data, folder / "data", kind, published=settings.data_files)
    schedule = with_batch_size(settings.schedule, batch_size)
    if not Case.has_weights(folder):
        schedule = schedule.model_copy(update={"learning_rate": DRAWN_RATE * schedule.learning_rate})
    settings = settings.model_copy(update={"schedule": schedule})
    case = Case(settings, folder / "data", seed, steps)
    case.save(folder)
    return case


def _excerpt(root: Path, out: Path, kind: DataKind, classes: int = 0, published: Sequence[AnnotationFile] = ()) -> None:
    """The first images of both parts of a data set, with `classes` categories at least; the images are linked."""
    for split, count in IMAGES.items():
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


def draw_missing_weights(case: Case, learner_class: type, folder: Path) -> None:
    """Where no weights were given, those that training starts with, adapted to the first image."""
    if case.has_weights(folder):
        return
    learner = learner_class(case.settings, "cpu", training=True)
    weights = initial_weights(learner.shapes(), case.settings, case.seed)
    for name, weight in weights.items():
        if weight.ndim > 1 and not weight.any():  # offsets of zero: a deformable convolution would sample at its kinks
            weights[name] = 0.01 * stream(case.seed, 0, f"weight {name}").standard_normal(weight.shape, np.float32)
    learner.load_weights(weights)
    settling = _Settling()
    stages = learner.trace(case.inputs(), settling)
    for stage, (layer, spread) in SPREADS.items():
        found = [values.std() for name, values in stages.items() if name.startswith(stage)]
        if found:
            weights[layer] = weights[layer] * np.float32(spread / np.mean(found))
    if "segnet.pred_small.bias" in weights:  # half of the persons' cells are theirs; of fresh weights all or none
        background, person = np.moveaxis(stages["logits"], 1, 0)
        shift = np.array([np.median(person - background), 0.0], np.float32)
        weights["segnet.pred_small.bias"] = weights["segnet.pred_small.bias"] + shift
    card = Card(
        model=case.settings.model,
        source=f"drawn for a comparison (seed {case.seed})",
        licence="none",
        preprocessing=case.settings.preprocessing,
        classes=tuple(case.validation().class_names),
        category_ids=tuple(case.validation().category_ids),
        numerics=case.settings.numerics(),
    )
    weight_files.save(folder / WEIGHTS, weights | settling.statistics, card)


class _Settling:
    """An observer that gives every norm statistics that go with what it is given.

    With those of fresh weights, mean 0 and variance 1, values grow from layer to layer until every score is 0 or 1.
    One variance serves a layer, for a channel that is nearly constant would be blown up by its own.
    """

    def __init__(self):
        self.statistics: dict[str, np.ndarray] = {}
        self._given: Array | None = None

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        if kind in NORMS:
            self._given = value

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        if kind not in NORMS:
            return None
        given = self._given
        xp = namespace(given)
        array = xp.to_numpy(given)
        mean = 0.1 * array.mean((0, 2, 3))
        variance = np.full_like(mean, max(1.0, 2.0 * np.square(array).mean()))
        self.statistics |= {f"{path}.running_mean": mean, f"{path}.running_var": variance}
        settled = (array - mean[:, None, None]) / np.sqrt(variance[:, None, None])
        return xp.asarray(settled.astype(np.float32), given)
