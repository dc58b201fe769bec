"""What usually causes a departure: what porting has shown before, by pattern, kind and name. A hint, never a proof."""

# (the last part of a name or a module's class or another kind, pattern) -> cause; "" stands for any.
CAUSES = {
    ("", "missing"): "usually a layer of another name, or one that this model has not",
    ("", "another shape"): "usually another axis order, padding or stride, or a setting of another value",
    (
        "",
        "not finite",
    ): "usually a division by or a logarithm of zero, an exponential that overflows, or memory never set",
    ("", "all zero"): "usually a value that was never computed or never written, or a gradient that was cut off",
    ("", "missing ReLU"): "usually an activation that was left out",
    ("", "added ReLU"): "usually an activation in a place that has none, or one that works in place on a shared array",
    ("", "transposed"): "usually a kernel of the other layout: (in, out) for (out, in), or width for height",
    ("", "flipped"): "usually a convolution where the reference correlates, or a mirrored picture or axis",
    ("", "channels permuted"): "usually channels or parts that are concatenated or reshaped in another order",
    ("", "border"): "usually the padding: another side where it is uneven, another width, another value",
    ("", "moved by whole pixels"): "usually uneven padding put on the other side, or a stride that starts elsewhere",
    ("", ""): "usually another constant or formula in this place; its parts tell more",
    # Modules.
    ("BatchNorm", ""): "usually the epsilon, or running statistics that are stale or of the batch",
    (
        "BatchNorm",
        "scale by channel",
    ): "usually the epsilon, or a running variance that is stale, biased or of the batch",
    ("BatchNorm", "shift by channel"): "usually a running mean or bias that is stale or was not loaded",
    ("BatchNorm", "scale and shift by channel"): "usually the epsilon, or statistics that are stale or of the batch",
    ("FrozenBatchNorm", ""): "usually an epsilon that is added on one side only, or statistics that moved nevertheless",
    ("Conv", "scale by channel"): "usually a norm folded into the kernel with another epsilon or stale statistics",
    ("Conv", "shift by channel"): "usually the bias: missing, added twice, or another's",
    ("Conv", "noise"): "usually another dilation or grouping, a kernel loaded in another order, or lower precision",
    ("Conv", ""): "usually the kernel or the bias as they were loaded",
    ("DeformConv", ""): "usually the offsets: x before y, their order by tap, or a mask without its sigmoid",
    ("DeformConv", "border"): "usually how a sample beyond the picture is read: as zero, or clipped to the border",
    ("Linear", "noise"): "usually a square weight that is transposed, or inputs flattened in another order",
    ("FPN", ""): "usually how the coarser level is enlarged (align_corners, nearest) or where an activation stands",
    ("ProtoNet", ""): "usually the resize (align_corners), or an activation before it or at the end",
    (
        "PredictionHead",
        "",
    ): "usually the order of anchors and numbers when the maps are flattened: channels go last first",
    ("MaskIoUNet", ""): "usually the threshold of its input, the padding, or the activation before the maximum",
    # What is not a module's answer.
    ("preprocessing", ""): "usually how the picture is resized: the interpolation, its rounding or the half pixel",
    ("preprocessing", "channels permuted"): "usually RGB read as BGR",
    ("preprocessing", "scale"): "usually pixels of 0..1 where the reference has 0..255, or the reverse",
    ("preprocessing", "shift"): "usually the mean: not subtracted, or another's",
    ("preprocessing", "scale and shift"): "usually another normalisation: its mean and deviation, or pixels of 0..255",
    ("preprocessing", "scale by channel"): "usually the deviation of the normalisation, or its order by channel",
    ("preprocessing", "shift by channel"): "usually the mean of the normalisation, or its order by channel (RGB, BGR)",
    ("preprocessing", "scale and shift by channel"): "usually mean and deviation of the normalisation, or their order",
    ("preprocessing", "border"): "usually the padding: its value, or whether it comes before the normalisation",
    ("preprocessing", "transposed"): "usually width taken for height",
    ("input", ""): "usually what stands between two modules: a resize (align_corners), an activation, an order",
    ("input", "channels permuted"): "usually the order in which arrays are concatenated",
    ("input", "noise"): "usually a resize: align_corners, the half pixel, or a size that is rounded otherwise",
    ("input", "scale"): "usually a sum that is a mean elsewhere, or a factor that is left out",
    ("input", "border"): "usually a resize (align_corners, the half pixel) or the padding in front of a layer",
    ("stage", ""): "usually a constant, a rounding or an order outside of the modules",
    ("stage", "channels permuted"): "usually the order in which levels, anchors or columns are put together",
    (
        "priors",
        "",
    ): "usually the anchors' rounding (floor for round), their centre (half a step), or sizes from the wrong side",
    ("priors", "shift by channel"): "usually the anchors' centre: half a step off",
    ("priors", "channels permuted"): "usually the order of anchors: rows, columns, sizes and aspect ratios",
    (
        "weight",
        "",
    ): "usually a file that is not the one meant, a weight under another's name, or after steps its update",
    ("weight", "transposed"): "usually a kernel or matrix of the other layout: (in, out) for (out, in)",
    ("weight", "scale"): "usually a norm or a factor folded into the weight",
    ("running_var", "scale"): "usually the biased variance for the unbiased, or the norm's momentum read the other way",
    (
        "running_var",
        "",
    ): "usually the norm's momentum read the other way, a biased variance, or a statistic never updated",
    ("running_mean", ""): "usually the norm's momentum read the other way, or a statistic that is not updated",
    # Training.
    ("loss", ""): "usually what it is summed over or divided by, or what is matched as positive",
    ("loss", "missing"): "usually a term that is left out, or one under another name",
    ("loss", "all zero"): "usually a term that is left out, or one without positives",
    ("loss", "scale"): "usually its weight, or what it is divided by: positives, images, pixels",
    ("gradient", ""): "usually a path that is or is not cut off (detach), or an operation's own gradient",
    ("gradient", "missing"): "usually a layer that is frozen on one side alone",
    ("gradient", "all zero"): "usually a layer that is frozen, or a path that is cut off (detach)",
    ("gradient", "scale"): "usually what the loss is divided by, or the sum over devices for their mean",
    (
        "update",
        "",
    ): "usually the learning rate or decay of its group, the momentum's convention, or a gradient that differs",
    ("update", "missing"): "usually a layer that is frozen on one side alone",
    ("update", "all zero"): "usually a layer that is frozen, or a parameter in no group",
    ("update", "scale"): "usually the learning rate of its group, or the momentum's dampening",
    ("update", "shift"): "usually weight decay, or its lack, in the group",
    ("momentum", ""): "usually where the learning rate, dampening or weight decay enters the momentum",
    ("momentum", "scale"): "usually the momentum that has the learning rate in it, or is dampened",
    # Detections and their figures.
    ("result", ""): "usually suppression: its threshold, the order of equal scores, or the number kept",
    ("result", "another shape"): "usually a threshold or the suppression: the numbers of detections differ",
    ("boxes", ""): "usually the last pixel counted with (+1), rounding or clipping, or another order of detections",
    ("boxes", "shift"): "usually half a pixel or the last pixel counted with (+1)",
    ("boxes", "shift by channel"): "usually the last pixel counted with (+1) in width and height",
    ("boxes", "scale"): "usually another size of the picture to which boxes are scaled back",
    ("boxes", "scale by channel"): "usually width and height exchanged when boxes are scaled back",
    ("boxes", "channels permuted"): "usually y before x, or another order of detections",
    ("masks", ""): "usually the resize of masks, their threshold, or the rounding of the crop",
    ("mask IoU", ""): "usually the resize of masks, their threshold, or the rounding of the crop",
    ("scores", ""): "usually the order of detections, or a softmax where the reference has a sigmoid",
    ("detections", ""): "usually a threshold, the suppression, or the number kept",
}


def usual_cause(pattern: str, kind: str, name: str) -> str:
    """One line: the cause kept for the nearest to what departs; a pattern that tells much goes before a kind."""
    subjects = [_last_part(name), *_kinds(kind)]
    keys = [(subject, pattern) for subject in subjects]
    keys += [("", pattern), *((subject, "") for subject in subjects), ("", "")]
    return next(CAUSES[key] for key in keys if key in CAUSES)


def _last_part(name: str) -> str:
    """running_var of backbone.bn1.running_var, trunk of head.trunk@2."""
    return name.rsplit(".", 1)[-1].split("@", 1)[0]


def _kinds(kind: str) -> list[str]:
    """The kinds of the table that stand in a class's name, the longest first: BatchNorm in BatchNorm2d."""
    return sorted({subject for subject, _ in CAUSES if subject and subject in kind}, key=len, reverse=True)
