"""Pose templates: what persons usually look like, as key points in the unit square."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.figures import KEYPOINT_NAMES, flip_order
from common.errors import UserError
from common.files import existing_file

COCO_TEMPLATES = Path(__file__).with_name("coco_templates.json")


@dataclass(frozen=True)
class Templates:
    """points: (T, K, 2) float64 in the unit square, zeros where a template lacks one; has: (T, K) bool."""

    points: np.ndarray
    has: np.ndarray


def expand(clusters: np.ndarray, threshold: float) -> np.ndarray:
    """The templates that clusters (C, K, 3) x, y, confidence stand for: (2 C, K, 3).

    Points of a confidence under `threshold` become zeros. Behind the clusters come the same with left and right points
    exchanged: a person seen from behind.
    """
    kept = np.where(clusters[..., 2:] < threshold, 0, clusters)
    return np.concatenate([kept, kept[:, flip_order(KEYPOINT_NAMES)]])


def load_templates(path: str | Path | None = None) -> Templates:
    """From a file of `make_templates`, or the original's templates.json; COCO's without one."""
    path = existing_file(COCO_TEMPLATES if path is None else path, "pose templates")
    try:
        whole = json.loads(path.read_text())
        names, threshold = whole["names"], float(whole["vis_threshold"])
        clusters = np.array(whole["templates"], np.float64).reshape(-1, len(names), 3)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a file of pose templates ({type(error).__name__}: {error})") from None
    if tuple(names) != KEYPOINT_NAMES:
        raise UserError(f"{path}: its key points are not COCO's 17, in COCO's order")
    if not len(clusters) or not np.isfinite(clusters).all():
        raise UserError(f"{path}: needs at least one template, of finite numbers")
    whole = expand(clusters, threshold)
    return Templates(points=whole[..., :2], has=whole[..., 2] > 0)
