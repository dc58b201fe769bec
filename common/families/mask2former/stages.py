"""Tracing Mask2Former: every named stage of the computation, as golden cases and parity compare them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.array import Array, namespace

# Is told each stage's name and array by a network that runs.
Note = Callable[[str, Array], None]


def note_nothing(name: str, value: Array) -> None:
    """Lets a stage pass."""


def run_stages(network: Any, image: Array, inputs: dict[str, np.ndarray]) -> dict[str, Array]:
    """Every named stage of the images (N, 3, H, W).

    c2..c5: the backbone's maps. encoder_positions: what is added to the tokens' queries in each layer of the pixel
    decoder. encoder_K_attention, encoder_K: its layer K. multi_scale_0..2: its maps, coarse to fine. mask_features: the
    map that masks are products with. pred_logits_K, pred_masks_K: the prediction before the decoder's layer K, without
    a number the last one. attn_mask_K (N, queries, tokens): 1 where layer K is not to look, before rows without any
    place left are taken back. queries_cross_K, queries_self_K, queries_K: after each part of layer K.
    """
    return {
        name: namespace(value).astype(value, "float32") if name.startswith("attn_mask") else value
        for name, value in network(image).items()
    }
