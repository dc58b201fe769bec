"""Makes Pose2Seg's prompts: the key points of an image's persons."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families.pose2seg.keypoint_results import KeypointResults
from common.families.pose2seg.keypoints_by_name import keypoints_by_name
from common.families.pose2seg.samples import make_prompt
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.prompts import Prompt, Prompts


def open_file(path: Path, settings: Pose2SegSettings) -> KeypointResults:
    """Opens a results file in COCO's format, with key points for the images of a data set."""
    return KeypointResults(path, settings.alignment.confidence)


def find_by_name(path: Path, names: Sequence[str], settings: Pose2SegSettings) -> Callable[[str], Prompt]:
    """Reads a file of results or annotations; returns a function that finds an image's prompt by one of `names`."""
    find = keypoints_by_name(path, names, settings.alignment.confidence)
    return lambda name: make_prompt(*find(name))


def check(keypoints: np.ndarray | None, settings: Pose2SegSettings) -> Prompt:
    """Makes the prompt of key points (K, 17, 3) x, y, visibility in the image's pixels; refuses others."""
    shape = None if keypoints is None else np.shape(keypoints)
    if shape is None or len(shape) != 3 or shape[1:] != (len(KEYPOINT_NAMES), 3):
        fault = "none are given" if shape is None else f"not {shape}"
        raise UserError(f"{settings.model} needs the persons' key points, (K, {len(KEYPOINT_NAMES)}, 3); {fault}")
    if not np.isfinite(keypoints).all():
        raise UserError(f"{settings.model}: key points must be finite numbers")
    return make_prompt(np.asarray(keypoints))


PROMPTS = Prompts(
    noun="key points",
    option="--keypoints",
    help={
        "evaluate": "Pose2Seg: persons by these key points (COCO results), not ROOT's",
        "predict": "Pose2Seg: persons' key points (COCO results or annotations)",
    },
    target="persons",
    annotated="the annotated key points",
    open_file=open_file,
    find_by_name=find_by_name,
    check=check,
)
