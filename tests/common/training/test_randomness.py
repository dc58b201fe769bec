import subprocess
import sys

import numpy as np

from common.training.randomness import hash_numbers, stream


def test_equal_keys_give_equal_numbers_in_another_process():
    code = (
        "from common.training.randomness import hash_numbers, stream; print(stream(3, 17, 'crop').random(4).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(stream(3, 17, "crop").random(4).tolist())


def test_the_numbers_stay_what_they_are():
    """A change here changes every training run; it must not come about by accident."""
    assert stream(0, 0, "order").integers(0, 1000, 5).tolist() == [956, 413, 371, 995, 932]


def test_each_key_matters():
    keys = [
        (0, 0, "a"),
        (1, 0, "a"),
        (0, 1, "a"),
        (0, 0, "b"),
        (10, 1, "a"),
        (1, 1, "0/a"),
        (-1, 0, "a"),
        (1, 11, "a"),
        (11, 1, "a"),
    ]
    first = {stream(*key).integers(0, 2**63) for key in keys}
    assert len(first) == len(keys)


def test_neighbouring_streams_do_not_correlate():
    drawn = np.array([stream(0, step, "noise").standard_normal(1000) for step in range(50)])
    correlation = np.corrcoef(drawn) - np.eye(50)
    assert abs(correlation).max() < 0.15


def test_hashed_numbers_stand_by_themselves():
    """Each depends on its seed and integer alone, and they look random: in their bits, and from one to the next."""
    drawn = hash_numbers(7, np.arange(4096))
    assert drawn.dtype == np.uint64 and len(set(drawn.tolist())) == 4096
    assert np.array_equal(hash_numbers(7, np.array([9, 4000, 9])), drawn[[9, 4000, 9]])
    assert not np.isin(hash_numbers(8, np.arange(4096)), drawn).any()
    bits = (drawn[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.04
    assert abs(np.corrcoef(drawn[:-1] / 2.0**64, drawn[1:] / 2.0**64)[0, 1]) < 0.06
