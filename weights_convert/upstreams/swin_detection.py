"""Swin-Transformer-Object-Detection: a .pth with the state dict of mmdetection 2.11 under `state_dict`."""

from collections.abc import Collection

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_mmdetection


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are those of a detector of mmdetection with the original's Swin."""
    return any(name.startswith("roi_head.") for name in names) and "backbone.patch_embed.proj.weight" in names


UPSTREAM = state_dict_format(
    name="swin_detection",
    endings=(".pth",),
    licence="Apache-2.0 code; the published weights as their authors say",
    recognises=recognises,
    save=write_mmdetection,
    saves_classes=True,
    # The short schedule is told; those that started from MoBY's weights differ in nothing else.
    file_names=(r"(moby_)?(?P<model>(cascade_)?mask_rcnn_swin_(tiny|small|base)_patch4_window7(_1x)?)(_3x)?",),
)
