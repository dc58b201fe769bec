"""maskrcnn-benchmark: a state dict under `model`, beside what its trainer saves along."""

from functools import partial

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_pth

UPSTREAM = state_dict_format(
    name="maskrcnn_benchmark",
    endings=(".pth",),
    licence="MIT where published with maskrcnn-benchmark, else as its author says",
    recognises=lambda names: any(name.startswith("roi_heads.box.") for name in names),
    save=partial(write_pth, entry="model"),
    file_names=(r"model_(?P<iteration>\d{7})",),
)
