"""What the contract says of types, ties, large numbers and empty arrays, by value; for the wings and for NumPy."""

import numpy as np

from common import array
from tests.contract.comparing import assert_same


def test_the_operations_are_found_from_the_array(xp, like):
    assert array.namespace(like) is xp
    assert array.namespace(np.zeros(1), like) is xp


def test_creation(xp, like):
    assert_same(xp, xp.asarray([1.5, 2], like), np.float32([1.5, 2]), "floats")
    assert_same(xp, xp.asarray(np.float64([[0.1]]), like), np.float32([[0.1]]), "float64")
    assert_same(xp, xp.asarray([1, -2], like), np.int32([1, -2]), "integers")
    assert_same(xp, xp.asarray(np.int64([7]), like), np.int32([7]), "int64")
    assert_same(xp, xp.asarray(np.uint8([255]), like), np.int32([255]), "uint8")
    assert_same(xp, xp.asarray([True, False], like), np.array([True, False]), "booleans")
    assert_same(xp, xp.asarray([1, 0], like, "float32"), np.float32([1, 0]), "a type asked for")
    assert_same(xp, xp.asarray(np.arange(6.0).reshape(2, 3)[:, ::-1], like), np.float32([[2, 1, 0], [5, 4, 3]]), "view")
    assert_same(xp, xp.zeros((2, 1), like), np.zeros((2, 1), np.float32), "zeros")
    assert_same(xp, xp.zeros((2,), like, "bool"), np.zeros(2, bool), "zeros, bool")
    assert_same(xp, xp.full((2,), 7, like, "int32"), np.int32([7, 7]), "full")
    assert_same(xp, xp.arange(3, like), np.int32([0, 1, 2]), "arange")


def test_conversion(xp, like):
    x = xp.asarray([-1.7, 0.0, 2.9], like)
    assert_same(xp, xp.astype(x, "int32"), np.int32([-1, 0, 2]), "towards zero")
    assert_same(xp, xp.astype(x, "bool"), np.array([True, False, True]), "to bool")
    assert_same(xp, xp.astype(xp.asarray([True, False], like), "float32"), np.float32([1, 0]), "from bool")
    copy = xp.to_numpy(x)
    copy[:] = 0
    assert_same(xp, x, np.float32([-1.7, 0, 2.9]), "to_numpy gives a copy")
    source = np.float32([1, 2])
    made = xp.asarray(source, like)
    source[:] = 0
    assert_same(xp, made, np.float32([1, 2]), "asarray takes a copy")


def test_logic(xp, like):
    a, b = xp.asarray([True, True, False], like), xp.asarray([True, False, False], like)
    assert_same(xp, xp.logical_and(a, b), np.array([True, False, False]), "and")
    assert_same(xp, xp.logical_or(a, b), np.array([True, True, False]), "or")
    assert_same(xp, xp.any(a), np.array(True), "any")
    both = xp.concatenate([a[None], b[None]])
    assert_same(xp, xp.any(both, axis=0), np.array([True, True, False]), "any over an axis")
    assert_same(xp, xp.sum(both), np.int32(3), "how many")
    assert_same(xp, xp.sum(both, axis=1), np.int32([2, 1]), "how many in each row")
    assert_same(xp, xp.nonzero(a), np.int32([0, 1]), "nonzero")
    assert_same(xp, xp.where(a, 1, 2), np.int32([1, 1, 2]), "of two numbers")


def test_ties_go_to_the_first(xp, like):
    values = np.float32([[2, 5, 5, 1, 5, 2], [0, 0, -0.0, 0, 0, 0], [3, 1, 3, 1, 3, 1]])
    x = xp.asarray(values, like)
    assert_same(xp, xp.argmax(x, 1), np.int32([1, 0, 0]), "argmax")
    assert_same(xp, xp.argmax(x, 0), np.int32([2, 0, 0, 0, 0, 0]), "argmax over the first axis")
    ascending = np.int32([[3, 0, 5, 1, 2, 4], [0, 1, 2, 3, 4, 5], [1, 3, 5, 0, 2, 4]])
    assert_same(xp, xp.argsort(x), ascending, "argsort")
    descending = np.int32([[1, 2, 4, 0, 5, 3], [0, 1, 2, 3, 4, 5], [0, 2, 4, 1, 3, 5]])
    assert_same(xp, xp.argsort(x, descending=True), descending, "argsort, descending")
    assert_same(xp, xp.argsort(x, axis=0)[0], np.int32([1, 1, 1, 1, 1, 1]), "over the first axis")
    best, positions = xp.topk(x, 4)
    assert_same(xp, positions, descending[:, :4], "topk's positions")
    assert_same(xp, best, np.take_along_axis(values, descending[:, :4], 1), "topk's values")
    assert_same(xp, xp.topk(x, 9)[1], descending, "topk of more than there are")


def test_order_of_many(xp, like):
    """Large enough for the frameworks' quick ways: with many ties, and without any."""
    random = np.random.default_rng(2)
    for values in (random.integers(0, 50, 20000), random.permutation(20000)):
        values = values.astype(np.float32)
        order = np.lexsort((np.arange(len(values)), -values)).astype(np.int32)
        assert_same(xp, xp.argsort(xp.asarray(values, like), descending=True), order)
        assert_same(xp, xp.topk(xp.asarray(values, like), 300)[1], order[:300])


def test_large_integers_stay_exact(xp, like):
    values = np.int32([2**31 - 1, -(2**31), 16777217, 16777219, 5])
    x = xp.asarray(values, like)
    assert_same(xp, x, values)
    assert_same(xp, xp.take(x, xp.asarray([2, 0], like)), values[[2, 0]], "take")
    assert_same(xp, xp.max(x), values[0], "max")
    assert_same(xp, xp.argmax(x, 0), np.int32(0), "argmax")
    assert_same(xp, xp.argsort(x), np.int32([1, 4, 2, 3, 0]), "argsort")
    assert_same(xp, xp.sum(x[2:]), np.int32(33554441), "sum")
    assert_same(xp, x == int(values[2]), values == values[2], "comparison")


def test_extreme_logits(xp, like):
    x = xp.asarray([[-200.0, 0.0, 200.0]], like)
    tolerance = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(xp.to_numpy(xp.sigmoid(x)), [[0, 0.5, 1]], **tolerance)
    entropy = xp.binary_cross_entropy_with_logits(x, xp.asarray([[1.0, 0.5, 1.0]], like))
    np.testing.assert_allclose(xp.to_numpy(entropy), [[200, np.log(2), 0]], **tolerance)
    np.testing.assert_allclose(xp.to_numpy(xp.log_softmax(x, 1)), [[-400, -200, 0]], **tolerance)
    np.testing.assert_allclose(xp.to_numpy(xp.logsumexp(x, 1)), [200], **tolerance)


def test_empty_arrays(xp, like):
    rows, numbers = xp.zeros((0, 4), like), xp.zeros((0,), like)
    none = xp.zeros((0,), like, "int32")
    assert_same(xp, xp.sum(rows), np.float32(0), "sum")
    assert_same(xp, xp.sum(rows, axis=0), np.zeros(4, np.float32), "sum over no rows")
    assert_same(xp, xp.sum(rows, axis=1), np.zeros(0, np.float32), "sum in no rows")
    assert_same(xp, xp.sum(none), np.int32(0), "sum of no integers")
    assert_same(xp, xp.any(rows > 0), np.array(False), "any")
    full = xp.full((2, 4), 3, like)
    assert_same(xp, xp.concatenate([rows, full, rows]), np.full((2, 4), 3, np.float32), "concatenate")
    assert_same(xp, xp.take(full, none), np.zeros((0, 4), np.float32), "take")
    assert_same(xp, xp.nonzero(numbers > 0), np.zeros(0, np.int32), "nonzero of nothing")
    assert_same(xp, xp.nonzero(full[:, 0] > 5), np.zeros(0, np.int32), "nonzero that finds nothing")
    assert_same(xp, xp.argsort(numbers, descending=True), np.zeros(0, np.int32), "argsort")
    assert_same(xp, xp.topk(numbers, 5)[1], np.zeros(0, np.int32), "topk")
    assert_same(xp, xp.topk(full, 0)[0], np.zeros((2, 0), np.float32), "topk of none")
    assert_same(xp, xp.argmax(rows, 1), np.zeros(0, np.int32), "argmax")
    assert_same(xp, xp.max(rows, axis=1), np.zeros(0, np.float32), "max in no rows")
    assert_same(xp, xp.softmax(rows, 1), np.zeros((0, 4), np.float32), "softmax")
    assert_same(xp, xp.matmul(rows, xp.zeros((4, 3), like)), np.zeros((0, 3), np.float32), "matmul")
    assert_same(xp, xp.sigmoid(rows) * 2 + rows, np.zeros((0, 4), np.float32), "elementwise")
