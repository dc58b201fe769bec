"""The kinds of the two-stage models: the network through the wing's trace command, and what is between its parts."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.box_coder import decode
from common.commands import trace
from common.families.mask_rcnn.detection import detect, to_original
from common.families.mask_rcnn.geometry import make_anchors
from common.families.mask_rcnn.masks import paste, paste_binary
from common.families.mask_rcnn.proposals import Proposals, flatten_by_anchor, propose
from common.families.mask_rcnn.settings import MaskRcnnSettings, ProposalLimits
from common.models import load_settings
from tests.frameworks import wing_of
from tests.goldens import golden
from weights_convert.writers import write_pth

Answers = dict[str, np.ndarray]

VARIANTS = {
    "mb": "mask_rcnn_r50_fpn",
    "tv": "mask_rcnn_r50_fpn_torchvision",
    "d2": "mask_rcnn_r50_fpn_detectron2",
}
# The settings of the references, under their own names, that a case may change.
_SETTINGS = {
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": "rpn.inference.before_nms",
    "MODEL.RPN.POST_NMS_TOP_N_TEST": "rpn.inference.after_nms",
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": "rpn.inference.total",
    "MODEL.RPN.PRE_NMS_TOPK_TEST": "rpn.inference.before_nms",
    "MODEL.RPN.POST_NMS_TOPK_TEST": "rpn.inference.total",
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": "detection.max_detections",
    "TEST.DETECTIONS_PER_IMAGE": "detection.max_detections",
    "rpn_pre_nms_top_n_test": "rpn.inference.before_nms",
    "rpn_post_nms_top_n_test": "rpn.inference.total",
    "box_detections_per_img": "detection.max_detections",
}
# Larger than any box.
_NOTHING = 1e6


def forward(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The checkpoint as the original wrote it, through the converter and the wing's trace command."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    image = manifest["inputs"]["image"]
    rois = np.pad(arrays["in.rois"], ((0, 0), (1, 0)))
    inputs, weights, outputs = folder / "inputs.npz", folder / "weights.pth", folder / "outputs.npz"
    np.savez(
        inputs,
        image=golden.image(image["seed"], image["shape"]),
        rois=rois,
        image_size=arrays["in.image_size"],
    )
    write_pth(weights, golden.checkpoint(case))
    arguments = [manifest["model"], "--weights", weights, "--inputs", inputs, "--outputs", outputs, "--device", device]
    changed = [f"{_SETTINGS[name]}={value}" for name, value in manifest["reference"]["settings"].items()]
    trace.main(wing_of(framework), [*map(str, arguments), *changed])
    return dict(np.load(outputs))


def proposals(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The three families' proposals in the case's several settings, on a pyramid and on one map."""
    given, arrays = golden.manifest(case)["reference"]["settings"], golden.arrays(case)
    inputs = {name.removeprefix("in."): value for name, value in arrays.items() if name.startswith("in.")}
    answers = {}
    for prefix, variant in VARIANTS.items():
        settings = load_settings(variant)
        after = given["mb_post"] if prefix == "mb" else None
        limits = ProposalLimits(before_nms=given["pre"], after_nms=after, total=given["post"])
        runs = {"test": ({}, limits), "min": ({"smallest_side": given["min_size"]}, limits)}
        runs["none"] = ({"score_threshold": 1.0} if prefix == "tv" else {"smallest_side": _NOTHING}, limits)
        if prefix == "tv":
            runs["score"] = ({"score_threshold": given["tv_score"]}, limits)
        if prefix == "mb":
            runs["train"] = ({}, limits.model_copy(update={"over_batch": True}))
            runs["train_per_image"] = ({}, limits)
        maps = [(inputs[f"logits_l{level}"], inputs[f"deltas_l{level}"]) for level in range(5)]
        for run, (changes, chosen) in runs.items():
            changed = _with_rpn(settings, changes)
            found = _propose(maps, changed, chosen, inputs, given["padded"], xp, like)
            for image, each in enumerate(found):
                boxes, scores = each.boxes, each.scores
                if run.startswith("train"):  # the original appends the objects
                    objects = inputs[f"gt_boxes_{image}"]
                    boxes, scores = np.concatenate([boxes, objects]), np.concatenate([scores, np.ones(len(objects))])
                answers |= {f"{prefix}_{run}_boxes_{image}": boxes, f"{prefix}_{run}_scores_{image}": scores}
        answers[f"{prefix}_anchors"] = np.concatenate(_anchors(maps, settings, given["padded"]))
        if prefix == "tv":
            answers["tv_decoded"] = _decoded(maps, settings, given["padded"], xp, like)
            continue
        settings = _with_rpn(load_settings("mask_rcnn_r50_c4"), {}, convention=settings.convention)
        limits = ProposalLimits(before_nms=given["c4_pre"], total=given["c4_post"])
        maps = [(inputs["logits_c4"], inputs["deltas_c4"])]
        (found,) = _propose(maps, settings, limits, inputs, given["padded"], xp, like)
        answers |= {f"{prefix}_c4_boxes_0": found.boxes, f"{prefix}_c4_scores_0": found.scores}
        answers[f"{prefix}_c4_anchors"] = np.concatenate(_anchors(maps, settings, given["padded"]))
    return answers


def detections(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The three families' detections, all of them and the best few."""
    given, arrays = golden.manifest(case)["reference"]["settings"], golden.arrays(case)
    sizes, originals = (
        [tuple(map(int, size)) for size in arrays[f"in.{kind}_sizes"]] for kind in ("image", "original")
    )
    counts = arrays["in.counts"].tolist()
    answers = {}
    for prefix, variant in VARIANTS.items():
        logits, deltas = arrays["in.class_logits"], arrays["in.box_deltas"]
        if prefix == "d2":
            logits, deltas = np.roll(logits, -1, axis=1), deltas[:, 4:]
        outputs = [xp.asarray(x, like) for x in (logits, deltas, arrays["in.proposals"])]
        base = load_settings(variant).model_copy(update={"num_classes": logits.shape[1] - 1})
        for run, most in (("", given["detections"]), ("top_", given["top"])):
            detection = {"score_threshold": given["score"], "iou_threshold": given["nms"], "max_detections": most}
            settings = base.model_copy(update={"detection": base.detection.model_copy(update=detection)})
            for image, found in enumerate(detect(*outputs, counts, sizes, settings)):
                name = f"{prefix}_{run}"
                answers |= {f"{name}boxes_{image}": found.boxes, f"{name}scores_{image}": found.scores}
                answers |= {f"{name}labels_{image}": found.labels, f"{name}rows_{image}": found.rows}
                shown = to_original(found, sizes[image], originals[image], settings)
                answers |= {f"{name}resized_{image}": shown.boxes, f"{name}resized_labels_{image}": shown.labels}
        decoded = xp.to_numpy(decode(outputs[1], outputs[2], base.rules.region_weights, base.rules.offset))
        answers[f"{prefix}_decoded"] = decoded.reshape(len(decoded), -1, 4) if prefix == "tv" else decoded
    return answers


def pasted(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The three families' masks in the image."""
    arrays = golden.arrays(case)
    size = tuple(map(int, arrays["in.image_size"]))
    answers = {}
    for prefix, variant in VARIANTS.items():
        given = (arrays["in.masks"], arrays["in.boxes"], size, load_settings(variant).rules)
        soft, binary = paste(*given), paste_binary(*given)
        runs = [_runs(mask) for mask in binary]
        answers |= {f"{prefix}_soft": soft, f"{prefix}_areas": binary.sum(axis=(1, 2))}
        answers |= {f"{prefix}_counts": np.concatenate(runs), f"{prefix}_lengths": np.array([len(x) for x in runs])}
    return answers


def _runs(mask: np.ndarray) -> np.ndarray:
    """COCO's uncompressed counts: run lengths column by column, beginning with the zeros."""
    flat = np.concatenate([[False], mask.T.reshape(-1)])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]]))


def _with_rpn(settings: MaskRcnnSettings, changes: dict, **others: object) -> MaskRcnnSettings:
    return settings.model_copy(update={"rpn": settings.rpn.model_copy(update=changes), **others})


def _anchors(maps: list, settings: MaskRcnnSettings, padded: list[int]) -> list[np.ndarray]:
    return make_anchors(settings, tuple(padded), [logits.shape[2:] for logits, _ in maps])


def _propose(
    maps: list,
    settings: MaskRcnnSettings,
    limits: ProposalLimits,
    inputs: Answers,
    padded: list[int],
    xp: ModuleType,
    like: Array,
) -> list[Proposals]:
    logits, deltas = ([xp.asarray(each, like) for each in kind] for kind in zip(*maps, strict=True))
    sizes = [tuple(map(int, size)) for size in inputs["image_sizes"][: len(maps[0][0])]]
    anchors = _anchors(maps, settings, padded)
    return propose(logits, deltas, anchors, sizes, settings.rules, settings.rpn, limits)


def _decoded(maps: list, settings: MaskRcnnSettings, padded: list[int], xp: ModuleType, like: Array) -> np.ndarray:
    """Every anchor's box, before any choice: (N, P, 4)"""
    flat = [flatten_by_anchor(xp.asarray(logits, like), xp.asarray(deltas, like))[1] for logits, deltas in maps]
    anchors = xp.asarray(np.concatenate(_anchors(maps, settings, padded)), like)
    deltas = xp.concatenate(flat, axis=1)
    return np.stack([xp.to_numpy(decode(deltas[n], anchors, (1.0, 1.0, 1.0, 1.0))) for n in range(deltas.shape[0])])
