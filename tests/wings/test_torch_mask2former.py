"""Mask2Former against the independent implementation in Hugging Face's transformers, where that is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common.models import load_settings
from tests.goldens import golden
from weights_convert.conversion import formats
from weights_convert.writers import write_pth

SETTINGS = load_settings("mask2former_tiny")


def theirs(folder: Path):
    """The library's network of the tiny variant's sizes, with the weights of a folder."""
    library = pytest.importorskip("transformers")
    network, backbone = SETTINGS.network, SETTINGS.network.backbone
    swin = library.SwinConfig(
        embed_dim=backbone.width,
        depths=list(backbone.depths),
        num_heads=list(backbone.heads),
        window_size=backbone.window,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    sizes = dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim"), network.channels)
    config = library.Mask2FormerConfig(
        backbone_config=swin,
        num_labels=SETTINGS.num_classes,
        encoder_layers=network.encoder_layers,
        encoder_feedforward_dim=network.encoder_width,
        decoder_layers=network.decoder_layers + 1,
        dim_feedforward=network.decoder_width,
        num_attention_heads=network.heads,
        num_queries=network.queries,
        **sizes,
    )
    config.save_pretrained(folder)
    return library.Mask2FormerForUniversalSegmentation.from_pretrained(folder, output_loading_info=True)


def test_the_library_finds_the_same_with_the_converted_file(wing, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    learner = wing("learner").Learner(SETTINGS, "cpu")
    weights = {name: golden.weight(name, shape) for name, shape in learner.shapes().items()}
    learner.load_weights(weights)
    write_pth(tmp_path / "pytorch_model.bin", formats()["transformers"].write(weights, SETTINGS, "m"))
    network, info = theirs(tmp_path)
    assert not info["unexpected_keys"] and not info["mismatched_keys"]
    assert all(name.endswith(("swin.layernorm.weight", "swin.layernorm.bias")) for name in info["missing_keys"])
    image = torch.from_numpy(golden.image(1, (2, 3, 64, 96)))
    with torch.inference_mode():
        found = network.eval()(image, output_auxiliary_logits=True)
        ours = learner.network.predictions(image)
    expected = [(each["class_queries_logits"], each["masks_queries_logits"]) for each in found.auxiliary_logits]
    expected.append((found.class_queries_logits, found.masks_queries_logits))
    assert len(ours) == SETTINGS.network.decoder_layers + 1
    for own, other in zip(ours, expected, strict=True):
        for x, y in zip(own, other, strict=True):
            assert golden.distance(x.numpy(), y.numpy()) < 1e-4
    assert np.ptp(ours[-1][1].numpy()) > 1
