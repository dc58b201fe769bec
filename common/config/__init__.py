"""Typed settings: one YAML file a model variant, the same for the three frameworks.

A file may name another as its `base` and give only what differs. Overrides from the command line are `key.path=value`.
"""

from common.config.loading import CONFIG_FOLDER, Settings, load_settings, model_names, settings_from
from common.config.mask_rcnn import (
    MaskRcnnNetwork,
    MaskRcnnSettings,
    ProposalLimits,
    RcnnAugmentation,
    RcnnDetection,
    RcnnLosses,
    RcnnPreprocessing,
    RpnSettings,
)
from common.config.numerics import numerics
from common.config.pose2seg import (
    FEATURE_STRIDE,
    SKELETON_CHANNELS,
    Pose2SegDetection,
    Pose2SegNetwork,
    Pose2SegSettings,
    PoseAlignment,
    PoseAugmentation,
)
from common.config.sections import DarknetSettings, Preprocessing, ResNetSettings, Schedule
from common.config.yolact import (
    SMALLEST_FOR_MASK_IOU,
    YolactAugmentation,
    YolactDetection,
    YolactLosses,
    YolactNetwork,
    YolactSettings,
)

__all__ = [
    "CONFIG_FOLDER",
    "FEATURE_STRIDE",
    "SKELETON_CHANNELS",
    "SMALLEST_FOR_MASK_IOU",
    "DarknetSettings",
    "MaskRcnnNetwork",
    "MaskRcnnSettings",
    "Pose2SegDetection",
    "Pose2SegNetwork",
    "Pose2SegSettings",
    "PoseAlignment",
    "PoseAugmentation",
    "Preprocessing",
    "ProposalLimits",
    "RcnnAugmentation",
    "RcnnDetection",
    "RcnnLosses",
    "RcnnPreprocessing",
    "ResNetSettings",
    "RpnSettings",
    "Schedule",
    "Settings",
    "YolactAugmentation",
    "YolactDetection",
    "YolactLosses",
    "YolactNetwork",
    "YolactSettings",
    "load_settings",
    "model_names",
    "numerics",
    "settings_from",
]
