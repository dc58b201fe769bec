"""The report of two dumps: the verdict, then the first departure with its facts, then the rest in short."""

from collections.abc import Mapping, Sequence

from benchmarks.foreign.pairing import Pair
from benchmarks.parity.finding import Run


def describe_verdict(run: Run, pairs: Mapping[int, Sequence[Pair]]) -> str:
    """The report for the terminal. pairs: those of each gate."""
    raise NotImplementedError
