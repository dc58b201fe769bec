"""Seeing, and changing, what goes into and comes out of a network's modules.

Each wing's `observing.py` places the hooks.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from common.array import Array, namespace


class Observer(Protocol):
    """What a wing tells of a network that runs. Paths are canonical; the network itself has the path "".

    Values come in their structure (an array, or a list, tuple or dict of them), as the framework's own arrays.
    """

    def watches(self, path: str) -> bool:
        """Whether the module at this path is to be observed."""

    def entering(self, path: str, kind: str, value: Any) -> Any:
        """What goes in place of the first value that a module of class `kind` is given by position; None leaves it.

        `value` is None where all are given by name.
        """

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        """What goes in place of a module's answer; None leaves it."""


def arrays_in(value: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """The arrays of a structure in their order, as (name, array): `NAME/KEY` for each in a list, tuple or dict.

    What is neither, a None for one, is passed over.
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
    """The same structure with other arrays, in the order of `arrays_in`."""
    if isinstance(value, dict):
        return {key: replaced(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replaced(item, arrays) for item in value)
    return next(arrays) if _is_array(value) else value


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")


class Calls:
    """Names for the calls of modules: `PATH`, and `PATH@1`, `PATH@2` ... when a module is called again."""

    def __init__(self):
        self._seen: Counter[str] = Counter()

    def enter(self, path: str) -> str:
        self._seen[path] += 1
        return self.current(path)

    def current(self, path: str) -> str:
        """The name of the call that a module is in, or was in last."""
        again = self._seen[path] - 1
        return f"{path}@{again}" if again > 0 else path


class Unobserved:
    """The observer that watches nothing."""

    def watches(self, path: str) -> bool:
        return False


class Outputs:
    """An observer that keeps every module's answers: `PATH`, `PATH@CALL`, and `.../KEY` for one of several arrays.

    arrays: what keeps them where a dictionary in memory would be too large; it is given `arrays[name] = array`.
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
