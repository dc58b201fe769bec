"""What a comparison of two files of weights finds: arrays that belong together, how that was found, what differs."""

from dataclasses import dataclass
from typing import Literal

Way = Literal["name", "similar name", "content", "path", "one number", "shape and order", ""]
Verdict = Literal["equal", "equal in another form", "left out", "differs", "missing", "extra"]

WAYS: dict[Way, str] = {
    "name": "by name",
    "similar name": "by name, but for a prefix or a word",
    "content": "by their numbers",
    "path": "by their place beside others",
    "one number": "by their one number, in order",
    "shape and order": "by shape and order, a guess",
    "": "by nothing",
}


@dataclass(frozen=True)
class Found:
    """Arrays of the reference, those of the other file that belong to them, and how the two compare.

    ours, theirs: one name on each side; several where arrays were joined or a norm was folded; none for what has no
    partner. way: by what they were paired. form: what must be done to theirs so that they are the reference's.
    conditions: what the network that reads theirs must do otherwise. pattern, detail: how they differ.
    largest, cosine: the largest difference relative to the largest number of the reference, and the cosine.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    way: Way
    verdict: Verdict
    form: str = ""
    conditions: tuple[str, ...] = ()
    pattern: str = ""
    detail: str = ""
    largest: float | None = None
    cosine: float | None = None

    @property
    def departs(self) -> bool:
        return self.verdict in ("differs", "missing", "extra")
