import numpy as np
import pytest

from common.config import load_settings
from common.training.initial_weights import initial_weights

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
