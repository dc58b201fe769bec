"""The state dict of facebookresearch/Mask2Former, in its own order."""

from collections.abc import Iterator

import numpy as np

from common.families.mask2former.settings import Mask2FormerSettings
from weights_convert import resnets, swins
from weights_convert.resnets import DETECTRON2
from weights_convert.state_dicts import Entry, conv, linear
from weights_convert.swins import layer_norm

_PIXELS, _PREDICTOR = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"
_DECODER = "transformer_decoder"


def original(settings: Mask2FormerSettings) -> Iterator[Entry]:
    """The original's state dict for these settings."""
    backbone = settings.network.backbone
    if backbone.kind == "swin":
        yield from swins.swin("backbone.", "backbone.", backbone, swins.ORIGINAL)
    else:
        yield from resnets.stem("backbone.stem.conv1", "backbone.stem.conv1.norm", backbone, DETECTRON2)
        for number in range(1, 5):
            yield from resnets.stage(
                f"backbone.res{number + 1}", f"backbone.layer{number}", number, backbone, DETECTRON2
            )
    yield from decoders(settings)
    yield class_weights(settings)


def decoders(settings: Mask2FormerSettings) -> Iterator[Entry]:
    """Everything behind the backbone."""
    yield from _pixel_decoder(settings)
    yield from _predictor(settings)


def class_weights(settings: Mask2FormerSettings) -> Entry:
    """The classes' weights in the loss, no object's last, which are saved along."""
    weights = np.ones(settings.num_classes + 1, np.float32)
    weights[-1] = settings.losses.no_object_weight
    return Entry("criterion.empty_weight", None, weights.shape, weights)


def backbone_channels(settings: Mask2FormerSettings) -> list[int]:
    """The numbers of channels of the backbone's maps of strides 4 to 32."""
    backbone = settings.network.backbone
    return (swins if backbone.kind == "swin" else resnets).stage_channels(backbone)


def _pixel_decoder(settings: Mask2FormerSettings) -> Iterator[Entry]:
    network = settings.network
    channels = network.channels
    finest, *others = backbone_channels(settings)
    for number, width in enumerate(reversed(others)):
        theirs, ours = f"{_PIXELS}.input_proj.{number}", f"pixel_decoder.input_proj.{number}"
        yield from conv(f"{theirs}.0", f"{ours}.conv", channels, width, 1)
        yield from layer_norm(f"{theirs}.1", f"{ours}.norm", channels)
    transformer = f"{_PIXELS}.transformer"
    yield Entry(f"{transformer}.level_embed", "pixel_decoder.level_embed", (len(others), channels))
    for number in range(network.encoder_layers):
        theirs, ours = f"{transformer}.encoder.layers.{number}", f"pixel_decoder.layers.{number}"
        reads = network.heads * len(others) * network.points
        outputs = {"sampling_offsets": 2 * reads, "attention_weights": reads}
        for name, out in (outputs | {"value_proj": channels, "output_proj": channels}).items():
            yield from linear(f"{theirs}.self_attn.{name}", f"{ours}.self_attn.{name}", out, channels)
        yield from layer_norm(f"{theirs}.norm1", f"{ours}.norm1", channels)
        yield from linear(f"{theirs}.linear1", f"{ours}.linear1", network.encoder_width, channels)
        yield from linear(f"{theirs}.linear2", f"{ours}.linear2", channels, network.encoder_width)
        yield from layer_norm(f"{theirs}.norm2", f"{ours}.norm2", channels)
    yield from conv(f"{_PIXELS}.mask_features", "pixel_decoder.mask_features", channels, channels, 1)
    for theirs, ours, width, kernel in (("adapter_1", "lateral", finest, 1), ("layer_1", "output", channels, 3)):
        theirs, ours = f"{_PIXELS}.{theirs}", f"pixel_decoder.{ours}"
        yield from conv(theirs, f"{ours}.conv", channels, width, kernel, bias=False)
        yield from layer_norm(f"{theirs}.norm", f"{ours}.norm", channels)


def _predictor(settings: Mask2FormerSettings) -> Iterator[Entry]:
    network = settings.network
    channels, width = network.channels, network.decoder_width
    for kind, inner in (("self", "self_attn"), ("cross", "multihead_attn")):
        for number in range(network.decoder_layers):
            layer = f"{_PREDICTOR}.transformer_{kind}_attention_layers.{number}"
            canonical = f"{_DECODER}.layers.{number}.{kind}"
            yield from attention(f"{layer}.{inner}", f"{canonical}_attn", channels)
            yield from layer_norm(f"{layer}.norm", f"{canonical}_norm", channels)
    for number in range(network.decoder_layers):
        layer, canonical = f"{_PREDICTOR}.transformer_ffn_layers.{number}", f"{_DECODER}.layers.{number}"
        yield from linear(f"{layer}.linear1", f"{canonical}.linear1", width, channels)
        yield from linear(f"{layer}.linear2", f"{canonical}.linear2", channels, width)
        yield from layer_norm(f"{layer}.norm", f"{canonical}.ffn_norm", channels)
    yield from layer_norm(f"{_PREDICTOR}.decoder_norm", f"{_DECODER}.norm", channels)
    rows = {"query_feat": ("query_features", network.queries), "query_embed": ("query_positions", network.queries)}
    for theirs, (ours, count) in (rows | {"level_embed": ("level_embed", 3)}).items():
        yield Entry(f"{_PREDICTOR}.{theirs}.weight", f"{_DECODER}.{ours}.weight", (count, channels))
    yield from linear(f"{_PREDICTOR}.class_embed", f"{_DECODER}.class_embed", settings.num_classes + 1, channels)
    for number in range(3):
        yield from linear(
            f"{_PREDICTOR}.mask_embed.layers.{number}", f"{_DECODER}.mask_embed.{number}", channels, channels
        )


def attention(original: str, canonical: str, channels: int) -> Iterator[Entry]:
    """The arrays of an attention of PyTorch's."""
    yield Entry(f"{original}.in_proj_weight", f"{canonical}.in_proj.weight", (3 * channels, channels))
    yield Entry(f"{original}.in_proj_bias", f"{canonical}.in_proj.bias", (3 * channels,))
    yield from linear(f"{original}.out_proj", f"{canonical}.out_proj", channels, channels)
