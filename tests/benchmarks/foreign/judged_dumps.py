"""Judges two dumps, or gives the line with which they are refused."""

from pathlib import Path

import pytest

from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import Judgement, judge_dumps
from benchmarks.foreign.measure import Measure
from common.errors import UserError


def judge(reference: Path, other: Path, tolerance: float | None = None) -> Judgement:
    ours = read_dump(reference)
    return judge_dumps(ours, read_dump(other), Measure(ours, tolerance))


def refusal(reference: Path, other: Path) -> str:
    """The error, which is one line."""
    with pytest.raises(UserError) as refused:
        judge(reference, other)
    assert "\n" not in str(refused.value)
    return str(refused.value)
