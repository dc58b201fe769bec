"""The weights that Cascade Mask R-CNN starts from."""

import re

import numpy as np

from common.families.cascade_mask_rcnn.settings import CascadeSettings
from common.families.mask_rcnn import initial_weights
from common.training.initial_weights import Shapes

_HEAD = re.compile(r"(?P<kind>box|mask)_heads\.\d+\.")


def initial_weight(name: str, shapes: Shapes, settings: CascadeSettings, seed: int) -> np.ndarray:
    """The first value of the parameter of this name, in the shape that `shapes` has for it.

    The layers of each head are drawn as those of Mask R-CNN's heads, with numbers of their own.
    """
    return initial_weights.initial_weight(name, shapes, settings, seed, _HEAD.sub(r"\g<kind>_head.", name))
