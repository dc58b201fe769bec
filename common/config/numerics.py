"""What of a model's settings changes its numbers without changing the shape of a weight."""

from typing import Any

from common.config.loading import Settings

# Of the network's section, what training alone reads.
_OF_TRAINING = ("frozen_stages", "frozen_norm", "freeze_norm_below", "pyramid_gain")


def numerics(settings: Settings) -> dict[str, Any]:
    """Settings by their dotted keys, as JSON has them, under which weights mean what they were trained to mean.

    These are the network's section without what training alone reads and, of a two-stage model, the convention and the
    anchors. Preprocessing is not among them: a card holds it apart, and it can be overridden.
    """
    network = settings.network.model_dump(mode="json")
    found = _flat("network", {key: value for key, value in network.items() if key not in _OF_TRAINING})
    if settings.family == "mask_rcnn":
        rpn = settings.rpn.model_dump(mode="json", include={"anchor_sizes", "anchor_ratios"})
        found |= {"convention": settings.convention} | _flat("rpn", rpn)
    return found


def _flat(path: str, values: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        found |= _flat(f"{path}.{key}", value) if isinstance(value, dict) else {f"{path}.{key}": value}
    return found
