"""Observers see, and may change, the first input and the output of a network's modules while it runs.

Each wing's `observing.py` lays the hooks that call an observer.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from common.array import Array, namespace


class Observer(Protocol):
    """The calls that an observer receives. A module is named by its canonical path; the network itself has "".

    A value is an array of the framework, or a list, tuple or dict of such.
    """

    def watches(self, path: str) -> bool:
        """Whether the module at this path is to be observed."""

    def entering(self, path: str, kind: str, value: Any) -> Any:
        """Is called before a module of class `kind` runs; gives a value in place of its input, or None to leave it.

        value: the module's first argument by position; None where all its arguments are given by name.
        """

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        """Is called after a module of class `kind` ran; gives a value in place of its output, or None to leave it."""


def arrays_in(value: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """Gives the arrays of a value in their order, as (name, array); one in a list, tuple or dict is named `NAME/KEY`.

    Whatever else the value has, such as None, is passed over.
    """
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    else:
        if _is_array(value):
            yield name, value
        return
    for key, item in items:
        yield from arrays_in(item, f"{name}/{key}")


def replaced(value: Any, arrays: Iterator[Array]) -> Any:
    """Gives a value of the same structure with other arrays, which come in the order of `arrays_in`."""
    if isinstance(value, dict):
        return {key: replaced(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replaced(item, arrays) for item in value)
    return next(arrays) if _is_array(value) else value


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")


class Calls:
    """Gives a name to each call of a module: `PATH`, then `PATH@1`, `PATH@2` ... when it is called again."""

    def __init__(self):
        self._seen: Counter[str] = Counter()

    def enter(self, path: str) -> str:
        """Counts a call of the module at this path and gives its name."""
        self._seen[path] += 1
        return self.current(path)

    def current(self, path: str) -> str:
        """The name of the module's latest call."""
        again = self._seen[path] - 1
        return f"{path}@{again}" if again > 0 else path


class Unobserved:
    """An observer that watches no module."""

    def watches(self, path: str) -> bool:
        return False


class Outputs:
    """An observer that keeps every module's outputs by the names that `Calls` and `arrays_in` give.

    arrays: receives each output by `arrays[name] = array`; a dictionary in memory where none is given.
    """

    def __init__(self, arrays: Any = None):
        self.arrays: dict[str, np.ndarray] = {} if arrays is None else arrays
        self.kinds: dict[str, str] = {}  # the module's class, by the same names
        self._calls = Calls()

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        self._calls.enter(path)

    def leaving(self, path: str, kind: str, value: Any) -> None:
        for name, array in arrays_in(value, self._calls.current(path)):
            self.arrays[name] = namespace(array).to_numpy(array)
            self.kinds[name] = kind
