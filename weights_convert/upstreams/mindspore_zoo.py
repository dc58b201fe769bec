"""MindSpore's model zoo (mindspore-ai/models): a .ckpt of the network and perhaps of the optimizer."""

import re

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_mindspore

_OLD_PARTS = {
    "down_sample_layer.0.": "conv_down_sample.",
    "down_sample_layer.1.": "bn_down_sample.",
    # The convolution is registered under two names, and releases of MindSpore save it under one or the other.
    "mask_coarse_head.conv_seq.0.": "mask_coarse_head.reduce_spatial_dim_conv.",
}
# The other levels' heads of proposals repeat the first one's.
_REPEATED = r"rpn_with_loss\.rpn_convs_list\.[1-4]\..*"
_OPTIMIZER = r"(moments|accum)\..*|learning_rate|momentum|global_step|epoch_num|step_num"


def current_name(name: str) -> str:
    """The name that the zoo's own networks have for an array of an older file."""
    return re.sub("|".join(map(re.escape, _OLD_PARTS)), lambda match: _OLD_PARTS[match[0]], name)


UPSTREAM = state_dict_format(
    name="mindspore_zoo",
    endings=(".ckpt",),
    licence="Apache-2.0 where published in MindSpore's model zoo, else as its author says",
    recognises=lambda names: any(name.startswith("fpn_ncek.") for name in names),
    save=write_mindspore,
    ignored=f"{_REPEATED}|{_OPTIMIZER}",
    current_name=current_name,
)
