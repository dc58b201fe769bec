"""Two dumps made anywhere, held against each other: no framework, and no model of this project, is needed for it."""

from benchmarks.foreign.recorder import Recorder

__all__ = ["Recorder"]
