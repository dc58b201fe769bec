import numpy as np
import pytest

from common.models import initial_weights, load_settings

SHAPES = {
    "backbone.conv1.weight": (64, 3, 7, 7),
    "backbone.bn1.weight": (64,),
    "backbone.bn1.bias": (64,),
    "backbone.bn1.running_mean": (64,),
    "backbone.bn1.running_var": (64,),
    "backbone.layer2.0.conv2.weight": (128, 128, 3, 3),
    "backbone.layer2.0.conv2.bias": (128,),
    "backbone.layer2.0.conv2.offset_mask.weight": (27, 128, 3, 3),
    "backbone.layer2.0.conv2.offset_mask.bias": (27,),
    "backbone.layer2.0.downsample.0.weight": (512, 256, 1, 1),
    "backbone.layer2.0.downsample.1.weight": (512,),
    "head.classes.weight": (243, 256, 3, 3),
    "head.classes.bias": (243,),
}


@pytest.fixture(scope="module")
def weights():
    return initial_weights(SHAPES, load_settings("yolact_plus_resnet50"), seed=0)


def test_every_name_in_its_shape_and_type(weights):
    assert {name: value.shape for name, value in weights.items()} == SHAPES
    assert all(value.dtype == np.float32 for value in weights.values())


@pytest.mark.parametrize(
    ("name", "fan_out"),
    [
        ("backbone.conv1.weight", 64 * 49),
        ("backbone.layer2.0.conv2.weight", 128 * 9),
        ("backbone.layer2.0.downsample.0.weight", 512),
    ],
)
def test_backbone_is_kaiming_normal_over_the_outputs(weights, name, fan_out):
    drawn = weights[name]
    assert drawn.std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.03)
    assert abs(drawn.mean()) < 4 * np.sqrt(2 / fan_out / drawn.size)
    assert abs(drawn).max() > 3 * drawn.std()  # a normal has tails, a uniform has none


def test_the_rest_is_xavier_uniform(weights):
    drawn = weights["head.classes.weight"]
    bound = np.sqrt(6 / (9 * 243 + 9 * 256))
    assert abs(drawn).max() <= bound
    assert abs(drawn).max() > 0.999 * bound
    assert drawn.std() == pytest.approx(bound / np.sqrt(3), rel=0.01)


def test_constants(weights):
    ones = {"backbone.bn1.weight", "backbone.bn1.running_var", "backbone.layer2.0.downsample.1.weight"}
    for name in SHAPES:
        if len(SHAPES[name]) == 1 or "offset_mask" in name:
            assert np.all(weights[name] == (1 if name in ones else 0)), name


def test_a_name_has_its_numbers_whatever_else_there_is(weights):
    name = "backbone.layer2.0.conv2.weight"
    alone = initial_weights({name: SHAPES[name]}, load_settings("yolact_tiny"), seed=0)
    assert np.array_equal(alone[name], weights[name])
    other = initial_weights({name: SHAPES[name]}, load_settings("yolact_tiny"), seed=1)
    assert not np.array_equal(other[name], weights[name])


RCNN_SHAPES = {
    "backbone.layer1.0.conv2.weight": (64, 64, 3, 3),
    "fpn.lateral.0.weight": (256, 256, 1, 1),
    "fpn.output.3.weight": (256, 256, 3, 3),
    "rpn.conv.weight": (256, 256, 3, 3),
    "rpn.deltas.weight": (12, 256, 1, 1),
    "box_head.fc1.weight": (1024, 12544),
    "box_head.fc1.bias": (1024,),
    "box_head.classes.weight": (81, 1024),
    "box_head.deltas.weight": (324, 1024),
    "mask_head.conv1.weight": (256, 256, 3, 3),
    "mask_head.conv1.bias": (256,),
    "mask_head.deconv.weight": (256, 256, 2, 2),
    "mask_head.deconv.bias": (256,),
    "mask_head.logits.weight": (81, 256, 1, 1),
    "mask_head.logits.bias": (81,),
}
# Deviations; a uniform's is its bound over the root of three.
RCNN_DEVIATIONS = {
    "backbone.layer1.0.conv2.weight": np.sqrt(2 / (64 * 9)),
    "fpn.lateral.0.weight": np.sqrt(1 / 256),
    "fpn.output.3.weight": np.sqrt(1 / (256 * 9)),
    "rpn.conv.weight": 0.01,
    "rpn.deltas.weight": 0.01,
    "box_head.fc1.weight": np.sqrt(1 / 12544),
    "box_head.fc1.bias": 0,
    "box_head.classes.weight": 0.01,
    "box_head.deltas.weight": 0.001,
    "mask_head.conv1.weight": np.sqrt(2 / (256 * 9)),
    "mask_head.conv1.bias": 0,
    "mask_head.deconv.weight": np.sqrt(2 / (256 * 4)),
    "mask_head.deconv.bias": 0,
    "mask_head.logits.weight": np.sqrt(2 / 81),
    "mask_head.logits.bias": 0,
}
OTHERWISE = {
    "mask_rcnn_r50_fpn": {},
    "mask_rcnn_r50_fpn_detectron2": {"mask_head.logits.weight": 0.001},
    "mask_rcnn_r50_fpn_torchvision": {
        "box_head.fc1.weight": np.sqrt(1 / 12544 / 3),
        "box_head.fc1.bias": np.sqrt(1 / 12544 / 3),
        "box_head.classes.weight": np.sqrt(1 / 1024 / 3),
        "box_head.deltas.weight": np.sqrt(1 / 1024 / 3),
        "mask_head.deconv.bias": np.sqrt(1 / (256 * 4) / 3),
        "mask_head.logits.bias": np.sqrt(1 / 256 / 3),
    },
}


@pytest.mark.parametrize("model", OTHERWISE)
def test_mask_rcnn_starts_as_its_originals_do(model):
    weights = initial_weights(RCNN_SHAPES, load_settings(model), seed=0)
    for name, deviation in (RCNN_DEVIATIONS | OTHERWISE[model]).items():
        assert weights[name].shape == RCNN_SHAPES[name] and weights[name].dtype == np.float32
        assert weights[name].std() == pytest.approx(deviation, rel=0.1), name


def test_pose2seg_starts_as_its_original_does():
    shapes = {
        "backbone.layer1.0.conv2.weight": (64, 64, 3, 3),
        "backbone.layer1.0.bn2.weight": (64,),
        "fpn.lateral.0.weight": (256, 256, 1, 1),
        "fpn.lateral.0.bias": (256,),
        "segnet.conv1.weight": (256, 311, 7, 7),
        "segnet.conv1.bias": (256,),
        "segnet.bn1.weight": (256,),
        "segnet.bn1.bias": (256,),
    }
    weights = initial_weights(shapes, load_settings("pose2seg"), seed=0)
    deviations = {
        "backbone.layer1.0.conv2.weight": np.sqrt(2 / (64 * 9)),
        "fpn.lateral.0.weight": np.sqrt(2 / 256),
        "fpn.lateral.0.bias": np.sqrt(1 / 256 / 3),
        "segnet.conv1.weight": np.sqrt(1 / (311 * 49) / 3),
        "segnet.conv1.bias": np.sqrt(1 / (311 * 49) / 3),
    }
    for name, deviation in deviations.items():
        assert weights[name].std() == pytest.approx(deviation, rel=0.1), name
    assert (weights["backbone.layer1.0.bn2.weight"] == 1).all() and not weights["segnet.bn1.bias"].any()


def test_the_gain_is_of_what_pose2segs_pyramid_puts_out_alone():
    shapes = {"fpn.lateral.0.weight": (256, 256, 1, 1), "fpn.output.0.weight": (256, 256, 3, 3)}
    shapes |= {name.replace("weight", "bias"): (256,) for name in shapes}
    plain = initial_weights(shapes, load_settings("pose2seg"), seed=0)
    softer = initial_weights(shapes, load_settings("pose2seg", ["network.pyramid_gain=0.25"]), seed=0)
    np.testing.assert_allclose(softer.pop("fpn.output.0.weight"), 0.25 * plain["fpn.output.0.weight"], rtol=1e-6)
    for name in softer:
        np.testing.assert_array_equal(softer[name], plain[name])


MASK2FORMER_SHAPES = {
    "backbone.layer2.blocks.0.attn.qkv.weight": (288, 96),
    "pixel_decoder.input_proj.1.conv.weight": (256, 1024, 1, 1),
    "pixel_decoder.input_proj.1.conv.bias": (256,),
    "pixel_decoder.input_proj.1.norm.weight": (256,),
    "pixel_decoder.level_embed": (3, 256),
    "pixel_decoder.layers.2.self_attn.sampling_offsets.weight": (192, 256),
    "pixel_decoder.layers.2.self_attn.attention_weights.bias": (96,),
    "pixel_decoder.layers.2.self_attn.value_proj.weight": (256, 256),
    "pixel_decoder.layers.2.self_attn.value_proj.bias": (256,),
    "pixel_decoder.layers.2.linear1.weight": (1024, 256),
    "pixel_decoder.layers.2.linear1.bias": (1024,),
    "pixel_decoder.output.conv.weight": (256, 256, 3, 3),
    "pixel_decoder.mask_features.weight": (256, 256, 1, 1),
    "pixel_decoder.mask_features.bias": (256,),
    "transformer_decoder.query_features.weight": (100, 256),
    "transformer_decoder.level_embed.weight": (3, 256),
    "transformer_decoder.layers.0.cross_attn.in_proj.weight": (768, 256),
    "transformer_decoder.layers.0.cross_attn.in_proj.bias": (768,),
    "transformer_decoder.layers.0.linear2.weight": (256, 2048),
    "transformer_decoder.layers.0.linear2.bias": (256,),
    "transformer_decoder.class_embed.weight": (134, 256),
    "transformer_decoder.class_embed.bias": (134,),
    "transformer_decoder.mask_embed.1.weight": (256, 256),
}
MASK2FORMER_DEVIATIONS = {
    "backbone.layer2.blocks.0.attn.qkv.weight": 0.02,
    "pixel_decoder.input_proj.1.conv.weight": np.sqrt(2 / (1024 + 256)),
    "pixel_decoder.input_proj.1.conv.bias": 0,
    "pixel_decoder.level_embed": 1,
    "pixel_decoder.layers.2.self_attn.sampling_offsets.weight": 0,
    "pixel_decoder.layers.2.self_attn.attention_weights.bias": 0,
    "pixel_decoder.layers.2.self_attn.value_proj.weight": np.sqrt(2 / 512),
    "pixel_decoder.layers.2.self_attn.value_proj.bias": 0,
    "pixel_decoder.layers.2.linear1.weight": np.sqrt(2 / (1024 + 256)),
    "pixel_decoder.layers.2.linear1.bias": np.sqrt(1 / 256 / 3),
    "pixel_decoder.output.conv.weight": np.sqrt(1 / (256 * 9)),
    "pixel_decoder.mask_features.weight": np.sqrt(1 / 256),
    "pixel_decoder.mask_features.bias": 0,
    "transformer_decoder.query_features.weight": 1,
    "transformer_decoder.level_embed.weight": 1,
    "transformer_decoder.layers.0.cross_attn.in_proj.weight": np.sqrt(2 / (768 + 256)),
    "transformer_decoder.layers.0.cross_attn.in_proj.bias": 0,
    "transformer_decoder.layers.0.linear2.weight": np.sqrt(2 / (2048 + 256)),
    "transformer_decoder.layers.0.linear2.bias": np.sqrt(1 / 2048 / 3),
    "transformer_decoder.class_embed.weight": np.sqrt(1 / 256 / 3),
    "transformer_decoder.class_embed.bias": np.sqrt(1 / 256 / 3),
    "transformer_decoder.mask_embed.1.weight": np.sqrt(1 / 256 / 3),
}


def test_mask2former_starts_as_its_original_does():
    weights = initial_weights(MASK2FORMER_SHAPES, load_settings("mask2former_swin_t"), seed=0)
    for name, deviation in MASK2FORMER_DEVIATIONS.items():
        drawn = weights[name]
        assert drawn.shape == MASK2FORMER_SHAPES[name] and drawn.dtype == np.float32
        assert drawn.std() == pytest.approx(deviation, rel=0.12), name
        is_normal = deviation == 1 or name.startswith("backbone.")
        assert (np.abs(drawn).max() > 2.2 * deviation) == (is_normal and deviation > 0), name
    assert (weights["pixel_decoder.input_proj.1.norm.weight"] == 1).all()


def test_the_places_that_mask2former_reads_first():
    name = "pixel_decoder.layers.0.self_attn.sampling_offsets.bias"
    found = initial_weights({name: (192,)}, load_settings("mask2former_r50"), seed=0)[name]
    # Eight heads, three maps, four points, x and y.
    np.testing.assert_allclose(found[:8], [1, 0, 2, 0, 3, 0, 4, 0], atol=1e-6)
    np.testing.assert_allclose(found[24 * 3 + 8 : 24 * 3 + 16], [-1, 1, -2, 2, -3, 3, -4, 4], rtol=1e-6)


def test_the_resnet_of_mask2former_is_kaiming_normal():
    shapes = {"backbone.layer1.0.conv2.weight": (64, 64, 3, 3), "backbone.layer1.0.bn2.weight": (64,)}
    found = initial_weights(shapes, load_settings("mask2former_r50"), seed=0)
    assert found["backbone.layer1.0.conv2.weight"].std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.02)
    assert (found["backbone.layer1.0.bn2.weight"] == 1).all()
