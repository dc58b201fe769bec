"""The order of an epoch: each sample once, batches of one group, and epochs that follow each other without a gap."""

import numpy as np
import pytest

from common.data.order import epoch_order

SEED = 3


def batches(length, size, epochs, groups):
    order = np.concatenate([epoch_order(length, size, SEED, epoch, groups) for epoch in range(epochs)])
    return order[: len(order) // size * size].reshape(-1, size)


@pytest.mark.parametrize("groups", [None, np.arange(23) % 3])
def test_every_sample_comes_once_an_epoch_in_another_order(groups):
    first, second = (epoch_order(23, 4, SEED, epoch, groups) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(23))
    assert list(first) != list(second)
    np.testing.assert_array_equal(first, epoch_order(23, 4, SEED, 0, groups))


def test_batches_are_of_one_group_but_for_one_or_two_where_epochs_meet():
    rng = np.random.default_rng(0)
    groups = (rng.random(203) < 0.3).astype(int)
    found = batches(203, 8, epochs=6, groups=groups)
    mixed = [row for row, batch in enumerate(found) if len(set(groups[batch])) > 1]
    assert len(mixed) <= 2 * 6
    kinds = {groups[batch][0] for batch in found}
    assert kinds == {0, 1}
    # The groups take turns instead of coming one after the other.
    firsts = [groups[batch][0] for batch in found[:25]]
    assert 1 in firsts[:12] and 1 in firsts[12:]


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7])
def test_sets_smaller_than_a_batch_come_whole(length):
    groups = np.arange(length) % 2
    for epoch in range(5):
        assert sorted(epoch_order(length, 4, SEED, epoch, groups)) == list(range(length))
