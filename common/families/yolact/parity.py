"""The facts that parity needs to compare YOLACT's models."""

from common.families.parity import Parity

PARITY = Parity(
    steady_rate=5e-5,
    causes_by_class={
        "ProtoNet": {"": "the resize (align_corners), or an activation before it or at the end"},
        "PredictionHead": {
            "": "the order in which anchors and their numbers are flattened: channels have to go last first",
        },
        "MaskIoUNet": {"": "the threshold of its input, the padding, or the activation before the maximum"},
    },
    causes_by_name={
        "priors": {
            "shift by channel": "the anchors' centre: half a step off",
            "channels permuted": "the order of anchors: rows, columns, sizes and aspect ratios",
            "": "the anchors' rounding (floor for round), their centre (half a step), or a size of another picture",
        },
    },
)
