"""The layers, backbones and pyramids, against the same ones in plain NumPy."""

import numpy as np
import pytest

from common import numpy_ops
from common.config import DarknetSettings, ResNetSettings
from common.models import load_settings
from common.upsampling import double_from_corners
from tests.goldens import golden
from tests.wings.golden_learner import golden_learner

IMAGE = golden.image(7, (2, 3, 64, 96))
# Blocks with and without a projection; ResNeXt's groups; where the stride sits.
RESNETS = {
    "stride in the 1x1": ResNetSettings(depths=(2, 1, 1, 1), width=8, width_per_group=64, stride_in="1x1", norm_eps=0),
    "ResNeXt, stride in the 3x3": ResNetSettings(depths=(1, 2, 1, 1), width=16, groups=4, width_per_group=32),
    "padding at the pool's end": ResNetSettings(depths=(1, 1, 1, 1), width=8, pool_padding="end"),
}
BACKBONES = {
    "resnet": (ResNetSettings(depths=(1, 1, 1, 1), width=8), (4, 8, 16, 32)),
    "darknet": (DarknetSettings(depths=(1, 2, 1, 1, 1)), (2, 4, 8, 16, 32)),
}
# Of each family's pyramid the finest map and its stride.
FINEST_MAPS = {"mask_rcnn_tiny": ("p2", 4), "pose2seg_tiny": ("p1", 4), "yolact_tiny": ("p3", 8)}
FPNS = {
    "bilinear, strided convolutions": {"top_down": "bilinear", "output_relu": True, "extra": "conv", "extra_levels": 2},
    "nearest, subsampled": {
        "top_down": "nearest",
        "output_relu": False,
        "extra": "subsample",
        "extra_levels": 1,
    },
    "corners, subsampled": {"top_down": "corners", "output_relu": False, "extra": "subsample", "extra_levels": 1},
}


def setting_of(kind: str) -> str:
    """The override that gives a family's network this backbone."""
    return f"network.backbone={BACKBONES[kind][0].model_dump(mode='json')}"


def fill(module, framework) -> dict[str, np.ndarray]:
    """Gives every parameter the number that the golden rule has for its name; returns them by canonical name."""
    if framework == "mindspore":
        from mindspore import Tensor

        leaves = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        found = {}
        for name, parameter in module.parameters_dict().items():
            path, dot, leaf = name.rpartition(".")
            found[path + dot + leaves.get(leaf, leaf)] = parameter
    elif framework == "torch":
        found = dict(module.named_parameters()) | dict(module.named_buffers())
    else:
        found = dict(module.named_parameters())
    weights = {name: golden.weight(name, tuple(parameter.shape)) for name, parameter in found.items()}
    for name, parameter in found.items():
        if framework == "mindspore":
            parameter.set_data(Tensor(weights[name]))
        elif framework == "torch":
            import torch

            parameter.data.copy_(torch.from_numpy(weights[name]))
        else:
            parameter.update(weights[name])
    return weights


def conv(x, weight, bias=None, stride=1, groups=1):
    size = weight.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    parts = zip(np.split(patches, groups, axis=1), np.split(weight, groups), strict=True)
    y = np.concatenate([np.einsum("nchwij,ocij->nohw", p, w, optimize=True) for p, w in parts], axis=1)
    return y if bias is None else y + bias[:, None, None]


def norm(x, weights, name, eps):
    values = (weights[f"{name}.{leaf}"][:, None, None] for leaf in ("weight", "bias", "running_mean", "running_var"))
    scale, shift, mean, variance = values
    return (x - mean) / np.sqrt(variance + eps) * scale + shift


def resnet(x, weights, settings, stages, prefix=""):
    """The features of the given stages; a stage 1 begins with the stem."""

    def convolved(x, convolution, norm_name, **options):
        return norm(conv(x, weights[f"{convolution}.weight"], **options), weights, norm_name, settings.norm_eps)

    features = []
    if stages[0] == 1:
        x = np.maximum(convolved(x, "conv1", "bn1", stride=2), 0)
        before = 0 if settings.pool_padding == "end" else 1
        padded = np.pad(x, ((0, 0), (0, 0), (before, 1), (before, 1)), constant_values=-np.inf)
        x = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(4, 5))
    for stage in stages:
        for block in range(settings.depths[stage - 1]):
            name = f"{prefix.format(stage)}{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            first, second = (stride, 1) if settings.stride_in == "1x1" else (1, stride)
            y = np.maximum(convolved(x, f"{name}.conv1", f"{name}.bn1", stride=first), 0)
            y = np.maximum(convolved(y, f"{name}.conv2", f"{name}.bn2", stride=second, groups=settings.groups), 0)
            y = convolved(y, f"{name}.conv3", f"{name}.bn3")
            if block == 0:
                x = convolved(x, f"{name}.downsample.0", f"{name}.downsample.1", stride=stride)
            x = np.maximum(x + y, 0)
        features.append(x)
    return features


def assert_same(answers, expected, xp):
    assert len(answers) == len(expected)
    for answer, reference in zip(answers, expected, strict=True):
        assert golden.distance(xp.to_numpy(answer), reference) < 1e-4


def assert_answers_and_gradient(layer, x, expected, gradient, xp, like):
    """The layer's answer, and what the sum of the answer times a fixed array gives back to the input."""
    factors = golden.image(5, expected.shape)
    weighed = lambda x: xp.sum(layer(x) * xp.asarray(factors, like))  # noqa: E731
    answers = [layer(xp.asarray(x, like)), *xp.value_and_grad(weighed, xp.asarray(x, like))[1]]
    assert_same(answers, [expected, gradient(factors)], xp)


def test_linear(wing, framework, xp, like):
    layer = wing("layers").Linear(6, 4)
    weights = fill(layer, framework)
    x = golden.image(3, (5, 6))
    expected = x @ weights["weight"].T + weights["bias"]
    assert_answers_and_gradient(layer, x, expected, lambda factors: factors @ weights["weight"], xp, like)
    assert tuple(layer(xp.zeros((0, 6), like)).shape) == (0, 4)


def test_transposed_convolution(wing, framework, xp, like):
    layer = wing("layers").ConvTranspose(6, 4)
    weights = fill(layer, framework)
    x = golden.image(3, (2, 6, 3, 5))
    apart = np.einsum("nchw,coij->nohiwj", x, weights["weight"])
    expected = apart.reshape(2, 4, 6, 10) + weights["bias"][:, None, None]

    def gradient(factors):
        return np.einsum("nohiwj,coij->nchw", factors.reshape(2, 4, 3, 2, 5, 2), weights["weight"])

    assert_answers_and_gradient(layer, x, expected, gradient, xp, like)
    assert tuple(layer(xp.zeros((0, 6, 3, 5), like)).shape) == (0, 4, 6, 10)


@pytest.mark.parametrize("name", RESNETS)
def test_resnet(name, wing, framework, xp, like):
    settings = RESNETS[name]
    network = wing("backbones").ResNet(settings, frozen_norm=True)
    weights = fill(network, framework)
    answers = network(xp.asarray(IMAGE, like))
    expected = resnet(IMAGE, weights, settings, (1, 2, 3, 4), "layer{}.")
    assert_same(answers, expected, xp)
    with wing("layers").unfolded():
        assert_same(network(xp.asarray(IMAGE, like)), expected, xp)
    assert network.channels == [answer.shape[1] for answer in answers]


def test_resnet_cut_at_c4(wing, framework, xp, like):
    """The C4 models run the last stage on regions, apart from the rest."""
    settings = RESNETS["stride in the 1x1"]
    body = wing("backbones").build_backbone(settings, frozen_norm=True, last_stage=3)
    head = wing("backbones").residual_stage(settings, 4, wing("backbones").norm_for(settings, frozen_norm=True))
    weights = fill(body, framework)
    expected = resnet(IMAGE, weights, settings, (1, 2, 3), "layer{}.")
    assert_same(body(xp.asarray(IMAGE, like)), expected, xp)
    weights = fill(head, framework)
    assert_same([head(xp.asarray(expected[-1], like))], resnet(expected[-1], weights, settings, (4,)), xp)


def darknet(x, weights, settings):
    """The features of all stages."""

    def convolved(x, name, stride=1):
        x = norm(conv(x, weights[f"{name}.conv.weight"], stride=stride), weights, f"{name}.norm", settings.norm_eps)
        return np.where(x > 0, x, 0.1 * x)

    x, features = convolved(x, "stem"), []
    for stage, depth in enumerate(settings.depths, start=1):
        x = convolved(x, f"layer{stage}.0", stride=2)
        for block in range(1, depth + 1):
            x = x + convolved(convolved(x, f"layer{stage}.{block}.conv1"), f"layer{stage}.{block}.conv2")
        features.append(x)
    return features


def test_darknet(wing, framework, xp, like):
    settings, _ = BACKBONES["darknet"]
    network = wing("backbones").build_backbone(settings, frozen_norm=True)
    weights = fill(network, framework)
    assert_same(network(xp.asarray(IMAGE, like)), darknet(IMAGE, weights, settings), xp)


@pytest.mark.parametrize("last_stage", [None, 3])
@pytest.mark.parametrize("kind", BACKBONES)
def test_a_backbone_gives_a_map_for_each_stage(kind, last_stage, wing, framework, xp, like):
    settings, strides = BACKBONES[kind]
    network = wing("backbones").build_backbone(settings, frozen_norm=True, last_stage=last_stage)
    fill(network, framework)
    shapes = [tuple(answer.shape) for answer in network(xp.asarray(IMAGE, like))]
    expected = zip(network.channels, strides[:last_stage], strict=True)
    assert shapes == [(2, channels, 64 // stride, 96 // stride) for channels, stride in expected]


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("model", FINEST_MAPS)
def test_every_family_takes_every_backbone(model, kind, wing):
    learner = golden_learner(wing, model, [setting_of(kind)])
    name, stride = FINEST_MAPS[model]
    answer = learner.trace({"image": golden.image(3, (1, 3, 256, 256))})[name]
    assert answer.shape[2:] == (256 // stride, 256 // stride)
    assert np.isfinite(answer).all() and answer.any()


@pytest.mark.parametrize(("kind", "stem"), [("resnet", ("conv1.", "bn1.")), ("darknet", ("stem.",))])
def test_frozen_stages_of_every_backbone_stand_still(kind, stem, wing):
    settings = load_settings("mask_rcnn_tiny", [setting_of(kind), "network.frozen_stages=2"])
    learner = wing("learner").Learner(settings, "cpu", training=True)
    still = tuple(f"backbone.{name}" for name in (*stem, "layer1."))
    moving = {name for name in learner.shapes() if not name.startswith(still) and ".running_" not in name}
    assert set(learner.trainable()) == moving


@pytest.mark.parametrize("name", FPNS)
def test_pyramid(name, wing, framework, xp, like):
    options = FPNS[name]
    network = wing("fpn").FPN([6, 10, 14], 8, **options)
    weights = fill(network, framework)
    # Sides may be odd where sizes are made equal bilinearly; the other way each map has half the size of the finer one.
    sizes = [(17, 23), (9, 12), (5, 6)] if options["top_down"] == "bilinear" else [(16, 24), (8, 12), (4, 6)]
    maps = [golden.image(channels, (2, channels, *size)) for channels, size in zip((6, 10, 14), sizes, strict=True)]

    merged = [conv(x, weights[f"lateral.{k}.weight"], weights[f"lateral.{k}.bias"]) for k, x in enumerate(maps)]
    for level in (1, 0):
        coarser, size, way = merged[level + 1], merged[level].shape[2:], options["top_down"]
        finer = double_from_corners(coarser) if way == "corners" else numpy_ops.resize(coarser, size, way)
        merged[level] = merged[level] + finer
    expected = [conv(x, weights[f"output.{k}.weight"], weights[f"output.{k}.bias"]) for k, x in enumerate(merged)]
    if options["output_relu"]:
        expected = [np.maximum(x, 0) for x in expected]
    for k in range(options["extra_levels"]):
        last = expected[-1]
        if options["extra"] == "conv":
            expected.append(conv(last, weights[f"downsample.{k}.weight"], weights[f"downsample.{k}.bias"], stride=2))
        else:
            expected.append(last[:, :, ::2, ::2])
    assert_same(network([xp.asarray(x, like) for x in maps]), expected, xp)
