"""Hugging Face's transformers: a plain state dict, pytorch_model.bin or model.safetensors."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from common.config import Settings
from common.errors import UserError
from weights_convert.formats import state_dict_format
from weights_convert.state_dicts import Weights

# The layers that stand for an attention's rows of queries, keys and values, in a Swin and in a decoder.
_PARTS = {"attention.self": ("query", "key", "value"), "self_attn": ("q_proj", "k_proj", "v_proj")}
_PART = re.compile(
    r"(?P<layer>.+\.(attention\.self|self_attn))\.(?P<part>query|key|value|[qkv]_proj)\.(?P<leaf>weight|bias)"
)
_WHOLE = re.compile(r"(?P<layer>.+\.(?P<kind>attention\.self|self_attn))\.qkv\.(?P<leaf>weight|bias)")


def joined(source: Mapping[str, np.ndarray], origin: str) -> Weights:
    """A file's arrays, with the rows of queries, keys and values in one array `qkv`."""
    arrays: Weights = {}
    for name, array in source.items():
        part = _PART.fullmatch(name)
        if part is None:
            arrays[name] = array
            continue
        names = next(names for names in _PARTS.values() if part["part"] in names)
        rows = [f"{part['layer']}.{each}.{part['leaf']}" for each in names]
        missing = [each for each in rows if each not in source]
        if missing:
            raise UserError(f"{origin}: it has {name}, but not {missing[0]}")
        if part["part"] == names[0]:
            arrays[f"{part['layer']}.qkv.{part['leaf']}"] = np.concatenate([source[each] for each in rows])
    return arrays


def taken_apart(arrays: Mapping[str, np.ndarray]) -> Weights:
    """The arrays as they stand in a file."""
    apart: Weights = {}
    for name, array in arrays.items():
        whole = _WHOLE.fullmatch(name)
        if whole is None:
            apart[name] = array
            continue
        for part, rows in zip(_PARTS[whole["kind"]], np.split(array, 3), strict=True):
            apart[f"{whole['layer']}.{part}.{whole['leaf']}"] = rows
    return apart


_JOINED = state_dict_format(
    name="transformers",
    endings=(".bin",),
    licence="as its author says",
    recognises=lambda names: any(name.startswith("model.pixel_level_module.") for name in names),
    # A norm that nothing reads, tables, and the loss's class weights, of as many classes as the file has.
    ignored=r".*\.swin\.layernorm\..*|.*\.relative_position_index|criterion\.empty_weight",
)


def read(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """A file's arrays under canonical names."""
    return _JOINED.read(joined(source, origin), settings, origin)


def write(weights: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """Canonical arrays as a file has them."""
    return taken_apart(_JOINED.write(weights, settings, origin))


UPSTREAM = replace(_JOINED, read=read, write=write)
