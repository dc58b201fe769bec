"""dbolya/yolact: plain state dicts, called NAME_EPOCH_ITERATION."""

from weights_convert.formats import state_dict_format

UPSTREAM = state_dict_format(
    name="yolact",
    endings=(".pth",),
    licence="MIT where published with dbolya/yolact, else as its author says",
    recognises=lambda names: any(name.startswith("prediction_layers.") for name in names),
    file_names=(r"(?P<model>.+)_\d+_(?P<iteration>\d+)(_interrupt)?",),
    # The backbone under its older names, and pyramid levels beyond P7.
    ignored=r"backbone\.layer(?!s).*|fpn\.downsample_layers\.([2-9]|\d\d+)\..*",
)
