"""Numbers by which arrays of the same content are found without holding each against each.

The hash of an array is the sum of its numbers' hashes: whole numbers, so that no order of adding changes it.
"""

import numpy as np

_FIRST, _SECOND = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)


def fingerprint(numbers: np.ndarray) -> int:
    """The hash of an array of float32, which neither its shape nor the order of its numbers changes."""
    return int(_hashes(numbers).sum(dtype=np.uint64))


def slice_fingerprints(numbers: np.ndarray) -> list[np.ndarray]:
    """For each axis of an array the hash of each of its slices, (length of the axis,) uint64.

    The numbers of a slice may stand in any order and shape.
    """
    hashes = _hashes(numbers)
    axes = range(numbers.ndim)
    return [hashes.sum(axis=tuple(each for each in axes if each != axis), dtype=np.uint64) for axis in axes]


def _hashes(numbers: np.ndarray) -> np.ndarray:
    """A hash of each number, uint32; both zeros have the same."""
    values = np.array(numbers, np.float32, ndmin=1)  # a copy
    values += np.float32(0)
    bits = values.view(np.uint32)
    bits *= _FIRST
    bits ^= bits >> np.uint32(15)
    bits *= _SECOND
    bits ^= bits >> np.uint32(13)
    return bits
