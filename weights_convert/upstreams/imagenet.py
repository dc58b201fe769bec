"""ResNets that were trained on ImageNet: torchvision's, and the files that the originals made of such."""

import re
from collections.abc import Collection, Mapping

import numpy as np

from common.config import Settings
from weights_convert.families import family_of
from weights_convert.formats import Format
from weights_convert.state_dicts import Weights
from weights_convert.swins import has_swin


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are those of a residual network alone, under torchvision's names or YOLACT's."""
    return any(re.match(r"(layer1|layers\.0)\.0\.(conv1|0)\.", name) for name in names)


def serves(settings: Settings) -> bool:
    """Whether the model's family knows how to start from such a file, and an upstream has the model itself."""
    family = family_of(settings)
    return family.read_backbone is not None and family.original(settings) is not None and not has_swin(settings)


def read(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """The arrays under canonical names: the backbone's alone."""
    return family_of(settings).read_backbone(source, settings, origin)


UPSTREAM = Format(name="imagenet", recognises=recognises, serves=serves, read=read)
