"""mmdetection 2 and 3: a .pth with the state dict under `state_dict`, called NAME_DATE-DIGEST where it is published."""

from collections.abc import Collection

from weights_convert.formats import state_dict_format
from weights_convert.mmdetection_names import current_name
from weights_convert.writers import write_mmdetection

_BACKBONES = {"backbone.conv1.weight", "backbone.patch_embed.projection.weight"}


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are those of mmdetection, with its own Swin or a ResNet.

    Known are the two-stage detectors and Mask2Former.
    """
    has_head = any(name.startswith(("roi_head.", "panoptic_head.")) for name in names)
    return has_head and any(name in names for name in _BACKBONES)


UPSTREAM = state_dict_format(
    name="mmdetection",
    endings=(".pth",),
    licence="Apache-2.0 where published with mmdetection, else as its author says",
    recognises=recognises,
    save=write_mmdetection,
    saves_classes=True,
    file_names=(r"(?P<model>.+?)(_bbox_mAP-[\d.]+__segm_mAP-[\d.]+)?_\d{8}(_\d{6})?-[0-9a-f]{8}",),
    # What its own tool takes out of a file before it is published: a running mean's copy of each weight, which has a
    # buffer's name, and the pixels' mean and deviation, which belong to the configuration.
    current_name=current_name,
    ignored=r"ema_\w+|data_preprocessor\..*",
)
