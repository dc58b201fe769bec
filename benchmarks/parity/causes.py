"""The usual causes of a departure by pattern, kind and name, as porting has shown them: hints, never a proof.

Those of a family's own modules and stages stand in its record.
"""

from functools import cache

from common.families import family_records
from common.families.parity import UsualCauses

# By a module's class or another kind of finding, then by pattern; "" stands for any.
CAUSES = {
    "": {
        "missing": "a layer of another name, or one that this model has not",
        "another shape": "another axis order, padding or stride, or a setting of another value",
        "not finite": "a division by or a logarithm of zero, an exponential that overflows, or memory never set",
        "constant": "a value that was never computed, or a saturated or collapsed activation before it",
        "all zero": "a value that was never computed or never written, or a gradient that was cut off",
        "missing ReLU": "an activation that was left out",
        "added ReLU": "an activation in a place that has none, or one that works in place on a shared array",
        "transposed": "a kernel of the other layout: (in, out) for (out, in), or width for height",
        "flipped": "a convolution where the reference correlates, or a mirrored picture or axis",
        "channels permuted": "channels or parts that are concatenated or reshaped in another order",
        "border": "the padding: another side where it is uneven, another width, another value",
        "moved by whole pixels": "uneven padding put on the other side, or a stride that starts elsewhere",
        "": "another constant or formula in this place; its parts tell more",
    },
    "BatchNorm": {
        "": "the epsilon, or running statistics that are stale or of the batch",
        "scale by channel": "the epsilon, or a running variance that is stale, biased or of the batch",
        "shift by channel": "a running mean or bias that is stale or was not loaded",
        "scale and shift by channel": (
            "statistics that are stale or of the batch (train mode), or weight and bias exchanged"
        ),
        "scale": "the unbiased variance (n / (n - 1)) for the biased, or the reverse",
    },
    "FrozenBatchNorm": {
        "": "an epsilon that is added on one side only, or statistics that moved nevertheless",
    },
    "SyncBatchNorm": {
        "": "the epsilon, or statistics: stale, of the batch, or of rows that only fill it up",
    },
    "LayerNorm": {
        "": "the weight and the bias: exchanged, left out, or another norm's",
        "scale by channel": "the weight: left out, or another norm's",
        "shift by channel": "the bias: left out, or another norm's",
        "scale": "the unbiased variance (n - 1) for the biased, or the epsilon",
        "noise": "the epsilon, 1e-5 in some and 1e-6 in others, or a norm over other axes than the channels",
    },
    "GroupNorm": {
        "": "the weight and the bias: exchanged, left out, or another norm's",
        "scale by channel": "the weight: left out, or another norm's",
        "shift by channel": "the bias: left out, or another norm's",
        "scale": "the unbiased variance (n - 1) for the biased, or the epsilon",
        "noise": "the number of groups, or the epsilon",
    },
    "WindowAttention": {
        "": "the projections, or in shifted windows their mask; the input of its `proj` tells them apart",
    },
    "RelativePosition": {
        "": "the table of relative positions: another's, its order of heads, or its index (i - j or j - i)",
        "transposed": "the table of relative positions read the other way, j - i for i - j",
    },
    "PatchMerging": {
        "": "the order of the four corners, or a map of an odd side, which zeros fill up",
    },
    "PatchEmbed": {
        "border": "the padding up to a multiple of the patch, below and to the right",
    },
    "Mlp": {
        "": "the GELU: exact (erf) or its approximation by tanh",
    },
    "Conv": {
        "scale by channel": "a norm folded into the kernel with another epsilon or stale statistics",
        "shift by channel": "the bias: missing, added twice, or another's",
        "noise": "uneven padding (`same`) where the stride is 2; else another dilation or grouping",
        "border": "the padding: its width, its value, or on which side it lies",
        "another shape": "the padding (none, `same`), the stride or the dilation",
        "": "the kernel or the bias as they were loaded: another's, fresh, or in another order",
    },
    "DeformConv": {
        "noise": "the offsets: x before y, their order by tap, or a mask without its sigmoid",
        "border": "how a sample beyond the picture is read: as zero, or clipped to the border",
    },
    "Linear": {
        "noise": "the weight: not loaded, another layer's, or where it is square transposed",
        "shift by channel": "the bias: missing, not loaded, or another's",
        "": "inputs flattened in another order, or the weight and the bias as they were loaded",
    },
    "Pool": {
        "": "the padding: its side, its value, or whether a mean counts it (count_include_pad)",
        "noise": "the maximum for the mean or the reverse, or a kernel of another size",
        "another shape": "the ceil mode, the padding, the stride or the kernel's size",
        "moved by whole pixels": "the padding: on another side where it is uneven",
    },
    "LU": {
        "": "another activation: ReLU6 or a leaky one for ReLU, GELU by tanh for the exact, another slope",
        "missing ReLU": "the activation: left out, or a leaky one for ReLU",
    },
    "FPN": {
        "": "how the coarser level is enlarged (align_corners, nearest) or where an activation stands",
    },
    "Upsample": {
        "": "align_corners, the half pixel, or a size that is rounded otherwise",
        "border": "align_corners, or how a pixel beyond the border is read",
    },
    "preprocessing": {
        "": "how the picture is resized: the interpolation, its rounding or the half pixel",
        "channels permuted": "RGB read as BGR",
        "scale": "pixels of 0..1 where the reference has 0..255, or the reverse",
        "shift": "the mean: not subtracted, or another's",
        "scale and shift": "another normalisation: its mean and deviation, or pixels of 0..255",
        "scale by channel": "the deviation of the normalisation, or its order by channel",
        "shift by channel": "the mean of the normalisation, or its order by channel (RGB, BGR)",
        "scale and shift by channel": "mean and deviation of the normalisation, or their order",
        "border": "the padding: its value, or whether it comes before the normalisation",
        "transposed": "width taken for height",
    },
    "input": {
        "": "what stands between two modules: a resize (align_corners), an activation, an order",
        "channels permuted": "the order in which arrays are concatenated",
        "noise": "a resize: align_corners, the half pixel, or a size that is rounded otherwise",
        "scale": "a sum that is a mean elsewhere, or a factor that is left out",
        "border": "a resize (align_corners, the half pixel) or the padding in front of a layer",
    },
    "stage": {
        "": "a constant, a rounding or an order outside of the modules",
        "channels permuted": "the order in which levels, anchors or columns are put together",
    },
    "weight": {
        "": "a file that is not the one meant, a weight under another's name, or after steps its update",
        "transposed": "a kernel or matrix of the other layout: (in, out) for (out, in)",
        "scale": "a norm or a factor folded into the weight",
    },
    "loss": {
        "": "what it is summed over or divided by, or what is matched as positive",
        "missing": "a term that is left out, or one under another name",
        "all zero": "a term that is left out, or one without positives",
        "scale": "its weight, or what it is divided by: positives, images, pixels",
    },
    "gradient": {
        "": "a path that is or is not cut off (detach), or an operation's own gradient",
        "missing": "a layer that is frozen on one side alone",
        "all zero": "a layer that is frozen, or a path that is cut off (detach)",
        "scale": "what the loss is divided by, or the sum over devices for their mean",
    },
    "rate": {
        "": "the schedule, its warm-up, or what is made of the batch size",
    },
    "update": {
        "": "the learning rate or weight decay of its group, the momentum's convention, or another gradient",
        "missing": "a layer that is frozen on one side alone",
        "all zero": "a layer that is frozen, or a parameter in no group",
        "scale": "the learning rate of its group, or the momentum's dampening",
        "shift": "weight decay, or its lack, in the group",
    },
    "momentum": {
        "": "where the learning rate, dampening or weight decay enters the momentum",
        "scale": "the momentum that has the learning rate in it, or is dampened",
    },
    "choice": {
        "": "a threshold, such as suppression's, the order of equal scores, or the number kept",
    },
    "result": {
        "": "suppression: its threshold, the order of equal scores, or the number kept",
        "another shape": "a threshold or the suppression: the numbers of detections differ",
    },
}

_ATTENTION = (
    "the scale of the queries, the table of relative positions (i - j or j - i), or the mask of shifted windows"
)
_HEADS = "the order of queries, keys and values, or how heads are split and joined"
_GELU = "the GELU: exact (erf) or its approximation by tanh"
_CORNERS = "the order of the four corners: the rows change before the columns; or a map of an odd side"

_MOMENTUM = "the norm's momentum read the other way (0.1 for 0.9), or another momentum"
_NOT_UPDATED = "a statistic that is not updated: frozen, or in evaluation mode"
_RUNNING_MEAN = {
    "": _MOMENTUM,
    "scale": _MOMENTUM,
    "shift": _MOMENTUM,
    "all zero": _NOT_UPDATED,
    "did not move": _NOT_UPDATED,
}
_VARIANCE = "the biased variance for the unbiased, or the norm's momentum read the other way"
_RUNNING_VAR = _RUNNING_MEAN | {
    "scale": _VARIANCE,
    "scale and shift": _VARIANCE,
    "": f"{_MOMENTUM}; a biased variance",
}

# The same by the last part of a name or the last two, of what is no module.
NAMED = {
    "attn.proj": {"": _HEADS, "noise": _ATTENTION, "channels permuted": "heads that are joined in another order"},
    "mlp.fc2": {"": _GELU, "noise": _GELU},
    "downsample.norm": {"": _CORNERS, "noise": _CORNERS, "channels permuted": _CORNERS},
    "running_var": _RUNNING_VAR,
    "running_mean": _RUNNING_MEAN,
    "moving_mean": _RUNNING_MEAN,
    "moving_variance": _RUNNING_VAR,
    "boxes": {
        "": "the last pixel counted with (+1), rounding or clipping, or another order of detections",
        "shift": "half a pixel or the last pixel counted with (+1)",
        "shift by channel": "the last pixel counted with (+1) in width and height",
        "scale": "another size of the picture to which boxes are scaled back",
        "scale by channel": "width and height exchanged when boxes are scaled back",
        "channels permuted": "y before x, or another order of detections",
    },
    "masks": {
        "": "the resize of masks, their threshold, or the rounding of the crop",
    },
    "mask IoU": {
        "": "the resize of masks, their threshold, or the rounding of the crop",
    },
    "scores": {
        "": "the order of detections, or a softmax where the reference has a sigmoid",
    },
    "detections": {
        "": "a threshold, the suppression, or the number kept",
    },
}


MOST_CAUSES = 2  # told of a departure


def usual_causes(pattern: str, kind: str, name: str) -> tuple[str, ...]:
    """One or two lines, the likelier first: what usually causes this pattern in this place, then what the place does.

    The line for a place or pattern of which nothing is known stands alone.
    """
    by_class, by_name = _all_causes()
    parts = name.split("@", 1)[0].split(".")  # running_var of backbone.bn1.running_var, trunk of head.trunk@2
    names = (name, ".".join(parts[-2:]), parts[-1])
    # A class may be another's by name: BatchNorm's causes serve BatchNorm2d, and FrozenBatchNorm after its own.
    kinds = sorted((known for known in by_class if known and known in kind), key=len, reverse=True)
    named = next((by_name[known] for known in names if known in by_name), {}) if kind.islower() else {}
    places = [named, *(by_class[known] for known in kinds)]
    lines = [table[pattern] for table in (*places, by_class[""]) if pattern in table]
    lines += [table[""] for table in places if "" in table]
    lines = list(dict.fromkeys(lines)) or [by_class[""][""]]
    return tuple(f"usually {line}" for line in lines[:MOST_CAUSES])


@cache
def _all_causes() -> tuple[dict[str, UsualCauses], dict[str, UsualCauses]]:
    """The causes by class and by name, with those of every family."""
    by_class, by_name = dict(CAUSES), dict(NAMED)
    for family in family_records():
        by_class |= family.parity.causes_by_class
        by_name |= family.parity.causes_by_name
    return by_class, by_name
