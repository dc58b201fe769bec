"""The kinds of YOLACT: the network through the wing's own commands, detection and losses on the array contract."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.commands import trace
from common.families.yolact.detection import Detections, postprocess, select
from common.families.yolact.geometry import Geometry
from common.families.yolact.losses import compute_losses
from common.families.yolact.settings import YolactSettings
from common.families.yolact.targets import collate, make_targets, match_priors
from common.models import load_settings
from tests.frameworks import wing_of
from tests.goldens import golden
from weights_convert.writers import write_pth

Answers = dict[str, np.ndarray]


def forward(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The checkpoint as the original wrote it, through the converter and the wing's trace command."""
    manifest = golden.manifest(case)
    image = manifest["inputs"]["image"]
    np.savez(folder / "inputs.npz", image=golden.image(image["seed"], image["shape"]))
    weights, inputs, outputs = _checkpoint(case, folder), folder / "inputs.npz", folder / "outputs.npz"
    arguments = [manifest["model"], "--weights", weights, "--inputs", inputs, "--outputs", outputs, "--device", device]
    trace.main(wing_of(framework), list(map(str, arguments)))
    return dict(np.load(outputs))


def detect(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Suppression and masks, in each of the case's settings; with a mask IoU net where the case has weights for it."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    settings = load_settings(manifest["model"])
    net = mask_iou_net(case, framework, device, settings) if manifest.get("keys") else None
    prototypes = _squeezed(arrays["in.proto"], 3)
    if "repeated 3 times" in manifest["inputs"]["proto"]:
        prototypes = prototypes.repeat(3, axis=0).repeat(3, axis=1)
    answers = {}
    for name, run in manifest["cases"].items():
        conf = _confidences(run["conf"], arrays["in.conf"])
        inputs = [xp.asarray(_squeezed(x), like) for x in (arrays["in.loc"], conf, arrays["in.mask"])]
        rules = _rules(settings, manifest["settings"], run)
        found = select(*inputs, arrays["in.priors"], rules)
        found = _ties_as_in(found, arrays.get(f"out.{name}.class"))
        size = (manifest["settings"]["image_height"], manifest["settings"]["image_width"])
        shown = postprocess(found, xp.asarray(prototypes, like), size, run["score_threshold"], net)
        answers |= {
            f"{name}.box": found.boxes,
            f"{name}.score": found.scores,
            f"{name}.class": found.labels,
            f"{name}.mask": found.coefficients,
            f"{name}.post.class": shown.labels,
            f"{name}.post.score": shown.scores,
            # The reference answers with an empty list, of no shape, where nothing is left.
            f"{name}.post.box": shown.boxes if len(shown) else np.zeros(0),
            f"{name}.post.mask_bits": np.packbits(shown.masks.reshape(len(shown), -1), axis=1)
            if len(shown)
            else np.zeros((0, 0), np.uint8),
        }
        if net is not None:
            answers[f"{name}.post.mask_score"] = shown.mask_scores
    return answers


def loss(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The terms, the gradients of their sum, and the matching that they stand on."""
    given = loss_case(case)
    net = mask_iou_net(case, framework, device, given.settings) if golden.manifest(case).get("keys") else None
    batch = {name: xp.asarray(value, like) for name, value in collate(given.samples).items()}

    def terms(*values: Array) -> dict[str, Array]:
        return compute_losses(dict(zip(given.outputs, values, strict=True)), batch, given.settings, net)

    values = [xp.asarray(value, like) for value in given.outputs.values()]
    answers = {f"loss.{name}": xp.to_numpy(value).reshape(()) for name, value in terms(*values).items()}
    if framework != "numpy":
        _, gradients = xp.value_and_grad(lambda *values: sum(terms(*values).values()), *values)
        answers |= {f"grad.{name}": xp.to_numpy(x) for name, x in zip(given.outputs, gradients, strict=True)}
    for name, parts in zip(("loc", "conf", "idx"), zip(*given.matches, strict=True), strict=True):
        answers[f"match.{name}"] = np.stack(parts)
    return answers


@dataclass
class LossCase:
    settings: YolactSettings
    outputs: dict[str, np.ndarray]  # the network's
    samples: list[dict[str, np.ndarray]]  # each image's targets
    matches: list[
        tuple[np.ndarray, np.ndarray, np.ndarray]
    ]  # each image's, as common.families.yolact.targets.match_priors gives them


def loss_case(case: Path) -> LossCase:
    """What the losses of a case are computed from."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    settings = load_settings(manifest["model"])
    outputs = {name: _crafted(manifest["inputs"][name]) for name in ("loc", "conf", "mask", "proto", "segm")}
    geometry = Geometry(arrays["in.priors"], outputs["proto"].shape[1:3], outputs["segm"].shape[2:])
    samples, matches = [], []
    for index in range(len(outputs["loc"])):
        objects = arrays[f"in.targets.{index}"]
        crowd = np.arange(len(objects)) >= len(objects) - int(arrays["in.num_crowds"][index])
        masks = np.unpackbits(arrays[f"in.masks.{index}"], axis=1)[:, : 138 * 138].reshape(-1, 138, 138)
        boxes, labels = objects[:, :4], objects[:, 4].astype(np.int64)
        rng = np.random.default_rng(0)  # no image has so many positives that it would be drawn from
        samples.append(make_targets(boxes, labels, crowd, masks, settings, rng, geometry))
        matches.append(match_priors(boxes[~crowd], labels[~crowd], boxes[crowd], geometry.priors, settings.losses))
    return LossCase(settings, outputs, samples, matches)


def _checkpoint(case: Path, folder: Path) -> Path:
    """The case's weights as a file in the original's format, under the original's kind of name."""
    path = folder / f"{golden.manifest(case)['model']}_1_100.pth"
    write_pth(path, golden.checkpoint(case))
    return path


def mask_iou_net(case: Path, framework: str, device: str, settings: YolactSettings) -> Callable[[Array], Array]:
    """The network's mask IoU part with the case's weights; the case holds no others, so the rest are zeros."""
    given = golden.checkpoint(case)
    if framework == "numpy":
        return partial(_numpy_mask_iou, list(given.values()))
    learner = wing_of(framework).load_learner()(settings, device)
    weights = {name: np.zeros(shape, np.float32) for name, shape in learner.shapes().items()}
    for key, value in given.items():
        _, position, leaf = key.removeprefix("maskiou_net.").split(".")
        weights[f"mask_iou_net.conv{int(position) // 2 + 1}.{leaf}"] = value
    learner.load_weights(weights)
    return learner.network.mask_iou_net


def _numpy_mask_iou(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """(N, 1, h, w) -> (N, C): 3x3 convolutions of stride 2 and a 1x1, each with ReLU, then the maximum."""
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        size = weight.shape[2]
        step = 2 if size == 3 else 1
        patches = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::step, ::step]
        x = np.maximum(np.einsum("nchwij,ocij->nohw", patches, weight, optimize=True) + bias[:, None, None], 0)
    return x.max(axis=(2, 3))


def _rules(settings: YolactSettings, given: dict, run: dict) -> YolactSettings:
    detection = settings.detection.model_copy(
        update={
            "score_threshold": given["conf_thresh"],
            "iou_threshold": given["nms_thresh"],
            "top_k": given["top_k"],
            "max_detections": given["max_num_detections"],
            "nms": "cross_class" if run["cross_class_nms"] else "fast",
        }
    )
    return settings.model_copy(update={"detection": detection})


def _confidences(rule: str, conf: np.ndarray) -> np.ndarray:
    if rule == "in.conf":
        return conf
    changed = np.zeros_like(conf)
    changed[..., 0] = 1
    if rule.startswith("one detection"):
        changed[..., 137, :] = 0
        changed[..., 137, 0], changed[..., 137, 5] = 0.3, 0.7
    else:
        assert rule == "background 1 everywhere", rule
    return changed


def _ties_as_in(found: Detections, labels: np.ndarray | None) -> Detections:
    """Equal scores in the order of the reference's labels: the original sorts them in no order of its own."""
    if labels is None or len(labels) != len(found.labels):
        return found
    mine, theirs = np.lexsort((found.labels, -found.scores)), np.lexsort((labels, -found.scores))
    order = np.empty_like(mine)
    order[theirs] = mine
    return Detections(found.boxes[order], found.scores[order], found.labels[order], found.coefficients[order])


def _crafted(entry: dict) -> np.ndarray:
    values = golden.image(entry["seed"], entry["shape"])
    rule = entry.get("then", "x")
    if rule == "x, with 2 added to class 0":
        values[..., 0] += 2
        return values
    rules = {"x": values, "0.6 * x": np.float32(0.6) * values, "tanh(x)": np.tanh(values), "max(0, x)": values.clip(0)}
    return rules[rule]


def _squeezed(values: np.ndarray, axes: int = 2) -> np.ndarray:
    """Without the axis of the one image, where the case keeps it."""
    return values[0] if values.ndim > axes else values
