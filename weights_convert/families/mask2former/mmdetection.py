"""The state dict of mmdetection's Mask2Former, under the names of mmdetection 3 and of mmdetection 2."""

from collections.abc import Iterator

from common.families.mask2former.settings import Mask2FormerSettings
from weights_convert import resnets, swins
from weights_convert.families.mask2former.renaming import Names, renamed
from weights_convert.mmdetection_names import old_name
from weights_convert.resnets import MMDETECTION as RESNET
from weights_convert.state_dicts import Entry
from weights_convert.swins import MMDETECTION as SWIN

_PIXELS = "panoptic_head.pixel_decoder"
_LAYER, _ATTENTION = r"panoptic_head.transformer_decoder.layers.\1", r"layers\.(\d+)\.(cross|self)_attn"
_NAMES: Names = {
    r"pixel_decoder\.input_proj\.(\d)\.conv": rf"{_PIXELS}.input_convs.\1.conv",
    r"pixel_decoder\.input_proj\.(\d)\.norm": rf"{_PIXELS}.input_convs.\1.gn",
    r"pixel_decoder\.layers\.(\d+)\.norm1": rf"{_PIXELS}.encoder.layers.\1.norms.0",
    r"pixel_decoder\.layers\.(\d+)\.norm2": rf"{_PIXELS}.encoder.layers.\1.norms.1",
    r"pixel_decoder\.layers\.(\d+)\.linear1": rf"{_PIXELS}.encoder.layers.\1.ffn.layers.0.0",
    r"pixel_decoder\.layers\.(\d+)\.linear2": rf"{_PIXELS}.encoder.layers.\1.ffn.layers.1",
    r"pixel_decoder\.layers\.(\d+)\.self_attn": rf"{_PIXELS}.encoder.layers.\1.self_attn",
    r"pixel_decoder\.level_embed": f"{_PIXELS}.level_encoding.weight",
    r"pixel_decoder\.lateral\.conv": f"{_PIXELS}.lateral_convs.0.conv",
    r"pixel_decoder\.lateral\.norm": f"{_PIXELS}.lateral_convs.0.gn",
    r"pixel_decoder\.output\.conv": f"{_PIXELS}.output_convs.0.conv",
    r"pixel_decoder\.output\.norm": f"{_PIXELS}.output_convs.0.gn",
    r"pixel_decoder\.mask_features": f"{_PIXELS}.mask_feature",
    rf"transformer_decoder\.{_ATTENTION}\.in_proj\.(weight|bias)": rf"{_LAYER}.\2_attn.attn.in_proj_\3",
    rf"transformer_decoder\.{_ATTENTION}\.out_proj": rf"{_LAYER}.\2_attn.attn.out_proj",
    r"transformer_decoder\.layers\.(\d+)\.cross_norm": rf"{_LAYER}.norms.0",
    r"transformer_decoder\.layers\.(\d+)\.self_norm": rf"{_LAYER}.norms.1",
    r"transformer_decoder\.layers\.(\d+)\.ffn_norm": rf"{_LAYER}.norms.2",
    r"transformer_decoder\.layers\.(\d+)\.linear1": rf"{_LAYER}.ffn.layers.0.0",
    r"transformer_decoder\.layers\.(\d+)\.linear2": rf"{_LAYER}.ffn.layers.1",
    r"transformer_decoder\.norm": "panoptic_head.transformer_decoder.post_norm",
    r"transformer_decoder\.query_features": "panoptic_head.query_feat",
    r"transformer_decoder\.query_positions": "panoptic_head.query_embed",
    r"transformer_decoder\.level_embed": "panoptic_head.level_embed",
    r"transformer_decoder\.class_embed": "panoptic_head.cls_embed",
    # ReLUs are counted, too.
    r"transformer_decoder\.mask_embed\.0": "panoptic_head.mask_embed.0",
    r"transformer_decoder\.mask_embed\.1": "panoptic_head.mask_embed.2",
    r"transformer_decoder\.mask_embed\.2": "panoptic_head.mask_embed.4",
}


def mmdetection(settings: Mask2FormerSettings) -> Iterator[Entry]:
    """mmdetection 3's state dict for these settings."""
    backbone = settings.network.backbone
    if backbone.kind == "swin":
        yield from swins.swin("backbone.", "backbone.", backbone, SWIN)
    else:
        yield from resnets.stem("backbone.conv1", "backbone.bn1", backbone, RESNET)
        for number in range(1, 5):
            yield from resnets.stage(f"backbone.layer{number}", f"backbone.layer{number}", number, backbone, RESNET)
    yield from renamed(settings, _NAMES)


def mmdetection_2(settings: Mask2FormerSettings) -> Iterator[Entry]:
    """mmdetection 2's state dict for these settings, which ModelScope's files have, too."""
    for entry in mmdetection(settings):
        yield entry._replace(original=old_name(entry.original))
