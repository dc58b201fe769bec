"""The facts that parity needs to compare Mask2Former's models."""

from functools import partial

from common.families.parity import Parity, spread_scores

# Fresh scores are nearly equal, and rounding would pair the queries with the segments. What is behind the layers of the
# masks keeps its sign, by which the queries see: their scale alone changes.
SPREADS = {
    "pred_logits": ("transformer_decoder.class_embed", 3.0),
    "pred_masks": ("transformer_decoder.mask_embed.2", 3.0),
}

PARITY = Parity(
    enliven=partial(spread_scores, spreads=SPREADS),
    row_keys={"pairs": "cells"} | {"points": "rows"} | {f"points_{number}": "rows" for number in range(9)},
    causes_by_class={
        "DeformableAttention": {
            "": "where it reads: offsets count in cells of the map that is read, x by its width and y by its height",
        },
        "PixelDecoder": {"": "the order of the maps, coarse to fine, or the enlarging of the one of stride 8"},
        "DecoderLayer": {"": "the order of its parts: across, among the queries, linear; norms come behind each"},
        "TransformerDecoder": {"": "the order in which layers look at the maps, or the places that queries do not see"},
    },
    causes_by_name={
        "encoder_positions": {"": "the position encoding: its scale of 2 pi, its half cells, or y before x"},
        "number of equal pairs": {"": "the costs of matching: a weight, the points, or dice without its ones"},
        **{
            f"attn_mask_{number}": {"": "the mask predicted before, resized for this map: logits below 0"}
            for number in range(9)
        },
    },
)
