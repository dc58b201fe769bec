"""Every random number that a result depends on comes from here, so that three frameworks draw the same ones."""

import hashlib

import numpy as np


def stream(seed: int, step: int, purpose: str) -> np.random.Generator:
    """A generator that depends on the three keys alone; streams with different keys are independent.

    Nobody has to remember how much was drawn before: the stream of step 1000 is there without the 999 before it.
    """
    key = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))
