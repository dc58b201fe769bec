"""The half of Pose2Seg that is not network.

What depends on the key points alone is NumPy, many persons at once: alignment, skeletons, targets, masks in the image.
"""

from common.pose.affine import centred_resize, turned
from common.pose.alignment import Alignment, align, sampling_grid
from common.pose.inference import losses, person_features, predict, stages
from common.pose.loss import mask_loss
from common.pose.masks import mask_targets, paste, warp
from common.pose.persons import Persons, arrange
from common.pose.skeleton import CHANNELS, LIMBS, skeletons
from common.pose.templates import Templates, expand, load_templates

__all__ = [
    "CHANNELS",
    "LIMBS",
    "Alignment",
    "Persons",
    "Templates",
    "align",
    "arrange",
    "centred_resize",
    "expand",
    "load_templates",
    "losses",
    "mask_loss",
    "mask_targets",
    "paste",
    "person_features",
    "predict",
    "sampling_grid",
    "skeletons",
    "stages",
    "turned",
    "warp",
]
