"""Pose2Seg: a plain state dict in a .pkl; the files of its Jittor port are read as this one's, too."""

from collections.abc import Collection

from weights_convert.formats import state_dict_format

_OLD_SEGNET = "pose2seg.seg_branch."


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are the original's, whose backbone has the pyramid; here that stands beside it."""
    has_segnet = any(name.startswith(("segnet.", _OLD_SEGNET)) for name in names)
    return has_segnet and not any(name.startswith("fpn.") for name in names)


def current_name(name: str) -> str:
    """The name that the original's own loader gives an array: the segmentation network once had another."""
    return name.replace(_OLD_SEGNET, "segnet.")


UPSTREAM = state_dict_format(
    name="pose2seg",
    endings=(".pkl",),
    licence="MIT where published with Pose2Seg, else as its author says",
    recognises=recognises,
    # In the Jittor port every array of a module is a parameter, so that its files hold these (3, 512, 512) too.
    ignored="mean|std",
    current_name=current_name,
)
