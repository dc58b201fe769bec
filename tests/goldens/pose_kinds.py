"""The kinds of Pose2Seg that no network takes part in: alignment to a pose template, and skeletons."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.families.pose2seg import alignment
from common.families.pose2seg.alignment import make_sampling_grid
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.skeletons import draw_skeletons
from common.families.pose2seg.templates import Templates, expand
from common.models import load_settings
from tests.goldens import golden

Answers = dict[str, np.ndarray]

# Of a file of templates: a point of less confidence is none.
_THRESHOLD = 0.4


def align(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each person's template and matrix, and the features sampled by the framework.

    The features are sampled with the reference's own matrices. Those come from a least-squares solution in float32 that
    is off by up to 2e-4 cells (and moves by more from one release of OpenCV to the next), which features of white noise
    turn into more than the case allows; the matrices themselves are compared beside it.
    """
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    settings = _settings(manifest)
    expanded = expand(arrays["in.templates"].astype(np.float64), _THRESHOLD)
    templates = Templates(points=expanded[..., :2], has=expanded[..., 2] > 0)
    source, target = settings.feature_size, settings.network.align_size
    found = alignment.align(arrays["in.keypoints"], templates, source, target)
    features = manifest["inputs"]["features"]
    features = golden.image(features["seed"], features["shape"])[arrays["in.image_index"]]
    grid = make_sampling_grid(arrays["out.matrices"], source, target)
    rois = xp.grid_sample(xp.asarray(features, like), xp.asarray(grid, like), align_corners=True)
    return {
        "templates_expanded": expanded,
        "matrices": found.matrices,
        "scores": found.scores,
        "templates": found.templates,
        "rois": xp.to_numpy(rois),
    }


def skeleton(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each person's 55 maps."""
    network = _settings(golden.manifest(case)).network
    keypoints = golden.arrays(case)["in.keypoints"]
    maps = draw_skeletons(keypoints, network.align_size, network.skeleton_sigma, network.limb_distance)
    return {f"skeleton.{person}": each for person, each in enumerate(maps)}


def _settings(manifest: dict) -> Pose2SegSettings:
    return load_settings(manifest["model"])
