"""A model on another backbone than its original's: no upstream's file is for it, and its own weights are read."""

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from common.weights import Card, save
from weights_convert import family_of, open_weights
from weights_convert.conversion import target_formats
from weights_convert.writers import write_pth

DARKNET = ["network.backbone={kind: darknet}"]


@pytest.mark.parametrize("model", ["mask_rcnn_tiny", "pose2seg_tiny"])
def test_a_model_on_a_backbone_that_no_upstream_gives_it(model, tmp_path):
    settings = load_settings(model, DARKNET)
    family = family_of(settings)
    assert family.canonical_shapes(load_settings(model)) is not None
    assert family.canonical_shapes(settings) is None
    path, weights = tmp_path / "own.safetensors", {"backbone.stem.conv.weight": np.ones((32, 3, 3, 3), np.float32)}
    facts = {"source": "test", "licence": "none", "preprocessing": settings.preprocessing}
    save(path, weights, Card(model=model, classes=["a"], numerics=settings.numerics(), **facts))
    found, _ = open_weights(path, settings)
    np.testing.assert_array_equal(found["backbone.stem.conv.weight"], 1)
    write_pth(tmp_path / "imagenet.pth", {"layer1.0.conv1.weight": np.ones((64, 64, 1, 1), np.float32)})
    with pytest.raises(UserError, match=f"a file of imagenet, which {model} is not from"):
        open_weights(tmp_path / "imagenet.pth", settings)


def test_the_formats_of_a_variant_stay():
    assert {"maskrcnn_benchmark"} <= target_formats("mask_rcnn_tiny").keys()
    assert {"pose2seg", "pose2seg_jittor"} <= target_formats("pose2seg_tiny").keys()
