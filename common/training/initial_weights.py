"""The numbers that training from scratch starts from: by canonical name and shape, equal in every framework."""

import math
from functools import partial

import numpy as np

from common.config import MaskRcnnSettings, Pose2SegSettings, Settings, YolactSettings
from common.training.randomness import stream

Shapes = dict[str, tuple[int, ...]]
Weights = dict[str, np.ndarray]

# Of layers whose weights torchvision draws itself.
_PYTORCHS_BIASES = ("mask_head.deconv.bias", "mask_head.logits.bias")


def initial_weights(shapes: Shapes, settings: Settings, seed: int) -> Weights:
    """A value for every name. Each name has its own stream, so that a model's other parts never shift its numbers."""
    rules = {"yolact": _yolact, "mask_rcnn": _mask_rcnn, "pose2seg": partial(_pose2seg, shapes)}
    return {name: rules[settings.family](name, shape, settings, seed) for name, shape in shapes.items()}


def _yolact(name: str, shape: tuple[int, ...], settings: YolactSettings, seed: int) -> np.ndarray:
    """Xavier-uniform convolutions, and the backbone's own rule."""
    if len(shape) < 2:
        return _constant(name, shape)
    if ".offset_mask." in name:  # a deformable convolution starts as a plain one
        return np.zeros(shape, np.float32)
    fan_in, fan_out = _fans(shape)
    if name.startswith("backbone."):
        return _normal(name, shape, math.sqrt(2.0 / fan_out), seed)
    return _uniform(name, shape, math.sqrt(6.0 / (fan_in + fan_out)), seed)


def _mask_rcnn(name: str, shape: tuple[int, ...], settings: MaskRcnnSettings, seed: int) -> np.ndarray:
    """As the three originals do it, which agree but for what torchvision leaves to PyTorch and detectron2's masks."""
    convention = settings.convention
    is_pytorchs = name.startswith(("box_head.fc", "box_head.classes.", "box_head.deltas.")) or name in _PYTORCHS_BIASES
    if is_pytorchs and convention == "torchvision":  # PyTorch's own rule, for which a bias needs its layer's inputs
        return _uniform(name, shape, 1 / math.sqrt(_inputs(name, settings)), seed)
    if len(shape) < 2:
        return _constant(name, shape)
    fan_in, fan_out = _fans(shape)
    if name.startswith(("fpn.", "box_head.fc")):
        return _uniform(name, shape, math.sqrt(3.0 / fan_in), seed)
    if name.startswith(("rpn.", "box_head.classes.")):
        return _normal(name, shape, 0.01, seed)
    if name.startswith("box_head.deltas.") or (name.startswith("mask_head.logits.") and convention == "detectron2"):
        return _normal(name, shape, 0.001, seed)
    # The backbone, C4's last stage of it, and the mask head.
    return _normal(name, shape, math.sqrt(2.0 / fan_out), seed)


def _pose2seg(shapes: Shapes, name: str, shape: tuple[int, ...], settings: Pose2SegSettings, seed: int) -> np.ndarray:
    """The backbone's and the pyramid's convolutions as ResNet's; all else, and biases, by PyTorch's own rule."""
    weight = shapes[f"{name.rpartition('.')[0]}.weight"]
    if len(weight) < 2:
        return _constant(name, shape)
    fan_in, fan_out = _fans(weight)
    if name.endswith(".weight") and not name.startswith("segnet."):
        gain = settings.network.pyramid_gain if name.startswith("fpn.output.") else 1.0
        return _normal(name, shape, gain * math.sqrt(2.0 / fan_out), seed)
    return _uniform(name, shape, 1 / math.sqrt(fan_in), seed)


def _inputs(name: str, settings: MaskRcnnSettings) -> int:
    """A layer's inputs as PyTorch counts them: those of a transposed convolution are its outputs times its taps."""
    network = settings.network
    if name.startswith("mask_head."):
        return network.channels * (4 if name.startswith("mask_head.deconv.") else 1)
    return network.channels * network.box_size**2 if name.startswith("box_head.fc1.") else network.box_channels


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """A weight's inputs and outputs, times its taps."""
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _normal(name: str, shape: tuple[int, ...], deviation: float, seed: int) -> np.ndarray:
    rng = stream(seed, 0, f"initial weight {name}")
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)


def _uniform(name: str, shape: tuple[int, ...], bound: float, seed: int) -> np.ndarray:
    rng = stream(seed, 0, f"initial weight {name}")
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def _constant(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms start as the identity; biases are zero. Only a norm has a weight of one axis."""
    is_one = name.endswith((".weight", ".running_var"))
    return np.ones(shape, np.float32) if is_one else np.zeros(shape, np.float32)
