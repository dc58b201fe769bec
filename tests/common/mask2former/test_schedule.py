"""Every parameter's rate and decay, against the rule of the original's optimizer, which goes by kinds of modules."""

from collections import Counter

import pytest

from common.models import load_settings
from common.training.schedules import learning_rate, rate_and_decay
from weights_convert import family_of

# Kinds of modules, and what their parameters are called.
PARAMETERS = {
    "norm": ("weight", "bias"),
    "embedding": ("weight",),
    "layer": ("weight", "bias"),
    "layer without bias": ("weight",),
    "table": ("relative_position_bias_table",),
    "bare": ("level_embed",),
}
BOTTLENECK = {f"conv{n}": "layer without bias" for n in (1, 2, 3)} | {f"bn{n}": "norm" for n in (1, 2, 3)}
SWIN_BLOCK = {"norm1": "norm", "attn": "table", "attn.qkv": "layer", "attn.proj": "layer"}
SWIN_BLOCK |= {"norm2": "norm", "mlp.fc1": "layer", "mlp.fc2": "layer"}
DEFORMABLE = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
ENCODER_LAYER = {f"self_attn.{part}": "layer" for part in DEFORMABLE}
ENCODER_LAYER |= {"linear1": "layer", "linear2": "layer", "norm1": "norm", "norm2": "norm"}
DECODER_LAYER = {f"{kind}_attn.{part}": "layer" for kind in ("cross", "self") for part in ("in_proj", "out_proj")}
DECODER_LAYER |= {"linear1": "layer", "linear2": "layer"}
DECODER_LAYER |= {"cross_norm": "norm", "self_norm": "norm", "ffn_norm": "norm"}


def resnet(depths):
    modules = {"conv1": "layer without bias", "bn1": "norm"}
    for stage, depth in enumerate(depths, start=1):
        modules |= {f"layer{stage}.0.downsample.0": "layer without bias", f"layer{stage}.0.downsample.1": "norm"}
        modules |= under(f"layer{stage}", depth, BOTTLENECK)
    return modules


def swin(depths):
    modules = {"patch_embed.proj": "layer", "patch_embed.norm": "norm"}
    for stage, depth in enumerate(depths, start=1):
        modules |= under(f"layer{stage}.blocks", depth, SWIN_BLOCK) | {f"norm{stage}": "norm"}
        if stage > 1:
            modules |= {f"layer{stage}.downsample.norm": "norm"}
            modules |= {f"layer{stage}.downsample.reduction": "layer without bias"}
    return modules


def under(path, count, modules):
    return {f"{path}.{n}.{name}": kind for n in range(count) for name, kind in modules.items()}


def modules_of(settings):
    network = settings.network
    backbone = swin if network.backbone.kind == "swin" else resnet
    modules = {f"backbone.{name}": kind for name, kind in backbone(network.backbone.depths).items()}
    modules |= under("pixel_decoder.input_proj", 3, {"conv": "layer", "norm": "norm"}) | {"pixel_decoder": "bare"}
    modules |= under("pixel_decoder.layers", network.encoder_layers, ENCODER_LAYER)
    for name in ("lateral", "output"):
        modules |= {f"pixel_decoder.{name}.conv": "layer without bias", f"pixel_decoder.{name}.norm": "norm"}
    modules["pixel_decoder.mask_features"] = "layer"
    embeddings = ("query_features", "query_positions", "level_embed")
    modules |= {f"transformer_decoder.{name}": "embedding" for name in embeddings}
    modules |= under("transformer_decoder.layers", network.decoder_layers, DECODER_LAYER)
    modules |= {"transformer_decoder.norm": "norm", "transformer_decoder.class_embed": "layer"}
    return modules | {f"transformer_decoder.mask_embed.{n}": "layer" for n in range(3)}


def original_rule(module, kind):
    """The rate, as a share, and the decay of a module's parameters."""
    decays = kind not in ("norm", "embedding", "table")
    return (0.1 if "backbone" in module else 1.0), (0.05 if decays else 0.0)


@pytest.mark.parametrize("model", ["mask2former_r50", "mask2former_swin_t"])
def test_every_parameter_has_the_original_s_rate_and_decay(model):
    settings = load_settings(model)
    seen = Counter()
    expected = {name for name in family_of(settings).canonical_shapes(settings) if ".running_" not in name}
    names = [f"{module}.{parameter}" for module, kind in modules_of(settings).items() for parameter in PARAMETERS[kind]]
    assert sorted(names) == sorted(expected)
    for module, kind in modules_of(settings).items():
        for parameter in PARAMETERS[kind]:
            name = f"{module}.{parameter}"
            assert rate_and_decay(settings.schedule, name) == original_rule(module, kind), name
            seen[kind] += 1
    assert seen["embedding"] == 3 and seen["bare"] == 1
    assert seen["table"] == (12 if model == "mask2former_swin_t" else 0)


def test_the_rate_falls_twice_and_does_not_warm_up():
    """Steps 327778 and 355092 of 368750, as the original's scheduler counts them; its warm-up starts at the rate."""
    schedule = load_settings("mask2former_r50").schedule
    expected = {0: 1e-4, 9: 1e-4, 327_777: 1e-4, 327_778: 1e-5, 355_091: 1e-5, 355_092: 1e-6, 368_749: 1e-6}
    for step, rate in expected.items():
        assert learning_rate(schedule, step) == pytest.approx(rate, rel=1e-12), step
    assert schedule.clip_norm == 0.01 and schedule.clip == "whole"
