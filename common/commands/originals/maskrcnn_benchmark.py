"""The options of maskrcnn-benchmark's demo/webcam.py; those of its tools are our own, and its keys have a module."""

from common.commands.arguments import at_least
from common.commands.options import Also, Instead, Setting
from common.commands.originals import Original

_HEAT_MAPS = "heat maps come from Python: Predictor(...).montage(image) of X_impl.predictor, with masks_per_dim"

_PREDICT = (
    Also(("--confidence-threshold",), "--score-threshold"),
    Setting(("--min-image-size",), "preprocessing.short_side", at_least(1)),
    Instead(("--show-mask-heatmaps",), _HEAT_MAPS),
    Instead(("--masks-per-dim",), _HEAT_MAPS),
)

ORIGINAL = Original("maskrcnn-benchmark", {"predict": _PREDICT})
