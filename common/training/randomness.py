"""Makes all random numbers that a result depends on, so that the three frameworks draw the same ones."""

import hashlib

import numpy as np


def stream(seed: int, step: int, purpose: str) -> np.random.Generator:
    """Makes a generator that depends on the three keys alone; generators of different keys are independent.

    So the numbers of step 1000 can be drawn without those of the steps before it.
    """
    key = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))


def hash_numbers(seed: int, numbers: np.ndarray) -> np.ndarray:
    """Turns integers (N,) into random numbers (N,) uint64, each of which depends on the seed and its integer alone.

    So the number of one item stays the same when others are added or removed. The mixing is SplitMix64's.
    """
    mixed = numbers.astype(np.uint64) + np.uint64(int(seed) * 0xD1342543DE82EF95 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
