"""Pose2Seg's Jittor port, whose files have the original's arrays; they are told and read as the original's."""

from weights_convert.formats import state_dict_format
from weights_convert.upstreams import pose2seg
from weights_convert.writers import write_jittor

UPSTREAM = state_dict_format(
    name="pose2seg_jittor",
    endings=(".pkl",),
    licence=pose2seg.UPSTREAM.licence,
    recognises=None,
    save=write_jittor,
)
