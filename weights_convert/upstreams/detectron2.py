"""detectron2: a .pth with the state dict under `model`, or a .pkl of NumPy arrays as its model zoo has them."""

import re

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_detectron2

# PointRend's two heads had other names in its first release.
_OLD_HEAD = re.compile(r"roi_heads\.mask_(?P<head>coarse|point)_head\.(coarse_mask_(?=fc\d))?")


def current_name(name: str) -> str:
    """The name that detectron2's own loader gives an array of an older file."""
    return _OLD_HEAD.sub(r"roi_heads.mask_head.\g<head>_head.", name)


UPSTREAM = state_dict_format(
    name="detectron2",
    endings=(".pth", ".pkl"),
    licence="CC BY-SA 3.0 where published in detectron2's model zoo, else as its author says",
    recognises=lambda names: any(name.startswith("proposal_generator.") for name in names),
    save=write_detectron2,
    file_names=(r"model_(?P<iteration>\d{7})",),
    ignored=r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+"
    r"|backbone\.bottom_up\..*\.norm\.num_batches_tracked",
    current_name=current_name,
)
