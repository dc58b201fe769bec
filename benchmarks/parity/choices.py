"""What a training step chooses: the proposals of a two-stage model.

A score or an overlap that is rounded otherwise takes in one proposal and leaves out another, and whole rows of the
losses come and go with it; no tolerance for numbers would tell that from a fault. So a wing's own choice in the first
step is held against the reference's by itself, and each step goes on with what the reference chose in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.parity.case import Arrays
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Tolerances, judge
from common.families.mask_rcnn import training
from common.families.mask_rcnn.proposals import Proposals
from common.files import atomic_path

GATE = 2
NUMBER = "number of equal proposals"
OTHERS = 0.02  # of the proposals may be others


class Choices:
    """Writes what is chosen, or holds it against what was written and hands that over."""

    def __init__(self, folder: Path, hands_over: bool):
        self._folder, self._hands_over = folder, hands_over
        self._first: tuple[list[Proposals], list[Proposals]] | None = None  # the reference's, and the own ones

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """While a step computes; `part` tells the steps apart."""
        right = training.propose
        path = self._folder / f"proposals_{part}.npz"

        def propose(*given) -> list[Proposals]:
            own = right(*given)
            if not self._hands_over:
                _write(path, own)
                return own
            recorded = _read(path)
            self._first = self._first or (recorded, own)
            return recorded

        training.propose = propose
        try:
            yield
        finally:
            training.propose = right

    def measure(self, tolerances: Tolerances) -> None:
        """The reference's error, as its float64 shows it."""
        for name, (rounded, exact) in self._pairs().items():
            tolerances.measure(Tolerances.key(GATE, name), exact, rounded)

    def findings(self, tolerances: Tolerances) -> list[Finding]:
        """The first step's proposals against the reference's; none where the model chooses nothing."""
        findings = []
        for name, (reference, own) in self._pairs().items():
            floor = (OTHERS, OTHERS) if name == NUMBER else (0.0, 0.0)
            finding = judge(tolerances, GATE, name, "choice", reference, own, floor=floor)
            if name == NUMBER and finding.passed and own != reference:
                detail = f"{own[0]} of {reference[0]}; every step goes on with the reference's"
                finding = replace(finding, detail=detail)
            findings.append(finding)
        return findings

    def _pairs(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """name -> the reference's and the own array: of the proposals that both have, by the anchor they come from."""
        if self._first is None:
            return {}
        parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"proposals": [], "proposal scores": []}
        common = 0
        for reference, own in zip(*self._first, strict=True):
            _, rows, partners = np.intersect1d(reference.rows, own.rows, return_indices=True)
            parts["proposals"].append((reference.boxes[rows], own.boxes[partners]))
            parts["proposal scores"].append((reference.scores[rows], own.scores[partners]))
            common += len(rows)
        total = max(sum(len(each.rows) for each in whose) for whose in self._first)
        pairs = {name: tuple(map(np.concatenate, zip(*found, strict=True))) for name, found in parts.items()}
        return pairs | {NUMBER: (np.array([total]), np.array([common]))}


def _write(path: Path, proposals: list[Proposals]) -> None:
    arrays = {name: np.concatenate([getattr(each, name) for each in proposals]) for name in ("boxes", "scores", "rows")}
    with atomic_path(path) as temporary:
        np.savez(temporary, counts=[len(each.rows) for each in proposals], **arrays)


def _read(path: Path) -> list[Proposals]:
    with np.load(path) as stored:
        arrays: Arrays = dict(stored)
    ends = np.cumsum(arrays.pop("counts"))[:-1]
    split = {name: np.split(array, ends) for name, array in arrays.items()}
    return [Proposals(*each) for each in zip(split["boxes"], split["scores"], split["rows"], strict=True)]
