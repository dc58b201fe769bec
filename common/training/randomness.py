"""Every random number that a result depends on comes from here, so that three frameworks draw the same ones."""

import hashlib

import numpy as np


def stream(seed: int, step: int, purpose: str) -> np.random.Generator:
    """A generator that depends on the three keys alone; streams with different keys are independent.

    Nobody has to remember how much was drawn before: the stream of step 1000 is there without the 999 before it.
    """
    key = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))


def hashed(seed: int, numbers: np.ndarray) -> np.ndarray:
    """(N,) integers -> (N,) uint64 random numbers, each of which depends on the seed and its own integer alone.

    So that what is drawn for one thing does not shift when another comes or goes. (SplitMix64's mixing.)
    """
    mixed = numbers.astype(np.uint64) + np.uint64(int(seed) * 0xD1342543DE82EF95 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
