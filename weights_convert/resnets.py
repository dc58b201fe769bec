"""The arrays of a residual network: their canonical names and shapes, beside the names that an upstream gives them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from common.config import ResNetSettings, Settings
from weights_convert.families import family_of
from weights_convert.state_dicts import Entry, Weights, check, conv, norm, without_counters


class ResNetNames(NamedTuple):
    """How an upstream names the parts of a bottleneck block, and which arrays its files have.

    convolutions, norms: of the 1x1, the 3x3 and the last 1x1 convolution.
    offsets: the convolution that a deformable one takes its offsets and modulation from.
    shortcut_first: whether the shortcut's arrays stand before the others of their block.
    counters: whether PyTorch's counter stands behind each norm.
    """

    convolutions: tuple[str, str, str] = ("conv1", "conv2", "conv3")
    norms: tuple[str, str, str] = ("bn1", "bn2", "bn3")
    offsets: str = "conv2.conv_offset_mask"
    shortcut: str = "downsample.0"
    shortcut_norm: str = "downsample.1"
    shortcut_first: bool = False
    counters: bool = False


DETECTRON2 = ResNetNames(
    norms=("conv1.norm", "conv2.norm", "conv3.norm"),
    shortcut="shortcut",
    shortcut_norm="shortcut.norm",
    shortcut_first=True,
)
MMDETECTION = ResNetNames(counters=True)


def stage_channels(settings: ResNetSettings) -> list[int]:
    """The numbers of channels of the four stages' outputs, C2 to C5."""
    return [settings.width * 4 * 2**stage for stage in range(4)]


def stem(convolution: str, norm_name: str, settings: ResNetSettings, names: ResNetNames) -> Iterator[Entry]:
    """The arrays before the first stage."""
    yield from conv(convolution, "backbone.conv1", settings.width, 3, 7, bias=False)
    yield from norm(norm_name, "backbone.bn1", settings.width, names.counters)


def stage(original: str, canonical: str, number: int, settings: ResNetSettings, names: ResNetNames) -> Iterator[Entry]:
    """The arrays of the stage of this number, from 1 to 4."""
    out = stage_channels(settings)[number - 1]
    into = settings.width if number == 1 else out // 2
    width = settings.width * settings.groups * settings.width_per_group // 64 * 2 ** (number - 1)
    for block in range(settings.depths[number - 1]):
        yield from bottleneck(
            f"{original}.{block}",
            f"{canonical}.{block}",
            (into, width, out),
            names,
            groups=settings.groups,
            deformable=_is_deformable(block, number, settings),
            shortcut=block == 0,
        )
        into = out


def bottleneck(
    original: str,
    canonical: str,
    channels: tuple[int, int, int],
    names: ResNetNames,
    groups: int = 1,
    deformable: bool = False,
    shortcut: bool = True,
    bias: bool = False,
) -> Iterator[Entry]:
    """The arrays of a block; `channels` are those of its input, between its convolutions, and of its output."""
    into, width, out = channels
    beside = []
    if shortcut:
        beside += conv(f"{original}.{names.shortcut}", f"{canonical}.downsample.0", out, into, 1, bias)
        beside += norm(f"{original}.{names.shortcut_norm}", f"{canonical}.downsample.1", out, names.counters)
    if names.shortcut_first:
        yield from beside
    sizes = ((width, into, 1), (width, width // groups, 3), (out, width, 1))
    for number, size in enumerate(sizes, start=1):
        convolution, norm_name = names.convolutions[number - 1], names.norms[number - 1]
        has_offsets = deformable and number == 2
        yield from conv(f"{original}.{convolution}", f"{canonical}.conv{number}", *size, bias or has_offsets)
        if has_offsets:
            # Of its 27 channels the first 18 are y, x offsets a tap, the last 9 the modulation.
            yield from conv(f"{original}.{names.offsets}", f"{canonical}.conv2.offset_mask", 27, width, 3)
        yield from norm(f"{original}.{norm_name}", f"{canonical}.bn{number}", size[0], names.counters)
    if not names.shortcut_first:
        yield from beside


def read_imagenet(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """A backbone's canonical arrays of ImageNet weights under torchvision's names; the classifier (fc) is left out."""
    source = {name: array for name, array in without_counters(source).items() if not name.startswith("fc.")}
    family = family_of(settings)
    shapes = {
        name: shape for name, shape in family.canonical_shapes(settings).items() if name.startswith(family.backbone)
    }
    wanted = {_plain_name(name): shape for name, shape in shapes.items()}
    check(source, wanted, settings.model, f"{origin} as a backbone")
    return {name: source[_plain_name(name)] for name in shapes}


def _plain_name(name: str) -> str:
    """The name that torchvision's residual network alone has for a canonical array of the backbone."""
    return name.partition(".")[2]


def _is_deformable(block: int, number: int, settings: ResNetSettings) -> bool:
    depth, deformable = settings.depths[number - 1], settings.deformable[number - 1]
    return block + deformable >= depth and block % settings.deformable_interval == 0
