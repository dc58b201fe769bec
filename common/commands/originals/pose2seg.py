"""Pose2Seg's test.py. Its options are our own; what it takes for granted stands here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

OPTIONS = {}


def assumed(words: Sequence[str]) -> dict[str, Any]:
    """The data and the model that a command means whose words have a protocol of Pose2Seg's test.py.

    That command names neither: it reads ./data/coco2017 and ./data/OCHuman.
    """
    if {"--coco", "--OCHuman"}.isdisjoint(words):
        return {}
    return {"data": Path("data"), "model": "pose2seg"}
