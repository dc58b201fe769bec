"""What mmdetection 2 called the parts of Mask2Former's layers, and mmdetection 3 calls them."""

import re

_LAYER = r"(?P<layer>panoptic_head\.(pixel_decoder\.enc|transformer_dec)oder\.layers\.\d+)"
_OLD_PART = re.compile(rf"{_LAYER}\.(?P<part>attentions\.[01]|ffns\.0)\.")
_PART = re.compile(rf"{_LAYER}\.(?P<part>(cross|self)_attn|ffn)\.")


def current_name(name: str) -> str:
    """The name that mmdetection 3 gives an array of mmdetection 2; any other name stays."""
    old = _OLD_PART.match(name)
    if old is None:
        return name
    # The pixel decoder's layers have one attention, the transformer decoder's two, of which the crossed one is first.
    is_cross = old["part"] == "attentions.0" and "pixel_decoder" not in old["layer"]
    part = "ffn" if old["part"] == "ffns.0" else "cross_attn" if is_cross else "self_attn"
    return f"{old['layer']}.{part}.{name[old.end() :]}"


def old_name(name: str) -> str:
    """The name that mmdetection 2 gives an array of mmdetection 3; any other name stays."""
    new = _PART.match(name)
    if new is None:
        return name
    is_second = new["part"] == "self_attn" and "pixel_decoder" not in new["layer"]
    part = "ffns.0" if new["part"] == "ffn" else "attentions.1" if is_second else "attentions.0"
    return f"{new['layer']}.{part}.{name[new.end() :]}"
