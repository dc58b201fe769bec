"""Mask R-CNN's checkpoints: maskrcnn-benchmark's, torchvision's and detectron2's names against the canonical ones.

The classes keep the order of the original: what a file's rows mean is the variant's convention, not the converter's.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from common.errors import UserError
from common.families.mask_rcnn.anchors import cell_anchors
from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert import state_dicts
from weights_convert.finetuning import ClassRows
from weights_convert.mask_rcnn_layouts import CELL_ANCHORS, SHARED_STAGE_AGAIN, layout
from weights_convert.state_dicts import Shapes, Weights, check

# The layers whose size follows from the classes.
HEADS = ("box_head.classes.", "box_head.deltas.", "mask_head.logits.")
_CLASS_BIASES = (
    "box_head.classes.bias",
    "roi_heads.box.predictor.cls_score.bias",
    "roi_heads.box_predictor.cls_score.bias",
    "cls_score_b",
)
_COUNTER = "num_batches_tracked"
# What the original's own loader passes over, and `layout` does not have.
_IGNORED = {
    "torchvision": rf"backbone\.body\.(.*\.)?(bn\d|downsample\.1)\.{_COUNTER}",
    "detectron2": r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+"
    rf"|backbone\.bottom_up\..*\.norm\.{_COUNTER}",
}
# Names of torchvision's older releases, which the published weights have, and what they became.
_TORCHVISION_RENAMED = (
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(weight|bias)", r"backbone.fpn.\1_blocks.\2.0.\3"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
)
_TORCHVISION_EPS = np.float32(1e-5)
_TORCHVISION_MASK = re.compile(r"roi_heads\.mask_head\.mask_fcn([1-4])\.(weight|bias)")


def classes_of(arrays: Mapping[str, np.ndarray]) -> int | None:
    """The number of classes, without the background, that a checkpoint of any kind was made for."""
    biases = [arrays[name] for name in _CLASS_BIASES if name in arrays]
    return len(biases[0]) - 1 if biases and biases[0].ndim == 1 and len(biases[0]) > 1 else None


def class_heads(settings: MaskRcnnSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    background = settings.network.background
    boxed = "first" if background == "first" else None  # one that stands last has no box offsets and no mask
    return {
        "box_head.classes.": ClassRows(background),
        "box_head.deltas.": ClassRows(boxed, width=4),
        "mask_head.logits.": ClassRows(boxed),
    }


def canonical_shapes(settings: MaskRcnnSettings) -> dict[str, tuple[int, ...]]:
    """The shape of every canonical array of a variant, in the original's order."""
    return {entry.canonical: entry.shape for entry in layout(settings) if entry.canonical}


def from_original(source: Mapping[str, np.ndarray], settings: MaskRcnnSettings, origin: str) -> Weights:
    """The original's arrays under canonical names; every name must be known and every one used, or ignored by name.

    Here and in `from_canonical` the last layers may have other sizes than the settings': another number of classes.
    """
    if settings.convention == "torchvision":
        source = _renamed_since(source, origin)
    ignored = _IGNORED.get(settings.convention, "")
    source = {name: array for name, array in source.items() if not re.fullmatch(ignored, name)}
    entries = layout(settings)
    heads = {e.original for e in entries if e.canonical and e.canonical.startswith(HEADS)}
    twice = {e.original for e in entries if not e.canonical}  # anchors, and what is written a second time
    shapes = {e.original: e.shape for e in entries}
    check(source, shapes, settings.model, origin, any_shape=heads, optional=twice)
    return {entry.canonical: source[entry.original] for entry in entries if entry.canonical}


def from_canonical(source: Mapping[str, np.ndarray], settings: MaskRcnnSettings, origin: str) -> Weights:
    """A framework's own checkpoint, or the part of one that training starts from; PyTorch's counters are dropped."""
    weights = {name: array for name, array in source.items() if not name.endswith(f".{_COUNTER}")}
    shapes = canonical_shapes(settings)
    heads = {name for name in shapes if name.startswith(HEADS)}
    check(weights, shapes, settings.model, origin, any_shape=heads, optional=_dispensable(weights, shapes))
    return {name: weights[name] for name in shapes if name in weights}


def from_backbone(source: Mapping[str, np.ndarray], settings: MaskRcnnSettings, origin: str) -> Weights:
    """ImageNet weights of a residual network under torchvision's names; the classifier (fc) is left out.

    torchvision's fixed norms have an epsilon of 1e-5 when it trains from ImageNet, and of 0 with its published weights,
    as its variant here does: the result's running variances contain that epsilon.
    """
    source = {
        name: array for name, array in source.items() if not name.startswith("fc.") and not name.endswith(_COUNTER)
    }
    shapes = {name: shape for name, shape in canonical_shapes(settings).items() if is_backbone(name)}
    wanted = {_plain_name(name): shape for name, shape in shapes.items()}
    check(source, wanted, settings.model, f"{origin} as a backbone")
    weights = {name: source[_plain_name(name)] for name in shapes}
    if settings.convention == "torchvision" and settings.network.backbone.norm_eps == 0:
        weights |= {name: x + _TORCHVISION_EPS for name, x in weights.items() if name.endswith(".running_var")}
    return weights


def to_original(weights: Mapping[str, np.ndarray], settings: MaskRcnnSettings, origin: str) -> Weights:
    """Canonical weights as the original's state dict, in its order."""
    check(weights, canonical_shapes(settings), settings.model, origin)
    return {
        entry.original: weights[entry.canonical]
        if entry.canonical
        else _written_again(entry.original, weights, settings)
        for entry in layout(settings)
    }


def fit_for_finetuning(weights: Mapping[str, np.ndarray], shapes: Shapes, origin: str) -> tuple[Weights, list[str]]:
    """The weights that training can start from, and the names it must do without: heads of another size.

    A file of the backbone alone is one to start from too. Whatever else is missing, left over or of another shape is
    refused.
    """
    return state_dicts.fit_for_finetuning(weights, shapes, origin, HEADS, _dispensable(weights, shapes))


def is_backbone(name: str) -> bool:
    """Whether a canonical array stands in the residual network, whose last stage C4 has in the box head."""
    return name.startswith(("backbone.", "box_head.layer4."))


def _plain_name(name: str) -> str:
    """A canonical name of `is_backbone` as torchvision has it in the residual network alone."""
    return name.partition(".")[2]


def _renamed_since(source: Mapping[str, np.ndarray], origin: str) -> Weights:
    renamed = {}
    for name, array in source.items():
        new = _TORCHVISION_MASK.sub(lambda match: f"roi_heads.mask_head.{int(match[1]) - 1}.0.{match[2]}", name)
        for old, form in _TORCHVISION_RENAMED:
            new = re.sub(f"^{old}$", form, new)
        if new in renamed:
            raise UserError(f"{origin}: it holds {new} twice, under its old name too")
        renamed[new] = array
    return renamed


def _written_again(name: str, weights: Mapping[str, np.ndarray], settings: MaskRcnnSettings) -> np.ndarray:
    """What the original's state dict has and the canonical form has not."""
    if name.startswith(SHARED_STAGE_AGAIN):
        return weights["box_head.layer4" + name.removeprefix(SHARED_STAGE_AGAIN)]
    level = int(name.removeprefix(f"{CELL_ANCHORS}."))
    stride = 4 * 2**level if settings.network.fpn else 16
    return cell_anchors(settings.rules, stride, settings.rpn.anchor_sizes[level], settings.rpn.anchor_ratios)


def _dispensable(weights: Collection[str], shapes: Iterable[str]) -> set[str]:
    """The names of `shapes` that a file of the backbone alone does not have; none for any other file."""
    if not all(is_backbone(name) for name in weights):
        return set()
    return {name for name in shapes if not is_backbone(name)}
