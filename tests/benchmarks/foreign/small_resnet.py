"""A small residual network in NumPy, and ports of it with other names and layouts, which do the shortcut first."""

import numpy as np

from tests.benchmarks.foreign import small_network as net
from tests.benchmarks.foreign.made_up import Held
from tests.benchmarks.foreign.small_network import AROUND, Layer

WIDTH = 4

# What the port calls the layers, and its classes; its activations are no layers.
NAMES = {
    "stem.conv": ("first.conv2d", "Conv2D"),
    "stem.norm": ("first.bn", "BatchNormalization"),
    "stem.pool": ("first.pool", "MaxPooling"),
    "narrow": ("res_a.proj", "Conv2D"),
    "narrow_norm": ("res_a.proj_bn", "BatchNormalization"),
    "conv1": ("res_a.c0", "Conv2D"),
    "norm1": ("res_a.b0", "BatchNormalization"),
    "conv2": ("res_a.c1", "Conv2D"),
    "norm2": ("res_a.b1", "BatchNormalization"),
    "conv3": ("res_a.c2", "Conv2D"),
    "norm3": ("res_a.b2", "BatchNormalization"),
    "sum": ("res_a", "Residual"),
    "last": ("last.c", "Conv2D"),
    "last_norm": ("last.bn", "BatchNormalization"),
    "pool": ("head.pool", "GlobalPooling"),
    "classes": ("head.logits", "Dense"),
}
# In the port the shortcut's branch is computed before the other; in the reference behind it.
REFERENCE = [*list(NAMES)[:3], *list(NAMES)[5:11], "narrow", "narrow_norm", *list(NAMES)[11:]]


def build() -> net.Network:
    """The right network, in the reference's order."""
    layers = {
        "stem.conv": Layer("Conv2d", ("image",), net.conv, {"sides": AROUND}),
        "stem.norm": Layer("BatchNorm2d", ("stem.conv",), net.batch_norm),
        "stem.pool": Layer("MaxPool2d", ("stem.norm",), net.max_pool),
        "conv1": Layer("Conv2d", ("stem.pool",), net.conv),
        "norm1": Layer("BatchNorm2d", ("conv1",), net.batch_norm),
        "conv2": Layer("Conv2d", ("norm1",), net.conv, {"stride": 2, "sides": AROUND}),
        "norm2": Layer("BatchNorm2d", ("conv2",), net.batch_norm),
        "conv3": Layer("Conv2d", ("norm2",), net.conv),
        "norm3": Layer("BatchNorm2d", ("conv3",), net.batch_norm),
        "narrow": Layer("Conv2d", ("stem.pool",), net.conv, {"stride": 2}),
        "narrow_norm": Layer("BatchNorm2d", ("narrow",), net.batch_norm),
        "sum": Layer("Bottleneck", ("norm3", "narrow_norm"), net.add_then_relu),
        "last": Layer("Conv2d", ("sum",), net.conv, {"sides": AROUND}),
        "last_norm": Layer("BatchNorm2d", ("last",), net.batch_norm),
        "pool": Layer("AdaptiveAvgPool2d", ("last_norm",), lambda x: x.mean((2, 3), keepdims=True)),
        "flat": Layer("function", ("pool",), lambda x: x.reshape(len(x), -1), is_seen=False),
        "classes": Layer("Linear", ("flat",), net.linear),
    }
    assert [name for name in layers if layers[name].is_seen] == REFERENCE
    return layers


KERNELS = {
    "stem.conv": (WIDTH, 3, 3, 3),
    "conv1": (WIDTH, WIDTH, 1, 1),
    "conv2": (WIDTH, WIDTH, 3, 3),
    "conv3": (2 * WIDTH, WIDTH, 1, 1),
    "narrow": (2 * WIDTH, WIDTH, 1, 1),
    "last": (2 * WIDTH, 2 * WIDTH, 3, 3),
    "classes": (7, 2 * WIDTH),
}
NORMS = {"stem.norm": WIDTH, "norm1": WIDTH, "norm2": WIDTH, "norm3": 8, "narrow_norm": 8, "last_norm": 8}


def draw_weights() -> net.Arrays:
    """Parameters by the reference's names."""
    rng = np.random.default_rng(4)
    drawn = {f"{name}.weight": rng.normal(size=shape) / np.prod(shape[1:]) ** 0.5 for name, shape in KERNELS.items()}
    for name, count in NORMS.items():
        drawn |= {f"{name}.{leaf}": rng.uniform(0.5, 1.5, count) for leaf in ("weight", "running_var")}
        drawn |= {f"{name}.{leaf}": rng.normal(size=count) for leaf in ("bias", "running_mean")}
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def dump(network: net.Network, dtype: type = np.float32) -> Held:
    """The layers of a network in the reference's order, under its names."""
    answers = net.run(network, draw_weights(), net.draw_image(2), dtype)
    return Held(answers, {name: network[name].kind for name in answers})


def foreign(network: net.Network, channels_last: bool) -> Held:
    """The layers of a network as a port dumps them."""
    answers = dump(network).arrays
    arrays = {
        NAMES[name][0]: answers[name].transpose(0, 2, 3, 1)
        if channels_last and answers[name].ndim == 4
        else answers[name]
        for name in NAMES
    }
    return Held(arrays, dict(NAMES.values()))


def foreign_weights(channels_last: bool) -> net.Arrays:
    """The parameters as the port has them: (h, w, in, out) where the channels are last."""
    found = {}
    for name, array in draw_weights().items():
        layer, _, leaf = name.rpartition(".")
        turned = array.transpose(2, 3, 1, 0) if channels_last and array.ndim == 4 else array
        found[f"{NAMES[layer][0]}.{leaf}"] = turned
    return found
