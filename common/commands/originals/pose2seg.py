"""Pose2Seg's test.py. Its options are our own; what it takes for granted stands here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.commands.originals import Original


def _assumed(words: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """The data and the model of a command with one of the protocols of test.py, which names neither.

    It reads ./data/coco2017 and ./data/OCHuman.
    """
    if {"--coco", "--OCHuman"}.isdisjoint(words):
        return ()
    return ("data", Path("data")), ("model", "pose2seg")


ORIGINAL = Original("Pose2Seg", assumed=_assumed)
