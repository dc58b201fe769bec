"""Types of the commands' arguments, and defaults that depend on the machine."""

import argparse
import os
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number, `least` or more."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def truth(text: str) -> bool:
    """The type of an argument that is true or false."""
    if text.lower() in ("true", "yes", "1", "t", "y"):
        return True
    if text.lower() in ("false", "no", "0", "f", "n"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def default_workers() -> int:
    """How many processes load data: half of the cores, since the framework computes on the others."""
    return max(1, len(os.sched_getaffinity(0)) // 2)
