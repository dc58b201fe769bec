"""Turns the key points of a batch's persons into the arrays that the network takes."""

from dataclasses import dataclass

import numpy as np

from common.families.pose2seg import affine
from common.families.pose2seg.alignment import align, make_sampling_grid
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.skeletons import draw_skeletons
from common.families.pose2seg.templates import Templates


@dataclass
class Persons:
    """P aligned persons.

    templates: (P,) int64, each person's template, -1 for the plain resize; feature_matrices, mask_matrices: (P, 2, 3)
    float32, from the feature map and from the image to the aligned square; grid: (P, s, s, 2) float32, made by
    `make_sampling_grid`; skeletons: (P, 55, s, s) float32.
    """

    templates: np.ndarray
    feature_matrices: np.ndarray
    mask_matrices: np.ndarray
    grid: np.ndarray
    skeletons: np.ndarray


def arrange(
    keypoints: np.ndarray,
    input_matrices: np.ndarray,
    settings: Pose2SegSettings,
    templates: Templates,
    jitter: np.ndarray | None = None,
) -> Persons:
    """Aligns persons (P, 17, 3) x, y, visibility, given in their images' own pixels.

    input_matrices: (P, 2, 3), from each person's image to the network's input; jitter: (P, 2, 3), maps that move the
    aligned squares in training.
    """
    network, source = settings.network, settings.feature_size
    to_features = affine.compose(affine.scaling(source / settings.preprocessing.size), input_matrices)
    points = affine.transform(keypoints, to_features)
    alignment = align(points, templates, source, network.align_size)
    matrices = alignment.matrices.astype(np.float64)
    if jitter is not None:
        matrices = affine.compose(jitter, matrices)
    aligned = affine.transform(points, matrices)
    return Persons(
        templates=alignment.templates,
        feature_matrices=matrices.astype(np.float32),
        mask_matrices=affine.compose(matrices, to_features).astype(np.float32),
        grid=make_sampling_grid(matrices, source, network.align_size),
        skeletons=draw_skeletons(aligned, network.align_size, network.skeleton_sigma, network.limb_distance),
    )
