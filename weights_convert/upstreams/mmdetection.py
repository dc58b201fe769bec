"""mmdetection 2 and 3: a .pth with the state dict under `state_dict`, called NAME_DATE-DIGEST where it is published."""

import re
from collections.abc import Collection
from functools import partial

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_pth

_BACKBONES = {"backbone.conv1.weight", "backbone.patch_embed.projection.weight"}


# What mmdetection 2 called the parts of Mask2Former's layers; the pixel decoder's attention is the only one there.
_OLD_PART = re.compile(
    r"(?P<layer>panoptic_head\.(pixel_decoder\.enc|transformer_dec)oder\.layers\.\d+)\.(?P<part>attentions\.[01]|ffns\.0)\."
)


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are those of mmdetection, with its own Swin or a ResNet.

    Known are the two-stage detectors and Mask2Former.
    """
    has_head = any(name.startswith(("roi_head.", "panoptic_head.")) for name in names)
    return has_head and any(name in names for name in _BACKBONES)


def current_name(name: str) -> str:
    """The name that mmdetection 3 gives an array of mmdetection 2."""
    old = _OLD_PART.match(name)
    if old is None:
        return name
    is_cross = old["part"] == "attentions.0" and "pixel_decoder" not in old["layer"]
    part = "ffn" if old["part"] == "ffns.0" else "cross_attn" if is_cross else "self_attn"
    return f"{old['layer']}.{part}.{name[old.end() :]}"


UPSTREAM = state_dict_format(
    name="mmdetection",
    endings=(".pth",),
    licence="Apache-2.0 where published with mmdetection, else as its author says",
    recognises=recognises,
    save=partial(write_pth, entry="state_dict"),
    file_names=(r"(?P<model>.+?)(_bbox_mAP-[\d.]+__segm_mAP-[\d.]+)?_\d{8}(_\d{6})?-[0-9a-f]{8}",),
    # What its own tool takes out of a file before it is published: a running mean's copy of each weight, which has a
    # buffer's name, and the pixels' mean and deviation, which belong to the configuration.
    current_name=current_name,
    ignored=r"ema_\w+|data_preprocessor\..*",
)
