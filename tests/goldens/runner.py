"""Holds this process's framework against the golden cases: one function a kind, and one rule for every answer.

A case of a kind that stands in no table here is a failure, not a skip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from tests.goldens import (
    data_kinds,
    golden,
    mask2former_kinds,
    mask2former_loss_kind,
    ms_deform_attn_kind,
    point_rend_kinds,
    pose_kinds,
    pose_network_kinds,
    rcnn_kinds,
    rcnn_loss_kind,
    results_kinds,
    roi_align_kind,
    swin_data_kinds,
    swin_kinds,
    yolact_kinds,
)

Answers = dict[str, np.ndarray]

# A kind is called with the case's folder, the framework's name, its device's, its array operations, an array to place
# others beside, and a folder to write in.
KINDS: dict[str, Callable[[Path, str, str, ModuleType, Array, Path], Answers]] = {
    "yolact_forward": yolact_kinds.forward,
    "yolact_detect": yolact_kinds.detect,
    "yolact_maskiou": yolact_kinds.detect,
    "yolact_loss": yolact_kinds.loss,
    "roi_align": roi_align_kind.roi_align,
    "ms_deform_attn": ms_deform_attn_kind.ms_deform_attn,
    "mask_rcnn_forward": rcnn_kinds.forward,
    "rpn_proposals": rcnn_kinds.proposals,
    "roi_heads_inference": rcnn_kinds.detections,
    "mask_paste": rcnn_kinds.pasted,
    "rcnn_losses": rcnn_loss_kind.losses,
    "point_rend_forward": point_rend_kinds.forward,
    "point_rend_loss": point_rend_kinds.loss,
    "swin_backbone": swin_kinds.backbone,
    "cascade_mask_rcnn_forward": swin_kinds.forward,
    "mask2former_forward": mask2former_kinds.forward,
    "mask2former_loss": mask2former_loss_kind.loss,
    "box_results": results_kinds.boxes,
    "pose2seg_align": pose_kinds.align,
    "pose2seg_skeleton": pose_kinds.skeleton,
    "pose2seg_forward": pose_network_kinds.forward,
    "pose2seg_loss": pose_network_kinds.loss,
    "yolact_augmentation": data_kinds.yolact_augmentation,
    "resized_sizes": data_kinds.resized_sizes,
    "swin_augmentation": swin_data_kinds.augmentation,
}

# NumPy, the contract's reference, has neither networks nor gradients.
_OF_NETWORKS = (
    "yolact_forward",
    "mask_rcnn_forward",
    "pose2seg_forward",
    "pose2seg_loss",
    "point_rend_forward",
    "point_rend_loss",
    "swin_backbone",
    "cascade_mask_rcnn_forward",
    "mask2former_forward",
)
# What is made before an array reaches a framework.
_OF_NUMPY_ALONE = ("yolact_augmentation", "swin_augmentation", "resized_sizes")
# Where a case's own tolerance is one that its reference does not keep.
_LOOSER = {"pose2seg_loss": pose_network_kinds.LOOSER}


@dataclass(frozen=True)
class Distance:
    """How far an answer is from the reference's, and how far it may be."""

    value: float
    tolerance: float

    @property
    def is_far(self) -> bool:
        return not self.value <= self.tolerance

    def __str__(self) -> str:
        return f"{self.value:.2e} {'>' if self.is_far else '<='} {self.tolerance:.2e}"


def concerns(case: Path, framework: str) -> bool:
    """Whether a case is one for this framework: NumPy has no networks, and what needs NumPy alone runs there alone."""
    kind = golden.manifest(case)["kind"]
    return kind not in (_OF_NETWORKS if framework == "numpy" else _OF_NUMPY_ALONE)


def hold(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> dict[str, Distance]:
    """The distance of every stored output of a case; raises AssertionError naming the outputs that are too far."""
    distances = measure(case, framework, device, xp, like, folder)
    far = [f"{name}: {each}" for name, each in distances.items() if each.is_far]
    assert not far, f"{case.name} in {framework}: " + "; ".join(far)
    return distances


def measure(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> dict[str, Distance]:
    """The distance of every stored output of a case, far or not."""
    manifest, reference = golden.manifest(case), golden.arrays(case)
    kind = manifest["kind"]
    assert kind in KINDS, f"{case.name}: no runner for the kind {kind}"
    answers = KINDS[kind](case, framework, device, xp, like, folder)
    distances = {}
    for name, output in manifest["outputs"].items():
        if framework == "numpy" and _is_gradient(name):
            continue
        assert name in answers, f"{case.name}: {name} was not answered"
        stored = reference[f"out.{name}"]
        bits_tolerance = 0.0 if manifest.get("mask_bits") == "no bit may differ" else 1e-3
        if name.endswith("mask_bits"):
            distance, tolerance = _bits_apart(answers[name], stored), bits_tolerance
        elif output["stored"].startswith("packed bits"):
            distance, tolerance = _bits_apart(golden.as_stored(answers[name], output), stored), bits_tolerance
        else:
            distance = golden.distance(golden.as_stored(answers[name], output), stored)
            tolerance = _LOOSER.get(kind, {}).get(name, manifest.get("tolerance", 1e-4))
        distances[name] = Distance(distance, tolerance)
    return distances


def _is_gradient(name: str) -> bool:
    return name.startswith("grad.") or "_grad" in name or ".grad_" in name


def _bits_apart(answer: np.ndarray, reference: np.ndarray) -> float:
    """The share of packed bits that differ."""
    assert answer.shape == reference.shape, f"shape {answer.shape}, the reference has {reference.shape}"
    return float(np.unpackbits(answer ^ reference).mean()) if reference.size else 0.0
