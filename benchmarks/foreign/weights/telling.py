"""What a comparison of weights found, as text for the terminal and as JSON for programs: the verdict first."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.foreign.weights.found import WAYS, Found

_MOST_DEPARTURES = 20  # told in full
_MOST_NAMES = 20  # in one line
_SHAPES = re.compile(r"\([\d, ]*\) for \([\d, ]*\)")  # as forms have them


@dataclass(frozen=True)
class Comparison:
    """Two files by their names, and what was found of them; `reference` is what the other should be."""

    reference: str
    other: str
    found: list[Found]

    @property
    def passed(self) -> bool:
        """Whether something agrees, nothing differs and nothing lacks a partner."""
        return any(self.of("equal", "equal in another form")) and not any(each.departs for each in self.found)

    @property
    def conditions(self) -> list[str]:
        """What a network that has the other file's weights must do for the two to be the same, each once."""
        return list(dict.fromkeys(condition for found in self.found for condition in found.conditions))

    def of(self, *verdicts: str) -> list[Found]:
        """What was found with one of these verdicts."""
        return [found for found in self.found if found.verdict in verdicts]

    def verdict(self) -> str:
        """The whole in one line."""
        agree = f"{_arrays(_count(self.of('equal', 'equal in another form')))} agree"
        if self.conditions:
            agree += f", if its network {' and '.join(self.conditions)}"
        if self.passed:
            return f"{self.other} has the weights of {self.reference}: {agree}"
        counts = [(len(self.of(verdict)), verdict) for verdict in ("differs", "missing", "extra")]
        named = [_told(count, verdict) for count, verdict in counts if count]
        departures = ", ".join(named) or "nothing was compared"
        return f"{self.other} does not have the weights of {self.reference}: {departures}; {agree}"


def describe(comparison: Comparison) -> str:
    """The verdict, each departure, what has no partner, and the rest by groups."""
    lines = [comparison.verdict()]
    differing = comparison.of("differs")
    unrelated = sum(found.pattern == "unrelated" for found in differing)
    if 2 * unrelated > len(differing):
        lines.append(f"{unrelated} of those that differ have nothing in common: other weights, or none were loaded")
    if differing:
        lines += ["", f"differs ({len(differing)}):"]
        for found in differing[:_MOST_DEPARTURES]:
            lines += _describe_difference(found)
        if len(differing) > _MOST_DEPARTURES:
            lines += _named("and", [found.ours[0] for found in differing[_MOST_DEPARTURES:]])
    lines += _named("missing", [found.ours[0] for found in comparison.of("missing")])
    lines += _named("extra", [found.theirs[0] for found in comparison.of("extra")])
    lines += ["", *_describe_agreeing(comparison.of("equal", "equal in another form"))]
    lines += _describe_left_out(comparison.of("left out"))
    return "\n".join(lines).rstrip()


def as_json(comparison: Comparison) -> dict:
    """Everything that was found."""
    verdicts = ("equal", "equal in another form", "left out", "differs", "missing", "extra")
    return {
        "passed": comparison.passed,
        "verdict": comparison.verdict(),
        "conditions": comparison.conditions,
        "reference": comparison.reference,
        "other": comparison.other,
        "counts": {verdict: len(comparison.of(verdict)) for verdict in verdicts},
        "found": [{**asdict(found), "by": WAYS[found.way]} for found in comparison.found],
    }


def _describe_difference(found: Found) -> list[str]:
    how = ": ".join(text for text in (found.pattern, found.detail) if text)
    lines = [
        f"  {_pair(found)}, {WAYS[found.way]}",
        *([f"    form: {found.form}"] if found.form else []),
        f"    how: {how}",
    ]
    if found.largest is not None and found.cosine is not None:
        lines.append(f"    by: {found.largest:.2e} of the largest number, cosine {found.cosine:.4f}")
    return lines


def _describe_agreeing(found: list[Found]) -> list[str]:
    """The pairs that agree, by the way in which they were found and the form; one of each as an example."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for each in found:
        groups.setdefault((each.way, _SHAPES.sub("another shape", each.form)), []).append(each)
    lines = [f"agree ({_count(found)}):"] if found else []
    for (way, form), each in groups.items():
        example = "" if way == "name" and not form else f", such as {_pair(each[0], 1)}"
        lines.append(f"  {_count(each)} {WAYS[way]}{f' ({form})' if form else ''}{example}")
    return lines


def _describe_left_out(found: list[Found]) -> list[str]:
    """The arrays that count for nothing, by the reason."""
    reasons: dict[str, list[str]] = {}
    for each in found:
        reason = "repeats another" if each.detail.startswith("repeats") else each.detail
        reasons.setdefault(reason, []).append((each.ours or each.theirs)[0])
    return [f"left out, {reason} ({len(names)}): {_some(names, 1)}" for reason, names in reasons.items()]


def _named(title: str, names: list[str]) -> list[str]:
    return ["", f"{title} ({len(names)}): {_some(names, _MOST_NAMES)}"] if names else []


def _some(names: Sequence[str], count: int) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _pair(found: Found, most: int = _MOST_NAMES) -> str:
    """The names on both sides, of several so many."""
    ours, theirs = _some(found.ours, most), _some(found.theirs, most)
    return ours if ours == theirs else f"{ours} is {theirs}"


def _count(found: Iterable[Found]) -> int:
    """The number of the reference's arrays."""
    return sum(len(each.ours) for each in found)


def _arrays(count: int) -> str:
    return f"{count} array{'' if count == 1 else 's'}"


def _told(count: int, verdict: str) -> str:
    """The number of departures of a kind, as a part of a sentence."""
    if verdict == "differs":
        return f"{_arrays(count)} differ{'s' if count == 1 else ''}"
    return f"{count} {'is' if count == 1 else 'are'} {verdict}"
