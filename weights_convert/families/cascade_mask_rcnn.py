"""The weights of Cascade Mask R-CNN, whose originals are Swin-Transformer-Object-Detection and mmdetection."""

from collections.abc import Iterator
from functools import partial

from common.families.cascade_mask_rcnn.settings import CascadeSettings
from weights_convert import swins
from weights_convert.families import FamilyWeights, Layout, mask_rcnn
from weights_convert.families.mask_rcnn import mmdetection
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Entry
from weights_convert.swins import SwinNames


def state_dict(settings: CascadeSettings, names: SwinNames | None) -> Iterator[Entry]:
    """The state dict of mmdetection's detector, in whose files a Swin has these names."""
    network, stages = settings.network, range(len(settings.stages))
    yield from mmdetection.proposals(settings, names)
    for stage in stages:
        yield from mmdetection.box_head(
            f"roi_head.bbox_head.{stage}",
            f"box_heads.{stage}",
            settings,
            network.box_convolutions,
            network.box_layers,
            network.class_agnostic_boxes,
        )
    for stage in stages:
        yield from mmdetection.mask_head(f"roi_head.mask_head.{stage}", f"mask_heads.{stage}", settings)


def layouts_of(settings: CascadeSettings) -> dict[str, Layout]:
    """The state dicts of a variant with a Swin or a ResNet; of any other backbone it is nobody's."""
    layouts = mmdetection.layouts_of(settings, state_dict)
    if swins.has_swin(settings):
        layouts["modelscope"] = partial(state_dict, names=swins.ORIGINAL)
    return layouts


def class_heads(settings: CascadeSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    heads = {}
    for stage in range(len(settings.stages)):
        heads[f"box_heads.{stage}.classes."] = ClassRows("last")
        if not settings.network.class_agnostic_boxes:
            heads[f"box_heads.{stage}.deltas."] = ClassRows(None, width=4)
        heads[f"mask_heads.{stage}.logits."] = ClassRows(None)
    return heads


WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    heads=("box_heads.*.classes.", "box_heads.*.deltas.", "mask_heads.*.logits."),
    class_heads=class_heads,
    class_bias="box_heads.0.classes.bias",
    read_backbone=mask_rcnn.read_backbone,
    added_to_backbone=swins.ADDED_TO_BACKBONE,
)
