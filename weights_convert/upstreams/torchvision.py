"""torchvision: plain state dicts, called NAME_coco-DIGEST, whose older releases have other names for some layers."""

import re
from collections.abc import Collection

from weights_convert.formats import state_dict_format

_MASK_CONVOLUTION = re.compile(r"roi_heads\.mask_head\.mask_fcn(?P<number>[1-4])\.")
_BARE_CONVOLUTION = re.compile(
    r"(?P<layer>backbone\.fpn\.(?:inner|layer)_blocks\.\d|rpn\.head\.conv)\.(?P<leaf>weight|bias)"
)


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are those of one of torchvision's R-CNNs."""
    has_box_head = any(name.startswith("roi_heads.box_") for name in names)
    return has_box_head and any(name.startswith("rpn.") for name in names)


def current_name(name: str) -> str:
    """The name that an array has in torchvision today; the published weights have those of older releases."""
    if mask := _MASK_CONVOLUTION.match(name):
        return f"roi_heads.mask_head.{int(mask['number']) - 1}.0.{name[mask.end() :]}"
    if bare := _BARE_CONVOLUTION.fullmatch(name):
        inner = "0.0" if bare["layer"].startswith("rpn.") else "0"
        return f"{bare['layer']}.{inner}.{bare['leaf']}"
    return name


UPSTREAM = state_dict_format(
    name="torchvision",
    endings=(".pth",),
    licence="BSD 3-Clause where published with torchvision, else as its author says",
    recognises=recognises,
    file_names=(r"(?P<model>.+?)(_coco)?-[0-9a-f]{8}",),
    ignored=r"backbone\.body\.(.*\.)?(bn\d|downsample\.1)\.num_batches_tracked",
    current_name=current_name,
)
