"""A file of weights as its arrays, in numbers that can be held beside those of another file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.foreign.weights.fingerprints import fingerprint

_SAMPLED = 64  # numbers of an array that are looked at to tell bfloat16


@dataclass
class WeightsFile:
    """The arrays of one file under its own names, in its order.

    precision: that of both files' numbers, "float16" or "bfloat16" where one of the two was rounded to it.
    """

    arrays: Mapping[str, np.ndarray]
    precision: str = "float32"
    _rounded: dict[str, np.ndarray] = field(default_factory=dict)
    _fingerprints: dict[str, int] = field(default_factory=dict)

    def numbers(self, name: str) -> np.ndarray:
        """An array's numbers as float32, rounded to the files' precision."""
        if name not in self._rounded:
            self._rounded[name] = rounded(self.arrays[name], self.precision)
        return self._rounded[name]

    def fingerprint(self, name: str) -> int:
        """A number that arrays of the same numbers share, in whatever order and shape they stand."""
        if name not in self._fingerprints:
            self._fingerprints[name] = fingerprint(self.numbers(name))
        return self._fingerprints[name]

    def is_constant(self, name: str) -> bool:
        """Whether all numbers of an array are the same, as in a bias that was never trained; so is an empty array."""
        numbers = self.numbers(name)
        return numbers.size == 0 or bool(numbers.min() == numbers.max())


def rounded(array: np.ndarray, precision: str) -> np.ndarray:
    """An array's numbers as float32 that "float16", "bfloat16" or "float32" can hold."""
    with np.errstate(over="ignore"):  # a float64 may be too large
        if precision == "float16":
            array = array.astype(np.float16)
        numbers = np.asarray(array, np.float32)
    if precision != "bfloat16":
        return numbers
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    nearest_even = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (nearest_even & np.uint32(0xFFFF0000)).view(np.float32).reshape(array.shape)


def common_precision(*files: Mapping[str, np.ndarray]) -> str:
    """The precision in which files can be equal: that of the one with the fewest digits in most of its numbers."""
    found = {_precision(arrays) for arrays in files}
    return next((each for each in ("bfloat16", "float16") if each in found), "float32")


def _precision(arrays: Mapping[str, np.ndarray]) -> str:
    """The precision of most of a file's numbers; bfloat16, which is read as float32, is told by the bits it lacks."""
    whole = sum(array.size for array in arrays.values()) or 1
    if 2 * sum(array.size for array in arrays.values() if array.dtype == np.float16) > whole:
        return "float16"
    if 2 * sum(array.size for array in arrays.values() if _lacks_bits(array)) > whole:
        return "bfloat16"
    return "float32"


def _lacks_bits(array: np.ndarray) -> bool:
    """Whether the lower half of each float32 is empty, in numbers of which several differ."""
    if array.dtype != np.float32 or array.size < 2:
        return False
    sample = np.ascontiguousarray(array.reshape(-1)[:: max(1, array.size // _SAMPLED)])
    return len(np.unique(sample)) > 1 and not np.any(sample.view(np.uint32) & np.uint32(0xFFFF))
