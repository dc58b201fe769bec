"""facebookresearch/Mask2Former: a .pth with the state dict under `model`, or a .pkl of NumPy arrays as its zoo has."""

import re

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_detectron2

# Files of its first release have the pixel decoder's parts in the head itself; the original's loader adds the name in
# between and, to files that its trainer saved, a second time.
_PIXEL_DECODER = re.compile(r"sem_seg_head\.(?!predictor\.)(pixel_decoder\.)*")
_OLD_QUERIES = "sem_seg_head.predictor.static_query."


def current_name(name: str) -> str:
    """The name that an array has in the original's current network."""
    name = name.replace(_OLD_QUERIES, "sem_seg_head.predictor.query_feat.")
    return _PIXEL_DECODER.sub("sem_seg_head.pixel_decoder.", name, count=1)


UPSTREAM = state_dict_format(
    name="mask2former",
    endings=(".pth", ".pkl"),
    licence="CC BY-NC 4.0 where published with Mask2Former, else as its author says",
    recognises=lambda names: any(name.startswith("sem_seg_head.") for name in names),
    save=write_detectron2,
    file_names=(r"model_(?P<iteration>\d{7})", r"(?P<model>model_final_[0-9a-f]{6})"),
    # The class weights of the loss, of as many classes as the file has.
    ignored=r"criterion\.empty_weight",
    current_name=current_name,
)
