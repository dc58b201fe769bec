"""Holds this process's framework against the golden cases: one function a kind, and one rule for every answer.

A case of a kind that stands in no table here is a failure, not a skip.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from tests.goldens import (
    golden,
    pose_kinds,
    pose_network_kinds,
    rcnn_kinds,
    rcnn_loss_kind,
    results_kinds,
    roi_align_kind,
    yolact_kinds,
)

Answers = dict[str, np.ndarray]

# A kind is called with the case's folder, the framework's name, its array operations, an array to place others beside,
# and a folder to write in.
KINDS: dict[str, Callable[[Path, str, ModuleType, Array, Path], Answers]] = {
    "yolact_forward": yolact_kinds.forward,
    "yolact_detect": yolact_kinds.detect,
    "yolact_maskiou": yolact_kinds.detect,
    "yolact_loss": yolact_kinds.loss,
    "roi_align": roi_align_kind.roi_align,
    "mask_rcnn_forward": rcnn_kinds.forward,
    "rpn_proposals": rcnn_kinds.proposals,
    "roi_heads_inference": rcnn_kinds.detections,
    "mask_paste": rcnn_kinds.pasted,
    "rcnn_losses": rcnn_loss_kind.losses,
    "box_results": results_kinds.boxes,
    "pose2seg_align": pose_kinds.align,
    "pose2seg_skeleton": pose_kinds.skeleton,
    "pose2seg_forward": pose_network_kinds.forward,
    "pose2seg_loss": pose_network_kinds.loss,
}

# NumPy, the contract's reference, has neither networks nor gradients.
_OF_NETWORKS = ("yolact_forward", "mask_rcnn_forward", "pose2seg_forward", "pose2seg_loss")
# Where a case's own tolerance is one that its reference does not keep.
_LOOSER = {"pose2seg_loss": pose_network_kinds.LOOSER}


def concerns(case: Path, framework: str) -> bool:
    """Whether a case is one for this framework: all are, but for NumPy those of a network."""
    return framework != "numpy" or golden.manifest(case)["kind"] not in _OF_NETWORKS


def hold(case: Path, framework: str, xp: ModuleType, like: Array, folder: Path) -> dict[str, float]:
    """The distance of every stored output of a case; raises AssertionError naming the outputs that are too far."""
    manifest, reference = golden.manifest(case), golden.arrays(case)
    kind = manifest["kind"]
    assert kind in KINDS, f"{case.name}: no runner for the kind {kind}"
    answers = KINDS[kind](case, framework, xp, like, folder)
    distances, far = {}, []
    for name, output in manifest["outputs"].items():
        if framework == "numpy" and _is_gradient(name):
            continue
        assert name in answers, f"{case.name}: {name} was not answered"
        stored = reference[f"out.{name}"]
        if name.endswith("mask_bits"):
            distance, tolerance = _bits_apart(answers[name], stored), 1e-3
        elif output["stored"].startswith("packed bits"):
            distance, tolerance = _bits_apart(golden.as_stored(answers[name], output), stored), 1e-3
        else:
            distance = golden.distance(golden.as_stored(answers[name], output), stored)
            tolerance = _LOOSER.get(kind, {}).get(name, manifest.get("tolerance", 1e-4))
        distances[name] = distance
        if not distance <= tolerance:
            far.append(f"{name}: {distance:.2e} > {tolerance:.2e}")
    assert not far, f"{case.name} in {framework}: " + "; ".join(far)
    return distances


def _is_gradient(name: str) -> bool:
    return name.startswith("grad.") or "_grad" in name


def _bits_apart(answer: np.ndarray, reference: np.ndarray) -> float:
    """The share of packed bits that differ."""
    assert answer.shape == reference.shape, f"shape {answer.shape}, the reference has {reference.shape}"
    return float(np.unpackbits(answer ^ reference).mean()) if reference.size else 0.0
