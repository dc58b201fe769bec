"""Everything that was found as JSON, for programs."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.parity.finding import Run
from benchmarks.parity.summary import contradictions, passed, summaries
from common.files import atomic_path


def write_json(path: Path, runs: list[Run], more: Mapping[str, Any] | None = None) -> None:
    """Everything that was found; an infinity or NaN, which JSON has not, is the string "inf" or "nan".

    more: what stands beside the runs.
    """
    found = [
        {
            "framework": run.framework,
            "reference": run.reference,
            "not_run": run.not_run,
            "passed": passed([run]) if run.findings else None,
            "gates": {gate.title: {"verdict": gate.verdict, **gate.counts} for gate in summaries([run])},
            "first": (first := run.first()) and asdict(first),
            "seconds": run.seconds,
            "peak_mib": run.peak_mib,
            "losses": run.losses,
            "sensitivity": {
                gate: {"found": found, "planted": planted} for gate, (found, planted) in run.sensitivity.items()
            },
            "findings": [asdict(finding) for finding in run.findings],
        }
        for run in runs
    ]
    alone = [asdict(contradiction) for contradiction in contradictions(runs)]
    whole = {"passed": passed(runs), "reference_departs": alone, "runs": found}
    whole |= more or {}
    text = json.dumps(strict(whole), indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def strict(value: Any) -> Any:
    """The value with "inf" or "nan" for each number that JSON has not."""
    if isinstance(value, Mapping):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
