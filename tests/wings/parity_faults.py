"""Faults as ports have them, each planted in this process's wing alone."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import common.families.yolact.family
from benchmarks.parity import case
from common.array import namespace
from common.families.yolact import detection

CALL = {"torch": "forward", "jittor": "execute", "mindspore": "construct"}
GROUP = "head."  # the parameters of the optimizer's group that is spoilt


@dataclass(frozen=True)
class Fault:
    """plant(wing, patch, framework) plants it; the rest is what must be said of it.

    name: of the array that departs first; * stands for anything, where rounding decides which of several can be told.
    still: whether it is looked for where norms stand still, as with few images, or where they train.
    """

    plant: Callable
    gate: int
    name: str
    patterns: tuple[str, ...]
    still: bool = True


def norm_epsilon(wing, patch, framework):
    right = wing("backbones").norm_for
    patch.setattr(wing("backbones"), "norm_for", lambda *given: functools.partial(right(*given), eps=1e-3))


def transposed_weight(wing, patch, framework):
    def load(learner, weights, original, **options):
        name = "backbone.layer1.0.conv1.weight"
        original(learner, weights | {name: np.ascontiguousarray(weights[name].swapaxes(0, 1))}, **options)

    wrap(patch, wing("learner").Learner, "load_weights", load)


def swapped_channels(wing, patch, framework):
    right = case.Case.inputs

    def swapped(self):
        inputs = right(self)
        return inputs | {"image": np.ascontiguousarray(inputs["image"][:, ::-1])}

    patch.setattr(case.Case, "inputs", swapped)


def other_corners(wing, patch, framework):
    right = wing("ops").resize
    patch.setattr(wing("ops"), "resize", lambda x, size, mode="bilinear": right(x, size, mode, mode == "bilinear"))


def missing_relu(wing, patch, framework):
    def prototypes(self, x):
        xp = namespace(x)
        x = self.conv1(x)
        x = xp.maximum(self.conv3(xp.maximum(self.conv2(x), 0.0)), 0.0)
        x = xp.resize(x, (2 * x.shape[2], 2 * x.shape[3]))
        return xp.maximum(self.conv5(xp.maximum(self.conv4(x), 0.0)), 0.0)

    patch.setattr(wing("yolact").ProtoNet, CALL[framework], prototypes)


def floored_priors(wing, patch, framework):
    right = common.families.yolact.family.make_priors
    patch.setattr(
        common.families.yolact.family, "make_priors", lambda *given: np.floor(right(*given) * 128) / np.float32(128)
    )


def dropped_term(wing, patch, framework):
    right = common.families.yolact.family.compute_losses

    def losses(*given):
        return {name: value for name, value in right(*given).items() if name != "S"}

    patch.setattr(common.families.yolact.family, "compute_losses", losses)


def trained_norm(wing, patch, framework):
    def build(norm, channels, original, **options):
        original(norm, channels, **options)
        if framework == "jittor":
            norm.weight.start_grad()
        else:
            (norm.weight if framework == "torch" else norm.gamma).requires_grad = True

    wrap(patch, wing("layers").FrozenBatchNorm, "__init__", build)


def momentum_of_norms(wing, patch, framework):
    _after_each_step(wing, patch, lambda old, new, name: 0.1 * old + 0.9 * (new - 0.9 * old) / 0.1)


def stale_variance(wing, patch, framework):
    _after_each_step(wing, patch, lambda old, new, name: old if name.endswith("var") else new)


def biased_variance(wing, patch, framework):
    """In the last stage, where a channel has the fewest values: 8 images of 4 x 4."""

    def biased(old, new, name):
        if not (name.startswith("backbone.layer4") and name.endswith("bn3.running_var")):
            return new
        return 0.9 * old + (new - 0.9 * old) * (127 / 128)

    _after_each_step(wing, patch, biased)


def no_decay(wing, patch, framework):
    _spoil_group(wing, patch, framework, decay=0.0, rate=1.0)


def doubled_rate(wing, patch, framework):
    _spoil_group(wing, patch, framework, decay=1.0, rate=2.0)


def one_pixel_more(wing, patch, framework):
    right = detection.postprocess

    def postprocess(*given):
        found = right(*given)
        found.boxes[:, 2:] += 1
        return found

    patch.setattr(detection, "postprocess", postprocess)


def wrap(patch, owner, name, replacement):
    """Has `replacement(*arguments, original=...)` called in place of a method."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(*given, **options):
        return replacement(*given, original=original, **options)

    patch.setattr(owner, name, method)


def _after_each_step(wing, patch, statistic):
    """Has every running statistic become statistic(before the step, after it, its name)."""

    def step(learner, batch, rate, original, **options):
        before = learner.weights()
        losses = original(learner, batch, rate, **options)
        after = learner.weights()
        for name in after:
            if ".running_" in name:
                after[name] = np.float32(statistic(before[name], after[name], name))
        learner.load_weights(after)
        return losses

    wrap(patch, wing("learner").Learner, "train_step", step)


def _spoil_group(wing, patch, framework, decay, rate):
    """The group's decay and rate, times these."""
    if framework == "torch":

        def optimizer(schedule, parameters, original):
            made = original(schedule, parameters)
            group = made.param_groups[0]
            members = group["params"]
            chosen = members[-10:-2]  # the head's: behind them stands the semantic layer alone
            group["params"] = members[:-10] + members[-2:]
            made.add_param_group({**group, "params": chosen, "weight_decay": decay * group["weight_decay"]})
            made.register_step_pre_hook(lambda *_: made.param_groups[1].update(lr=rate * group["lr"]))
            return made

        wrap(patch, wing("learner"), "_optimizer", optimizer)
        return

    def spoiled(name, learning_rate, weight_decay):
        return (rate * learning_rate, decay * weight_decay) if name.startswith(GROUP) else (learning_rate, weight_decay)

    def jittor_sgd(optimizer, name, parameter, gradient, learning_rate, weight_decay, original):
        return original(optimizer, name, parameter, gradient, *spoiled(name, learning_rate, weight_decay))

    def mindspore_step(optimizer, library, tensors, scale, learning_rate, weight_decay, original):
        return original(optimizer, library, tensors, scale, *spoiled(tensors[0].name, learning_rate, weight_decay))

    name, step = ("_sgd", jittor_sgd) if framework == "jittor" else ("_step_by_kernel", mindspore_step)
    wrap(patch, wing("_optimizers").Optimizer, name, step)


def smaller_biases(wing, patch, framework):
    """Every convolution adds 99 % of its bias."""

    def convolve(self, x, weight, bias, original):
        return original(self, x, weight, None if bias is None else 0.99 * bias)

    wrap(patch, wing("layers").Conv, "convolve", convolve)


def no_biases(wing, patch, framework):
    wrap(
        patch, wing("layers").Conv, "convolve", lambda self, x, weight, bias, original: original(self, x, weight, None)
    )


def smaller_folded_shifts(wing, patch, framework):
    """A norm that is folded into its convolution, as in prediction alone, shifts by 99 %."""

    def scale_and_shift(self, original):
        scale, shift = original(self)
        return scale, (0.99 * shift if wing("layers")._folding else shift)

    wrap(patch, wing("layers").BatchNorm, "scale_and_shift", scale_and_shift)


def larger_gradient(operator):
    """Plants a gradient of an operator that is 2 % too large; what it computes stays the same."""

    def plant_in(wing, patch, framework):
        right = getattr(wing("ops"), operator)

        def spoilt(x, *given, **options):
            return right(x + 0.02 * (x - namespace(x).stop_gradient(x)), *given, **options)

        patch.setattr(wing("ops"), operator, spoilt)

    return plant_in


def larger_term(module, name, term):
    """Plants a loss of a family in which one term is 0.1 % too large."""

    def plant_in(wing, patch, framework):
        right = getattr(module, name)

        def losses(*given, **options):
            return {key: 1.001 * value if key == term else value for key, value in right(*given, **options).items()}

        patch.setattr(module, name, losses)

    return plant_in


SCALED = ("scale", "scale and shift", "scale by channel", "scale and shift by channel")
FAULTS = {
    "BatchNorm eps 1e-3": Fault(norm_epsilon, 1, "backbone.bn1", SCALED),
    "a transposed square weight": Fault(transposed_weight, 1, "backbone.layer1.0.conv1.weight", ("transposed",)),
    "swapped RGB": Fault(swapped_channels, 1, "preprocessing", ("channels permuted",)),
    "align_corners flipped": Fault(other_corners, 1, "input of fpn.output.0", ("noise", "border")),
    "a missing ReLU": Fault(missing_relu, 1, "input of proto_net.conv2", ("missing ReLU",)),
    "floor in priors": Fault(floored_priors, 1, "priors", ("noise", "shift", "shift by channel")),
    "biases 1 % too small": Fault(smaller_biases, 1, "fpn.lateral.0", ("shift by channel",)),
    "no biases": Fault(no_biases, 1, "fpn.lateral.0", ("shift by channel",)),
    "folded shifts 1 % too small": Fault(smaller_folded_shifts, 1, "as used: loc", ("noise", "shift by channel")),
    "a term 0.1 % too large": Fault(
        larger_term(common.families.yolact.family, "compute_losses", "M"), 2, "loss.M", ("scale",)
    ),
    "a gradient of the resize 2 % too large": Fault(larger_gradient("resize"), 3, "backbone.conv1.weight", ("noise",)),
    "a dropped loss term": Fault(dropped_term, 2, "loss.S", ("missing",)),
    "a frozen layer left trainable": Fault(trained_norm, 3, "backbone.bn1.weight", ("trained or not",)),
    "momentum of norms the other way": Fault(
        momentum_of_norms, 4, "update of backbone.bn1.running_mean", ("noise", *SCALED), still=False
    ),
    "a stale running variance": Fault(
        stale_variance, 4, "update of backbone.bn1.running_var", ("did not move",), still=False
    ),
    "biased variance": Fault(
        biased_variance, 4, "update of backbone.layer4.0.bn3.running_var", ("noise", *SCALED), still=False
    ),
    "no weight decay in one group": Fault(no_decay, 4, "momentum_buffer/head.trunk.weight", ("noise",)),
    "twice the rate in one group": Fault(doubled_rate, 4, "update of head.trunk.weight", ("scale",)),
    "+1 in a box": Fault(one_pixel_more, 5, "boxes", ("noise", "shift by channel")),
}
