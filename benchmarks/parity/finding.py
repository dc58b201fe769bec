"""A finding is one array compared with the reference's; a run has all findings of a framework."""

import math
from dataclasses import dataclass, field
from typing import Literal

GATES = {1: "layers", 2: "losses", 3: "gradients", 4: "optimizer steps", 5: "results"}
# Gate 0 is that of two dumps alone: the models here are prepared for by the same code in every framework.
TITLES = {0: "preparation of the image"} | GATES

Mode = Literal["accumulated", "injected"]
Role = Literal["", "cause", "consequence"]
# "cannot tell": right implementations may differ there by so much that nothing follows from the difference.
Verdict = Literal["passed", "failed", "cannot tell"]


@dataclass(frozen=True)
class Difference:
    """The difference of an array from the reference's, of the same shape; all of it is relative to the reference.

    What is zero but for rounding is held against the scale of another array: see `Finding.scale_of`.
    """

    largest: float  # max |other - reference| / max |reference|
    frobenius: float  # ||other - reference|| / ||reference||
    cosine: float
    within: float  # the share of elements that lie within the tolerance for `largest`


EQUAL = Difference(0.0, 0.0, 1.0, 1.0)  # of two equal arrays


@dataclass(frozen=True)
class Tolerance:
    """The difference that two right implementations may have, and the measurement from which that follows."""

    measured_largest: float  # the reference in float32 against itself in float64
    measured_frobenius: float
    largest: float
    frobenius: float


@dataclass(frozen=True)
class Finding:
    """One array held against the reference's.

    name: the canonical path of the array: "preprocessing", "backbone.bn1", "input of proto_net.conv4",
        "head.trunk@2", "priors", "loss.S", "backbone.bn1.weight", "boxes".
    kind: the module's class, or "preprocessing", "input", "stage", "weight", "loss", "gradient", "update", "result".
    step: in gate 4 the number of optimizer steps done.
    scale_of: the array of the reference that difference and tolerance are relative to; "" for the array itself.
    """

    gate: int
    name: str
    kind: str
    verdict: Verdict
    difference: Difference | None = None  # None: there was nothing to compare, `detail` says why
    tolerance: Tolerance | None = None
    mode: Mode = "accumulated"
    step: int | None = None
    scale_of: str = ""
    role: Role = ""
    pattern: str = ""  # how it departs: see pattern.PATTERNS
    detail: str = ""  # the pattern in numbers
    usual_cause: str = ""
    second_cause: str = ""  # the next that is likely, where there is one

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def failed(self) -> bool:
        return self.verdict == "failed"

    @property
    def excess(self) -> float:
        """By how many times its tolerance the array departs; infinite where that is no number or none was measured."""
        if self.difference is None or self.tolerance is None:
            return math.inf
        found, allowed = self.difference, self.tolerance
        shares = found.largest / allowed.largest, found.frobenius / allowed.frobenius
        return max(shares) if all(map(math.isfinite, shares)) else math.inf


@dataclass(frozen=True)
class Contradiction:
    """A value at which other frameworks agree with each other and depart from the reference, which is alone."""

    finding: Finding  # of the first of the frameworks, against the reference
    frameworks: tuple[str, ...]
    difference: Difference  # between those frameworks; where they are three, the largest of any two
    tolerance: Tolerance  # for that difference


@dataclass
class Run:
    """One framework held against the reference.

    losses: the terms of the loss at each optimizer step that the framework went on its own, by their names.
    sensitivity: by gate how many faults of three tolerances were found, and how many planted.
    """

    framework: str
    reference: str
    findings: list[Finding] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)
    sensitivity: dict[int, tuple[int, int]] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)  # only the reference's own run has them
    not_run: str = ""  # why there is nothing; a framework that was not run has never passed
    seconds: dict[str, float] = field(default_factory=dict)  # by what was done
    peak_mib: float = 0.0

    def findings_of(self, gate: int) -> list[Finding]:
        """The findings of one gate."""
        return [finding for finding in self.findings if finding.gate == gate]

    def failures(self, gate: int | None = None) -> list[Finding]:
        """The findings that failed, in the order in which the model computes."""
        return [finding for finding in self.findings if finding.failed and gate in (None, finding.gate)]

    def first(self) -> Finding | None:
        """The first cause; where no cause is known, the first failure."""
        failures = self.failures()
        return next((finding for finding in failures if finding.role == "cause"), failures[0] if failures else None)
