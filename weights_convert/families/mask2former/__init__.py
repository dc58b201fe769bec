"""The weights of Mask2Former, whose original is facebookresearch/Mask2Former."""

from common.families.mask2former.settings import Mask2FormerSettings
from weights_convert import swins
from weights_convert.families import FamilyWeights, Layout
from weights_convert.families.mask2former.original import original
from weights_convert.families.mask_rcnn import read_resnet
from weights_convert.finetuning import ClassRows


def layouts_of(settings: Mask2FormerSettings) -> dict[str, Layout]:
    """The state dicts of a variant with a Swin or a ResNet; of any other backbone it is nobody's."""
    return {"mask2former": original} if settings.network.backbone.kind in ("swin", "resnet") else {}


WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    heads=("transformer_decoder.class_embed.",),
    class_heads=lambda settings: {"transformer_decoder.class_embed.": ClassRows("last")},
    class_bias="transformer_decoder.class_embed.bias",
    read_backbone=read_resnet,
    added_to_backbone=swins.ADDED_TO_BACKBONE,
)
