"""ModelScope's models of mmdetection 2, in a .bin; they are told and read as the files of that or of its fork for Swin.

Its pipelines take the names of the classes out of the file.
"""

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_mmdetection

UPSTREAM = state_dict_format(
    name="modelscope",
    endings=(".bin",),
    licence="Apache-2.0 where published on ModelScope, else as its author says",
    recognises=None,
    save=write_mmdetection,
    saves_classes=True,
)
