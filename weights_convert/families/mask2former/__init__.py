"""The weights of Mask2Former: of facebookresearch/Mask2Former, mmdetection, ModelScope and transformers."""

from common.families.mask2former.settings import Mask2FormerSettings
from weights_convert import resnets, swins
from weights_convert.families import FamilyWeights, Layout
from weights_convert.families.mask2former.mmdetection import mmdetection, mmdetection_2
from weights_convert.families.mask2former.original import original
from weights_convert.families.mask2former.transformers import transformers
from weights_convert.finetuning import ClassRows


def layouts_of(settings: Mask2FormerSettings) -> dict[str, Layout]:
    """The state dicts of a variant with a Swin or a ResNet; of any other backbone it is nobody's."""
    kind = settings.network.backbone.kind
    if kind not in ("swin", "resnet"):
        return {}
    layouts = {"mask2former": original, "mmdetection": mmdetection, "mmdetection_2": mmdetection_2}
    return layouts | {"modelscope": mmdetection_2, "transformers": transformers} if kind == "swin" else layouts


WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    heads=("transformer_decoder.class_embed.",),
    class_heads=lambda settings: {"transformer_decoder.class_embed.": ClassRows("last")},
    class_bias="transformer_decoder.class_embed.bias",
    read_backbone=resnets.read_imagenet,
    added_to_backbone=swins.ADDED_TO_BACKBONE,
)
