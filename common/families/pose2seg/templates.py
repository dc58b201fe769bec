"""Loads pose templates: the key points, in the unit square, of common poses."""

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
    """T pose templates of K key points.

    points: (T, K, 2) float64 x, y in the unit square, zeros for a missing point; has: (T, K) bool, False for those.
    """

    points: np.ndarray
    has: np.ndarray


def expand(clusters: np.ndarray, threshold: float) -> np.ndarray:
    """Expands clusters (C, K, 3) x, y, confidence to templates (2 C, K, 3).

    Points of a confidence below `threshold` become zeros. The clusters are followed by the same with left and right
    points exchanged, as in a person seen from behind.
    """
    kept = np.where(clusters[..., 2:] < threshold, 0, clusters)
    return np.concatenate([kept, kept[:, flip_order(KEYPOINT_NAMES)]])


def load_templates(path: str | Path | None = None) -> Templates:
    """Loads templates from a file of `make_templates` or the original's templates.json; by default, COCO's."""
    path = existing_file(COCO_TEMPLATES if path is None else path, "pose templates")
    try:
        content = json.loads(path.read_text())
        names, threshold = content["names"], float(content["vis_threshold"])
        clusters = np.array(content["templates"], np.float64).reshape(-1, len(names), 3)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a file of pose templates ({type(error).__name__}: {error})") from None
    if tuple(names) != KEYPOINT_NAMES:
        raise UserError(f"{path}: its key points are not COCO's 17, in COCO's order")
    if not len(clusters) or not np.isfinite(clusters).all():
        raise UserError(f"{path}: needs at least one template, of finite numbers")
    expanded = expand(clusters, threshold)
    return Templates(points=expanded[..., :2], has=expanded[..., 2] > 0)
