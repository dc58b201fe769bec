"""The words and numbers in which findings are told, the same in the terminal and on the page."""

import math

from benchmarks.parity.causes import usual_causes
from benchmarks.parity.finding import TITLES, Finding

FIGURES = (  # (title, meaning) of the texts that `figures` gives
    ("largest", "the largest difference of an element, relative to the largest of the reference"),
    ("measured", "the reference's own error: its float32 against its float64"),
    ("allowed", "the tolerance that follows from it"),
    ("frobenius", "the norm of the difference, relative to the reference's norm"),
    ("measured", "the reference's own error: its float32 against its float64"),
    ("allowed", "the tolerance that follows from it"),
    ("cosine", "between the two arrays"),
    ("within", "the share of the elements within the tolerance"),
)


def number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2e}"


def figures(finding: Finding | None) -> list[str]:
    """A finding's numbers as texts, in the order of FIGURES; a hyphen for each that it does not have."""
    if finding is None or finding.difference is None:
        return ["-"] * len(FIGURES)
    found, allowed = finding.difference, finding.tolerance
    largest = ["-", "-"] if allowed is None else [number(allowed.measured_largest), number(allowed.largest)]
    frobenius = ["-", "-"] if allowed is None else [number(allowed.measured_frobenius), number(allowed.frobenius)]
    # Rounded down: 100% is kept for what lies within the tolerance to the last element.
    within = f"{math.floor(found.within * 1e4) / 1e4:.2%}"
    return [number(found.largest), *largest, number(found.frobenius), *frobenius, f"{found.cosine:.6f}", within]


def name_and_step(finding: Finding) -> str:
    return finding.name if finding.step is None else f"{finding.name}, step {finding.step}"


def name_and_scale(finding: Finding) -> str:
    """The name and step, and the array that the figures are relative to where that is another one."""
    scale = f", relative to {finding.scale_of}" if finding.scale_of else ""
    return name_and_step(finding) + scale


def describe_place(finding: Finding) -> str:
    """Name, kind, gate and mode."""
    injected = ", injected" if finding.mode == "injected" else ""
    return f"{name_and_step(finding)} ({finding.kind}; gate {finding.gate}, {TITLES[finding.gate]}{injected})"


def describe_departure(finding: Finding) -> str:
    """How an array departs: the pattern, and the pattern in numbers."""
    return ": ".join(text for text in (finding.pattern, finding.detail) if text) or "departs"


def describe_difference(finding: Finding) -> str:
    """The largest difference beside the one that is allowed; empty where nothing could be compared."""
    if finding.difference is None or finding.tolerance is None:
        return ""
    scale = f" of the scale of {finding.scale_of}" if finding.scale_of else ""
    return f"{number(finding.difference.largest)}{scale}, where {number(finding.tolerance.largest)} is allowed"


def describe_causes(finding: Finding) -> list[str]:
    """The likely causes of a departure, one or two, the likeliest first."""
    if finding.usual_cause:
        return [cause for cause in (finding.usual_cause, finding.second_cause) if cause]
    return list(usual_causes(finding.pattern, finding.kind, finding.name))


def describe_cause(finding: Finding) -> str:
    """The likely causes in one line."""
    return "; or ".join(describe_causes(finding))
