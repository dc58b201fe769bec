"""`triseg parity --weights A B`: prints what two checkpoints have in common, and answers with the exit code."""

import json
from pathlib import Path

from benchmarks.foreign.weights.comparing import compare_weights
from benchmarks.foreign.weights.telling import Comparison, as_json, describe
from benchmarks.parity.report import strict
from common.files import atomic_path
from weights_convert import read_foreign

REPORT = "weights.json"


def run_weights(reference: Path, other: Path, output: Path | None = None) -> int:
    """Compares two checkpoints of any known format -> 0 where all arrays agree in some form, else 1.

    output: the folder that the findings are written into.
    """
    found = compare_weights(read_foreign(reference), read_foreign(other))
    comparison = Comparison(*_titles(reference, other), found)
    print(describe(comparison), flush=True)
    if output is not None:
        text = json.dumps(strict(as_json(comparison)), indent=1, allow_nan=False)
        with atomic_path(output / REPORT) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return 0 if comparison.passed else 1


def _titles(reference: Path, other: Path) -> tuple[str, str]:
    """The files' names, with their folders where the names are the same."""
    return (reference.name, other.name) if reference.name != other.name else (str(reference), str(other))
