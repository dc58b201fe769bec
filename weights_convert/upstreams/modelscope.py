"""ModelScope's Swin-B: Swin-Transformer-Object-Detection's arrays in a .bin; they are told and read as that one's."""

from functools import partial

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_pth

UPSTREAM = state_dict_format(
    name="modelscope",
    endings=(".bin",),
    licence="Apache-2.0 where published on ModelScope, else as its author says",
    recognises=None,
    save=partial(write_pth, entry="state_dict"),
)
