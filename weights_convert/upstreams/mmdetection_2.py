"""mmdetection 2's files of models whose arrays mmdetection 3 renamed; they are told and read as mmdetection's."""

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_mmdetection

UPSTREAM = state_dict_format(
    name="mmdetection_2",
    endings=(".pth",),
    licence="Apache-2.0 where published with mmdetection, else as its author says",
    recognises=None,
    save=write_mmdetection,
    saves_classes=True,
)
