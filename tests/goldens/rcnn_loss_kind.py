"""The kind rcnn_losses: labels, targets, the five losses and their gradients, in the three families' ways."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.box_coder import encode
from common.families.mask_rcnn.geometry import make_anchors
from common.families.mask_rcnn.losses import compute_box_losses, compute_mask_loss, compute_rpn_losses, count_anchors
from common.families.mask_rcnn.proposals import flatten_by_anchor
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.targets import draw_polygon_targets, label_anchors, label_regions, pool_bitmap_targets
from common.models import load_settings
from tests.goldens import golden
from tests.goldens.rcnn_kinds import VARIANTS

Answers = dict[str, np.ndarray]

_CLASSES = 5
_MASK = 28
# Gradients are stored as so many times themselves.
_STORED = 1000


@dataclass
class _Batch:
    """A batch of one original: its settings, images and predictions, and its choice among anchors and regions."""

    prefix: str
    settings: MaskRcnnSettings
    images: list[int]
    inputs: Answers  # the case's, by name
    predictions: Answers

    @property
    def family(self) -> str:
        return self.prefix.removesuffix("_empty")

    @property
    def empty(self) -> bool:
        return self.prefix.endswith("_empty")

    def sizes(self, image: int) -> tuple[int, int]:
        return tuple(map(int, self.inputs["image_sizes"][image]))

    def objects(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """The boxes (G, 4) and labels (G,) of an image's objects."""
        boxes, labels = self.inputs[f"gt_boxes_{image}"], self.inputs[f"gt_labels_{image}"]
        count = 0 if self.empty else len(boxes)
        return boxes[:count], labels[:count] - (self.family == "d2")

    def chosen(self, part: str, image: int) -> tuple[np.ndarray, np.ndarray]:
        """The positives and the negatives that the reference drew."""
        return tuple(self.inputs[f"{self.prefix}_{part}_{sign}_{image}"].astype(np.int64) for sign in ("pos", "neg"))


def losses(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    inputs = {name.removeprefix("in."): value for name, value in arrays.items() if name.startswith("in.")}
    crafted = {name: each for name, each in manifest["inputs"].items() if isinstance(each, dict)}
    predictions = {name: golden.image(each["seed"], each["shape"]) for name, each in crafted.items()}
    answers = {}
    for family, variant in VARIANTS.items():
        settings = load_settings(variant, [f"num_classes={_CLASSES}"])
        if family == "d2":
            ratios = tuple(manifest["reference"]["settings"]["d2_ratios"])
            settings = settings.model_copy(update={"rpn": settings.rpn.model_copy(update={"anchor_ratios": ratios})})
        own = dict(predictions)
        if family == "d2":
            own["class_logits"] = np.roll(own["class_logits"], -1, axis=1)
            own["box_deltas"], own["mask_logits"] = own["box_deltas"][:, 4:], own["mask_logits"][:, 1:]
        batches = [_Batch(family, settings, [0, 1], inputs, own)]
        if family != "mb":
            batches.append(_Batch(f"{family}_empty", settings, [0], inputs, own))
        for batch in batches:
            answers |= _answers(batch, manifest["reference"]["settings"]["padded"], framework, xp, like)
    return answers


def _answers(batch: _Batch, padded: list[int], framework: str, xp: ModuleType, like: Array) -> Answers:
    answers: Answers = {}
    logits, deltas, anchors = _flat(batch, padded, xp, like)
    rpn = _rpn_samples(batch, anchors, answers)
    roi = _roi_samples(batch, answers)
    given = [logits, deltas]
    given += [
        xp.asarray(batch.predictions[name][: len(roi["labels"])], like) for name in ("class_logits", "box_deltas")
    ]
    given.append(xp.asarray(batch.predictions["mask_logits"][: len(roi["positive"])], like))
    sampled = count_anchors(rpn["anchor_labels"], len(batch.images), batch.settings)
    rows = xp.asarray(rpn["rows"].astype(np.int32), like)
    arrays = {name: xp.asarray(value, like) for name, value in (rpn | roi).items()}

    def terms(logits: Array, deltas: Array, classes: Array, boxes: Array, masks: Array) -> list[Array]:
        chosen = (xp.take(logits, rows), xp.take(deltas, rows), arrays["anchor_labels"], arrays["anchor_targets"])
        found = list(compute_rpn_losses(*chosen, sampled, batch.settings))
        found += compute_box_losses(classes, boxes, arrays["labels"], arrays["targets"], batch.settings)
        return [*found, compute_mask_loss(masks, arrays["mask_labels"], arrays["mask_targets"])]

    count = 4 if batch.prefix == "d2_empty" else 5
    answers[f"{batch.prefix}_losses"] = np.array([xp.to_numpy(x).item() for x in terms(*given)[:count]])
    if framework != "numpy":
        _, gradients = xp.value_and_grad(lambda *values: sum(terms(*values)), *given)
        _gradients(batch, [xp.to_numpy(each) for each in gradients], rpn, roi, answers)
    return answers


def _flat(batch: _Batch, padded: list[int], xp: ModuleType, like: Array) -> tuple[Array, Array, np.ndarray]:
    """Logits and offsets of all images' anchors one after the other, and one image's anchors."""
    maps = [tuple(batch.predictions[f"{kind}_l{k}"] for kind in ("logits", "deltas")) for k in range(5)]
    anchors = make_anchors(batch.settings, tuple(padded), [logits.shape[2:] for logits, _ in maps])
    flat = [flatten_by_anchor(*(xp.asarray(x[: len(batch.images)], like) for x in each)) for each in maps]
    logits, deltas = (xp.concatenate([level[k] for level in flat], axis=1) for k in (0, 1))
    return xp.reshape(logits, (-1,)), xp.reshape(deltas, (-1, 4)), np.concatenate(anchors)


def _rpn_samples(batch: _Batch, anchors: np.ndarray, answers: Answers) -> Answers:
    """The sampled anchors' rows, labels and targets; what was labelled goes into the answers."""
    rows, labels, targets = [], [], []
    for image in batch.images:
        boxes, _ = batch.objects(image)
        of_anchors, matched = label_anchors(anchors, boxes, batch.sizes(image), batch.settings)
        answers[f"{batch.prefix}_rpn_labels_{image}"] = of_anchors
        shown = np.where(of_anchors == 1, matched, -1) if batch.family == "d2" else matched
        answers[f"{batch.prefix}_rpn_matched_{image}"] = shown
        positive, negative = batch.chosen("rpn", image)
        rules = batch.settings.rules
        found = encode(boxes[matched[positive]], anchors[positive], rules.anchor_weights, rules.offset)
        answers[f"{batch.prefix}_rpn_targets_{image}"] = found
        chosen = np.concatenate([positive, negative])
        rows.append(image * len(anchors) + chosen)
        labels.append(of_anchors[chosen])
        targets.append(np.concatenate([found, np.zeros((len(negative), 4), np.float32)]))
    names = ("rows", "anchor_labels", "anchor_targets")
    return dict(zip(names, map(np.concatenate, (rows, labels, targets)), strict=True))


def _roi_samples(batch: _Batch, answers: Answers) -> Answers:
    """The sampled regions' labels and targets; these and the boxes go into the answers."""
    prefix, rules = batch.prefix, batch.settings.rules
    parts: dict[str, list] = {name: [] for name in ("labels", "boxes", "targets", "mask_targets", "soft")}
    background = _CLASSES if batch.family == "d2" else 0
    for image in batch.images:
        boxes, box_labels = batch.objects(image)
        regions = np.concatenate([batch.inputs[f"proposals_{image}"], boxes])
        labels, matched = label_regions(regions, boxes, box_labels, batch.settings)
        answers[f"{prefix}_roi_all_labels_{image}"] = labels
        chosen = np.concatenate(batch.chosen("roi", image))
        chosen = chosen if batch.family == "d2" else np.sort(chosen)
        positive = chosen[labels[chosen] != background]
        targets = np.zeros((len(chosen), 4), np.float32)
        own = encode(boxes[matched[positive]], regions[positive], rules.region_weights, rules.offset)
        targets[labels[chosen] != background] = own
        parts["labels"].append(labels[chosen])
        parts["boxes"].append(regions[chosen])
        parts["targets"].append(targets)
        soft = np.zeros((0, _MASK, _MASK), np.float32)
        if len(positive):
            masks = batch.inputs[f"gt_masks_{image}"]
            if batch.family != "mb":
                soft = pool_bitmap_targets(masks, matched[positive], regions[positive], _MASK, rules)
            if batch.family != "tv":
                polygons = _polygons(batch.inputs, image)
                drawn = draw_polygon_targets(
                    [polygons[k] for k in matched[positive]], regions[positive], batch.sizes(image), _MASK, rules
                )
        parts["soft"].append(soft)
        parts["mask_targets"].append(soft if batch.family == "tv" or not len(positive) else drawn.astype(np.float32))
    found = {name: np.concatenate(each) for name, each in parts.items()}
    positive = np.flatnonzero(found["labels"] != background)
    answers |= {
        f"{prefix}_roi_labels": found["labels"],
        f"{prefix}_roi_boxes": found["boxes"],
        f"{prefix}_roi_targets": found["targets"][positive],
        f"{prefix}_mask_targets": found["mask_targets"],
        f"{prefix}_bitmap_mask_soft": found["soft"],
    }
    used = {name: found[name] for name in ("labels", "targets", "mask_targets")}
    return used | {"positive": positive, "mask_labels": found["labels"][positive]}


def _polygons(inputs: Answers, image: int) -> list[list[np.ndarray]]:
    parts = np.split(inputs[f"poly_xy_{image}"], np.cumsum(inputs[f"poly_len_{image}"])[:-1])
    owners = inputs[f"poly_owner_{image}"]
    return [[part for part, owner in zip(parts, owners, strict=True) if owner == k] for k in range(owners.max() + 1)]


def _gradients(batch: _Batch, gradients: list[np.ndarray], rpn: Answers, roi: Answers, answers: Answers) -> None:
    """The gradients as the case stores them: where something was sampled, and the sums of all."""
    prefix = batch.prefix
    logits, deltas, classes, boxes, masks = gradients
    ends = np.cumsum([sum(map(len, batch.chosen("rpn", image))) for image in batch.images])
    for image, rows in zip(batch.images, np.split(rpn["rows"], ends[:-1]), strict=True):
        positives = len(batch.chosen("rpn", image)[0])
        answers[f"{prefix}_rpn_grad_logits_{image}"] = logits[rows] * _STORED
        answers[f"{prefix}_rpn_grad_deltas_{image}"] = deltas[rows[:positives]] * _STORED
    answers[f"{prefix}_roi_grad_logits"] = classes * _STORED
    by_class = boxes.reshape(len(boxes), -1, 4)
    answers[f"{prefix}_roi_grad_deltas"] = by_class[roi["positive"], roi["mask_labels"]] * _STORED
    answers[f"{prefix}_mask_grad"] = masks * _STORED
    shown = gradients[:4] if batch.empty else gradients
    answers[f"{prefix}_grad_abs"] = np.array([np.abs(each).sum() for each in shown])
