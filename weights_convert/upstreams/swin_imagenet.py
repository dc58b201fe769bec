"""Swins that were trained on ImageNet: Microsoft's files, with or without labels (MoBY), and mmclassification's."""

from collections.abc import Collection, Mapping

import numpy as np

from common.config import Settings
from weights_convert import swins
from weights_convert.formats import Format
from weights_convert.state_dicts import Entry, Weights, check, without

# MoBY trains an encoder, which the detectors take, beside one that follows it and two projections.
_MOBY = "encoder."
_MMCLASSIFICATION = "backbone."
# The last norm and the classifier, and tables that follow from the sizes.
_IGNORED = rf"(norm|head)\.(.+\.)?(weight|bias)|.*\.(attn_mask|{swins.POSITIONS})"


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are those of a Swin alone."""
    if f"{_MMCLASSIFICATION}patch_embed.projection.weight" in names:
        return all(name.startswith((_MMCLASSIFICATION, "head.")) for name in names)
    return any(f"{prefix}patch_embed.proj.weight" in names for prefix in ("", _MOBY))


def read(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """The arrays under canonical names: the backbone's, without norms of the stages' outputs if the file has none.

    As in the original's loader, a table of position biases of other windows is resized.
    """
    names = swins.ORIGINAL
    if f"{_MOBY}patch_embed.proj.weight" in source:
        source = _behind(_MOBY, source)
    elif f"{_MMCLASSIFICATION}patch_embed.projection.weight" in source:
        source, names = _behind(_MMCLASSIFICATION, source), swins.MMDETECTION
    source = without(source, _IGNORED)
    backbone = settings.network.backbone
    entries = [entry for entry in swins.swin("", "backbone.", backbone, names) if entry.canonical]
    source |= {
        entry.original: swins.resize_table(source[entry.original], backbone.window)
        for entry in entries
        if entry.original in source and _is_of_other_windows(source[entry.original], entry)
    }
    added = {f"norm{stage}.{leaf}" for stage in range(4) for leaf in ("weight", "bias")}
    shapes = {entry.original: entry.shape for entry in entries}
    check(source, shapes, settings.model, f"{origin} as a backbone", optional=added)
    return {e.canonical: e.to_canonical(source[e.original]) for e in entries if e.original in source}


def _behind(prefix: str, source: Mapping[str, np.ndarray]) -> Weights:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in source.items() if name.startswith(prefix)}


def _is_of_other_windows(table: np.ndarray, entry: Entry) -> bool:
    """Whether an array is a table of position biases of as many heads, for windows of another size."""
    if not entry.original.endswith(swins.TABLE) or table.ndim != 2 or table.shape[1:] != entry.shape[1:]:
        return False
    side = round(len(table) ** 0.5)
    return len(table) != entry.shape[0] and side % 2 == 1 and side**2 == len(table)


UPSTREAM = Format(
    name="swin_imagenet",
    recognises=recognises,
    serves=swins.has_swin,
    read=read,
    licence="MIT where published with Swin-Transformer, else as its author says",
)
