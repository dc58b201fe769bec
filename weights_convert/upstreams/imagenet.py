"""ResNets that were trained on ImageNet: torchvision's, and the files that the originals made of such.

detectron2's R-50.pkl and R-101.pkl of torchvision's weights have its own names for the arrays.
"""

import re
from collections.abc import Collection, Mapping

import numpy as np

from common.config import Settings
from weights_convert.families import family_of
from weights_convert.formats import Format
from weights_convert.state_dicts import Weights
from weights_convert.swins import has_swin


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are a residual network's alone, by torchvision's, YOLACT's or detectron2's names."""
    return any(re.match(r"(layer1|layers\.0|res2)\.0\.(conv1|0)\.", name) for name in names)


def torchvision_name(name: str) -> str:
    """The name that torchvision has for an array of detectron2's; any other name stays."""
    name = re.sub(r"^res(\d)", lambda stage: f"layer{int(stage[1]) - 1}", name.removeprefix("stem."))
    name = re.sub(r"\bconv(\d)\.norm", r"bn\1", name)
    return re.sub(r"\bshortcut(\.norm)?", lambda part: f"downsample.{1 if part[1] else 0}", name)


def serves(settings: Settings) -> bool:
    """Whether the model's family knows how to start from such a file, and an upstream has the model itself."""
    family = family_of(settings)
    return family.read_backbone is not None and family.original(settings) is not None and not has_swin(settings)


def read(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """The arrays under canonical names: the backbone's alone."""
    plain = {torchvision_name(name): array for name, array in source.items()}
    return family_of(settings).read_backbone(plain, settings, origin)


UPSTREAM = Format(name="imagenet", recognises=recognises, serves=serves, read=read)
