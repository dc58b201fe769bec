"""The state dict of Mask2Former with a Swin in Hugging Face's transformers, as its files have it.

The rows of queries, keys and values that Swin's and the queries' attention have are three arrays in the files; here
they are one, called qkv, which the upstream takes apart.
"""

from collections.abc import Iterator

from common.families.mask2former.settings import Mask2FormerSettings
from weights_convert import swins
from weights_convert.families.mask2former.original import class_weights
from weights_convert.families.mask2former.renaming import Names, rename, renamed
from weights_convert.state_dicts import Entry

_ENCODER, _PIXELS = "model.pixel_level_module.encoder", "model.pixel_level_module.decoder"
_MODULE, _LAYER = "model.transformer_module", r"model.transformer_module.decoder.layers.\1"
_BLOCK, _ITS_BLOCK = r"backbone\.layers\.(\d)\.blocks\.(\d+)", rf"{_ENCODER}.encoder.layers.\1.blocks.\2"
# By the original's names.
_SWIN: Names = {
    r"backbone\.patch_embed\.proj": f"{_ENCODER}.embeddings.patch_embeddings.projection",
    r"backbone\.patch_embed\.norm": f"{_ENCODER}.embeddings.norm",
    rf"{_BLOCK}\.norm1": f"{_ITS_BLOCK}.layernorm_before",
    rf"{_BLOCK}\.norm2": f"{_ITS_BLOCK}.layernorm_after",
    rf"{_BLOCK}\.attn\.proj": f"{_ITS_BLOCK}.attention.output.dense",
    rf"{_BLOCK}\.attn": f"{_ITS_BLOCK}.attention.self",
    rf"{_BLOCK}\.mlp\.fc1": f"{_ITS_BLOCK}.intermediate.dense",
    rf"{_BLOCK}\.mlp\.fc2": f"{_ITS_BLOCK}.output.dense",
    r"backbone\.layers\.(\d)\.downsample": rf"{_ENCODER}.encoder.layers.\1.downsample",
} | {rf"backbone\.norm{stage}": f"{_ENCODER}.hidden_states_norms.stage{stage + 1}" for stage in range(4)}
_NAMES: Names = {
    r"pixel_decoder\.input_proj\.(\d)\.conv": rf"{_PIXELS}.input_projections.\1.0",
    r"pixel_decoder\.input_proj\.(\d)\.norm": rf"{_PIXELS}.input_projections.\1.1",
    r"pixel_decoder\.layers\.(\d+)\.norm1": rf"{_PIXELS}.encoder.layers.\1.self_attn_layer_norm",
    r"pixel_decoder\.layers\.(\d+)\.norm2": rf"{_PIXELS}.encoder.layers.\1.final_layer_norm",
    r"pixel_decoder\.layers\.(\d+)\.linear([12])": rf"{_PIXELS}.encoder.layers.\1.fc\2",
    r"pixel_decoder\.layers\.(\d+)\.self_attn": rf"{_PIXELS}.encoder.layers.\1.self_attn",
    r"pixel_decoder\.level_embed": f"{_PIXELS}.level_embed",
    r"pixel_decoder\.lateral\.conv": f"{_PIXELS}.adapter_1.0",
    r"pixel_decoder\.lateral\.norm": f"{_PIXELS}.adapter_1.1",
    r"pixel_decoder\.output\.conv": f"{_PIXELS}.layer_1.0",
    r"pixel_decoder\.output\.norm": f"{_PIXELS}.layer_1.1",
    r"pixel_decoder\.mask_features": f"{_PIXELS}.mask_projection",
    r"transformer_decoder\.layers\.(\d+)\.cross_attn\.in_proj\.(weight|bias)": rf"{_LAYER}.cross_attn.in_proj_\2",
    r"transformer_decoder\.layers\.(\d+)\.self_attn\.in_proj": rf"{_LAYER}.self_attn.qkv",
    r"transformer_decoder\.layers\.(\d+)\.(cross|self)_attn\.out_proj": rf"{_LAYER}.\2_attn.out_proj",
    r"transformer_decoder\.layers\.(\d+)\.(cross|self)_norm": rf"{_LAYER}.\2_attn_layer_norm",
    r"transformer_decoder\.layers\.(\d+)\.ffn_norm": rf"{_LAYER}.final_layer_norm",
    r"transformer_decoder\.layers\.(\d+)\.linear([12])": rf"{_LAYER}.fc\2",
    r"transformer_decoder\.norm": f"{_MODULE}.decoder.layernorm",
    r"transformer_decoder\.query_features": f"{_MODULE}.queries_features",
    r"transformer_decoder\.query_positions": f"{_MODULE}.queries_embedder",
    r"transformer_decoder\.level_embed": f"{_MODULE}.level_embed",
    r"transformer_decoder\.mask_embed\.(\d)": rf"{_MODULE}.decoder.mask_predictor.mask_embedder.\1.0",
    r"transformer_decoder\.class_embed": "class_predictor",
}


def transformers(settings: Mask2FormerSettings) -> Iterator[Entry]:
    """The library's state dict for these settings, with queries, keys and values together."""
    for entry in swins.swin("backbone.", "backbone.", settings.network.backbone, swins.ORIGINAL):
        if entry.canonical:
            yield entry._replace(original=rename(entry.original, _SWIN))
    yield from renamed(settings, _NAMES)
    yield class_weights(settings)
