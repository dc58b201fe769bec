"""Whether the gates would see a fault: one of three tolerances is planted in every array that passes.

A gate that lets everything through passes everything, too; how many planted faults it finds tells the two apart.
"""

import math
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.parity.difference import measure_scale
from benchmarks.parity.tolerances import UNBOUNDED, Allowed, Tolerances
from common.array import Array, namespace
from common.observing import Calls, Observer, arrays_in, replaced

FAULT = 3.0  # tolerances


class Sensitivity:
    """How many faults were planted, and how many of them found, by gate."""

    def __init__(self):
        self.planted: Counter[int] = Counter()
        self.found: Counter[int] = Counter()

    def count(self, gate: int, is_found: bool) -> None:
        self.planted[gate] += 1
        self.found[gate] += is_found

    def figures(self) -> dict[int, tuple[int, int]]:
        """By gate how many were found, and how many planted."""
        return {gate: (self.found[gate], count) for gate, count in sorted(self.planted.items())}


def plant(array: np.ndarray, allowed: Allowed) -> np.ndarray | None:
    """The array with a fault of FAULT times the smaller of its tolerances; None where nothing can be planted.

    The fault is a factor on all values, or, where the tolerance is relative to another array, a summand. Of booleans
    and whole numbers as many are others as make such a difference.
    """
    tolerance = min(allowed.tolerance.largest, allowed.tolerance.frobenius)
    if tolerance == UNBOUNDED or not array.any():
        return None
    if array.dtype.kind in "biu":
        # With n values that are off by one the difference is sqrt(n / size) of the root of the mean square.
        count = math.ceil(array.size * (FAULT * allowed.tolerance.frobenius * measure_scale(array).rms) ** 2)
        faulty = array.copy().reshape(-1)
        faulty[:count] = ~faulty[:count] if array.dtype == bool else faulty[:count] + 1
        return faulty.reshape(array.shape) if count <= array.size else None
    if allowed.scale is not None:
        return array + FAULT * tolerance * allowed.scale.largest
    return array * (1.0 + FAULT * tolerance)


class Planting:
    """An observer that spoils each module's outputs before it shows them to another observer.

    planted: the names of the outputs that were spoilt.
    """

    def __init__(self, observer: Observer, tolerances: Tolerances, gate: int):
        self._observer, self._tolerances, self._gate, self._calls = observer, tolerances, gate, Calls()
        self.planted: set[str] = set()

    def watches(self, path: str) -> bool:
        return self._observer.watches(path)

    def entering(self, path: str, kind: str, value: Any) -> Any:
        self._calls.enter(path)
        return self._observer.entering(path, kind, value)

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        spoilt = [self._spoil(name, array) for name, array in arrays_in(value, self._calls.current(path))]
        value = replaced(value, iter(spoilt))
        shown = self._observer.leaving(path, kind, value)
        return value if shown is None else shown

    def _spoil(self, name: str, array: Array) -> Array:
        xp = namespace(array)
        faulty = plant(xp.to_numpy(array), self._tolerances.allowed(Tolerances.key(self._gate, name, "injected")))
        if faulty is None:
            return array
        self.planted.add(name)
        return xp.asarray(faulty.astype(np.float32), array)
