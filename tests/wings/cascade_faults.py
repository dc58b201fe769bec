"""Faults as ports of Swin and Cascade Mask R-CNN have them, each planted in this process's wing alone."""

import math
from dataclasses import replace

import numpy as np

import common.families.cascade_mask_rcnn.heads
import common.families.cascade_mask_rcnn.stages
from common.array import namespace
from common.families.cascade_mask_rcnn.settings import CascadeSettings
from tests.wings.parity_faults import CALL, SCALED, Fault, smaller_folded_shifts, wrap

# In each wing's `swin` the module and its function that attends in windows, and the share of its first argument's
# channels that are queries.
ATTENTION = {
    "torch": ("F", "scaled_dot_product_attention", 1),
    "jittor": ("transformer_ops", "attend", 3),
    "mindspore": ("transformer_ops", "window_attention", 3),
}
NOISY = ("noise", *SCALED)
ATTENDED = "input of backbone.layer1.blocks.0.attn.proj"


def columns_before_rows(wing, patch, framework):
    """Joins each 2x2 tokens row by row."""

    def merge(self, x):
        corners = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        return self.reduction(self.norm(namespace(x).concatenate(corners, axis=3)))

    patch.setattr(wing("swin").PatchMerging, CALL[framework], merge)


def no_shift_mask(wing, patch, framework):
    right = wing("swin")._masks
    patch.setattr(wing("swin"), "_masks", lambda *given: 0.0 * right(*given))


def transposed_positions(wing, patch, framework):
    """Takes for the tokens i and j what the table has for j and i."""
    right = wing("swin")._positions

    def positions(window, *device):
        found, tokens = right(window, *device), window**2
        xp = namespace(found)
        return xp.reshape(xp.transpose(xp.reshape(found, (tokens, tokens)), (1, 0)), (tokens**2,))

    patch.setattr(wing("swin"), "_positions", positions)


def no_scale(wing, patch, framework):
    """Leaves out the division of queries by the root of a head's size."""
    module, name, parts = ATTENTION[framework]
    right = getattr(getattr(wing("swin"), module), name)

    def attend(given, other, *others, **options):
        queries = given.shape[-1] // parts
        size = queries // (1 if framework == "torch" else other.shape[0])
        factors = np.ones(given.shape[-1], np.float32)
        factors[:queries] = math.sqrt(size)
        return right(given * namespace(given).asarray(factors, like=given), other, *others, **options)

    patch.setattr(getattr(wing("swin"), module), name, attend)


def larger_gradient_of_attention(wing, patch, framework):
    def attend(self, x, kinds, original):
        return original(self, x + 0.02 * (x - namespace(x).stop_gradient(x)), kinds)

    wrap(patch, wing("swin").WindowAttention, CALL[framework], attend)


def tanh_gelu(wing, patch, framework):
    def mix(self, x):
        x = self.fc1(x)
        root = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return self.fc2(0.5 * x * (1.0 + namespace(x).tanh(root)))

    patch.setattr(wing("swin").Mlp, CALL[framework], mix)


def epsilon_of_layer_norm(wing, patch, framework):
    def norm(self, x):
        xp, channels = namespace(x), x.shape[-1]
        scale, shift = (self.gamma, self.beta) if hasattr(self, "gamma") else (self.weight, self.bias)
        centred = x - xp.sum(x, axis=-1, keepdims=True) / float(channels)
        variance = xp.sum(centred * centred, axis=-1, keepdims=True) / float(channels)
        return centred / xp.sqrt(variance + 1e-3) * scale + shift

    patch.setattr(wing("layers").LayerNorm, CALL[framework], norm)


def every_branch_as_it_is(wing, patch, framework):
    wrap(patch, wing("swin").SwinBlock, CALL[framework], lambda self, x, scales, original: original(self, x, None))


def swapped_coders(wing, patch, framework):
    """The first stage has the last one's weights of the box coder, and the last one the first one's."""
    right = CascadeSettings.rules.fget

    def rules(self):
        if self._stage is None:
            return right(self)
        return replace(right(self), region_weights=self.stages[-1 - self._stage].region_weights)

    patch.setattr(CascadeSettings, "rules", property(rules))


def scores_of_the_last_stage(wing, patch, framework):
    right = common.families.cascade_mask_rcnn.heads.mean
    for module in (common.families.cascade_mask_rcnn.heads, common.families.cascade_mask_rcnn.stages):
        patch.setattr(module, "mean", lambda arrays: arrays[-1] if arrays[0].ndim == 2 else right(arrays))


def decayed_norms(wing, patch, framework):
    module = wing("learner" if framework == "torch" else "_optimizers")
    right = module.rate_and_decay
    patch.setattr(
        module,
        "rate_and_decay",
        lambda schedule, name: right(schedule.model_copy(update={"undecayed": ()}), name),
    )


FAULTS = {
    "columns before rows in patch merging": Fault(
        columns_before_rows, 1, "input of backbone.layer2.downsample.norm", ("channels permuted",)
    ),
    "no mask in shifted windows": Fault(no_shift_mask, 1, "input of backbone.layer3.blocks.1.attn.proj", NOISY),
    "positions of tokens exchanged": Fault(transposed_positions, 1, ATTENDED, NOISY),
    "queries that are not scaled": Fault(no_scale, 1, ATTENDED, NOISY),
    "tanh in GELU": Fault(tanh_gelu, 1, "input of backbone.layer1.blocks.0.mlp.fc2", NOISY),
    "LayerNorm eps 1e-3": Fault(epsilon_of_layer_norm, 1, "backbone.patch_embed.norm", NOISY),
    "folded shifts 1 % too small": Fault(smaller_folded_shifts, 1, "as used: box_features_s0", NOISY),
    "the stages' coder weights swapped": Fault(swapped_coders, 1, "input of box_heads.1", NOISY),
    "scores of the last stage": Fault(scores_of_the_last_stage, 1, "class_scores", NOISY),
    "drop path left out": Fault(every_branch_as_it_is, 2, "proposals.boxes", NOISY),
    "a gradient of attention 2 % too large": Fault(
        larger_gradient_of_attention, 3, "backbone.patch_embed.proj.weight", NOISY
    ),
    "weight decay of norms": Fault(decayed_norms, 4, "update of backbone.*norm*.*", (*NOISY, "shift")),
}
