"""The report of two dumps: the verdict, then the first departure with its facts, then the rest in short."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.foreign.pairing import Pair
from benchmarks.foreign.rules import shorten
from benchmarks.parity.faults import describe_other, find_faults
from benchmarks.parity.finding import TITLES, Finding, Run
from benchmarks.parity.summary import passed
from benchmarks.parity.table import describe_remarks, gate_table
from benchmarks.parity.wording import describe_difference, describe_place, number

Pairs = Mapping[int, Sequence[Pair]]  # by gate
MOST_CAUSES = 3  # told after the first


def describe_verdict(run: Run, pairs: Pairs, weights: Sequence[Pair] = ()) -> str:
    """The report for the terminal: the verdict with its facts, a line for each gate, and how the layers were paired.

    weights: the pairs of the weights with which the layers were computed.
    """
    lines = [f"{_title(run)}", *(f"  {word}: {text}" for word, text in verdict_facts(run, pairs, weights))]
    rest = [describe_pairs(gate, found) for gate, found in pairs.items() if found]
    parts = ["\n".join(lines), gate_table([run]), *rest, "\n".join(describe_remarks([run]))]
    return "\n\n".join(part for part in parts if part)


def verdict_facts(run: Run, pairs: Pairs, weights: Sequence[Pair] = ()) -> list[tuple[str, str]]:
    """What is known of the first departure, or where nothing departs of the last layer, as (word, text)."""
    faults = find_faults(run, [])
    if faults is None:
        last = next((finding for finding in reversed(run.findings_of(1)) if finding.passed), None)
        facts = [("last layer", f"{last.name} ({last.kind}) agrees: {describe_difference(last)}")] if last else []
        return facts + [("not held", text) for text in not_held(pairs, weights)]
    first = faults.first
    of_gate = list(pairs.get(first.gate, ()))
    found = next((each for each in of_gate if each.ours == first.name), None)
    facts = [("is", describe_pair(found))] if found and found.theirs and not _is_plain(found) else []
    facts += faults.facts
    if first.gate == 1 and (before := _before(first, run, of_gate)):
        facts.append(("before", before))
    facts += [("also", describe_other(other)) for other in faults.others[:MOST_CAUSES]]
    more = len(faults.others) - MOST_CAUSES
    facts += [("also", f"{more} more")] if more > 0 else []
    return facts + ([("after", f"{faults.consequences} values, as consequences")] if faults.consequences else [])


def describe_pair(found: Pair) -> str:
    """The port's side of a pair: its names, by what they were paired, how sure that is, and the form."""
    parts = [" + ".join(found.theirs), f"by {found.way}", found.sure if found.sure != "sure" else "", found.form]
    return ", ".join(part for part in parts if part)


def describe_pairs(gate: int, pairs: Sequence[Pair]) -> str:
    """How many arrays were paired in each way, and the first few of those that have no partner, by reason."""
    compared = [found for found in pairs if found.compared]
    ways = Counter(found.way for found in compared)
    told = ", ".join(f"{count} by {way}" for way, count in ways.most_common())
    ours = sum(bool(found.ours) for found in pairs)
    lines = [f"{TITLES[gate]}: {len(compared)} of {ours} paired{': ' if told else ''}{told}"]
    forms = Counter(found.form for found in compared if found.form)
    reasons = {
        "equal under another shape": [f"{form} ({count})" for form, count in forms.most_common()],
        "guessed": [f"{found.ours} is {' + '.join(found.theirs)}" for found in compared if found.sure == "guessed"],
        "pass their input through": [_name(found) for found in pairs if found.way == "passes through"],
        "not in the port": [found.ours for found in pairs if found.way == "missing"],
        "in the port alone": [_name(found) for found in pairs if found.way == "extra"],
        "left out": [_name(found) for found in pairs if found.way == "left out"],
    }
    lines += [f"  {reason}: {shorten(names)}" for reason, names in reasons.items() if names]
    return "\n".join(lines)


def not_held(pairs: Pairs, weights: Sequence[Pair] = ()) -> list[str]:
    """What a port that passes was not judged by: layers with weights, or weights, that one of the dumps has alone."""
    layers = [found.ours for found in pairs.get(1, ()) if found.way == "missing" and found.has_weights]
    held = [found for part in (weights, pairs.get(3, ()), pairs.get(4, ())) for found in part]
    missing = [found.ours for found in held if found.way == "missing"]
    extra = [found.theirs[0] for found in held if found.way == "extra"]
    texts = {
        "the port has no such layer, and what follows agrees": layers,
        "weights that are not in the port's dump: not judged": missing,
        "weights that are in the port's dump alone: not judged": extra,
    }
    counters = "num_batches_tracked"  # which no answer depends on
    told = {
        text: [name for name in dict.fromkeys(names) if not name.endswith(counters)] for text, names in texts.items()
    }
    return [f"{shorten(names)}: {text}" for text, names in told.items() if names]


def pairs_for_json(pairs: Pairs) -> dict[str, list[dict[str, Any]]]:
    """Every pair of every gate, for programs."""
    return {
        TITLES[gate]: [
            {"ours": each.ours, "theirs": list(each.theirs), "way": each.way, "sure": each.sure, "form": each.form}
            for each in found
        ]
        for gate, found in pairs.items()
    }


def _title(run: Run) -> str:
    faults = find_faults(run, [])
    if faults is not None:
        return f"{run.framework} departs from {run.reference} first at {describe_place(faults.first)}"
    if not passed([run]):
        return f"{run.framework} cannot be told from {run.reference}, nor that it is right: nothing could be judged"
    gates = {finding.gate for finding in run.findings}
    whole = "every layer, the last one too" if gates == {1} else "everything that could be held against it"
    return f"{run.framework} agrees with {run.reference}: the port is right in {whole}"


def _before(first: Finding, run: Run, pairs: Sequence[Pair]) -> str:
    """The last layer that agrees before the first departure, and what lies between the two that the port has not."""
    names = [found.ours for found in pairs if found.ours]
    by_name = {finding.name: finding for finding in run.findings_of(1)}
    before = names[: names.index(first.name)] if first.name in names else []
    last = next((name for name in reversed(before) if name in by_name and by_name[name].passed), None)
    between = before[before.index(last) + 1 :] if last else before
    missing = [found.ours for found in pairs if found.ours in set(between) and found.way == "missing"]
    told = f"{last} agrees, to {number(by_name[last].difference.largest)}" if last else "nothing was held"
    hint = f"; between the two lies what the port has no layer for, look there too: {shorten(missing)}"
    return told + (hint if missing else "")


def _is_plain(found: Pair) -> bool:
    return found.theirs == (found.ours,) and not found.form


def _name(found: Pair) -> str:
    """The name of what has no partner, and whose it is where it is not the reference's."""
    return found.ours or f"{found.theirs[0]} (the port's)"
