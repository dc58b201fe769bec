"""Two checkpoints of any known format held against each other, array by array, without a framework."""

from benchmarks.foreign.weights.command import run_weights
from benchmarks.foreign.weights.comparing import compare_weights

__all__ = ["compare_weights", "run_weights"]
