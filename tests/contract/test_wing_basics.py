"""Elementwise operations, reductions, shapes and indexing: each wing against NumPy, forward and backward."""

import numpy as np

from tests.contract.comparing import assert_agrees, assert_same

RANDOM = np.random.default_rng(1)
X = RANDOM.standard_normal((3, 4)).astype(np.float32)
OTHER = RANDOM.standard_normal((3, 4)).astype(np.float32)
POSITIVE = RANDOM.uniform(0.1, 3, (3, 4)).astype(np.float32)
CUBE = RANDOM.standard_normal((2, 3, 4)).astype(np.float32)


def elementwise(xp, x, other, positive):
    return {
        "exp": xp.exp(x),
        "log": xp.log(positive),
        "sqrt": xp.sqrt(positive),
        "abs": xp.abs(x),
        "floor": xp.floor(x * 3),
        "sigmoid": xp.sigmoid(x * 4),
        "tanh": xp.tanh(x),
        "maximum": xp.maximum(x, other),
        "maximum of a number": xp.maximum(x, 0.25),
        "minimum": xp.minimum(x, other),
        "minimum of a number": xp.minimum(x, 0.25),
        "clip": xp.clip(x, -0.5, 0.75),
        "where": xp.where(x > other, x * x, other),
        "where with a number": xp.where(x > other, x, 0.5),
        "binary cross entropy": xp.binary_cross_entropy_with_logits(x, positive / 3),
        "operators": (x - other) * x / positive + 2 * x - (-other) + 1 / positive,
        "power": positive**2,
    }


def reductions(xp, x):
    return {
        "sum": xp.sum(x),
        "sum over an axis": xp.sum(x, axis=1),
        "sum over two": xp.sum(x, axis=(0, 2)),
        "sum kept": xp.sum(x, axis=-1, keepdims=True),
        "max": xp.max(x),
        "max over an axis": xp.max(x, axis=1),
        "max kept": xp.max(x, axis=-1, keepdims=True),
        "logsumexp": xp.logsumexp(x, axis=1),
        "softmax": xp.softmax(x, axis=1),
        "softmax over the last": xp.softmax(x, axis=-1),
        "log softmax": xp.log_softmax(x, axis=-1),
    }


def shapes(xp, x, other):
    return {
        "reshape": xp.reshape(x, (4, 6)),
        "reshape with a rest": xp.reshape(x, (2, -1)),
        "transpose": xp.transpose(x, (2, 0, 1)),
        "broadcast": xp.broadcast_to(other[None, :, None], (2, 3, 2, 4)),
        "concatenate": xp.concatenate([x[:, :1], x, x[:, 1:]], axis=1),
        "slices": x[1, :, 1:3] * other[:, None, 0],
        "matmul": xp.matmul(other, xp.transpose(other, (1, 0))),
        "matmul of batches": xp.matmul(x, xp.transpose(x, (0, 2, 1))),
    }


def indexing(xp, x, other):
    rows = xp.asarray([2, 0, 2], x)
    each = xp.asarray([[0, 2, 1, 0], [2, 1, 0, 1]], x)
    return {
        "take": xp.take(x, rows),
        "take along axis 1": xp.take(x, rows, axis=1),
        "take_along_axis": xp.take_along_axis(x, each, 0),
        "put_along_axis": xp.put_along_axis(x, each, other[1:] * other[1:], 0) * x,
        "put_along_axis of the last": xp.put_along_axis(x, xp.transpose(each, (1, 0))[:3], other[:, :2], -1) * x,
        "topk": xp.topk(x, 2)[0],
    }


def test_elementwise(xp, like):
    assert_agrees(xp, like, elementwise, X, OTHER, POSITIVE)


def test_reductions(xp, like):
    assert_agrees(xp, like, reductions, CUBE)


def test_shapes_and_products(xp, like):
    assert_agrees(xp, like, shapes, CUBE, X)


def test_indexing(xp, like):
    assert_agrees(xp, like, indexing, X, OTHER)


def test_gradients_at_ties(xp, like):
    """They are PyTorch's, as `Operations` says of each function."""

    def tied(x):
        return xp.sum(xp.max(x, axis=1)) + xp.max(x * 10)

    _, (gradient,) = xp.value_and_grad(tied, xp.asarray([[1.0, 3.0, 3.0], [1.0, 1.0, 3.0]], like))
    assert_same(xp, gradient, np.float32([[0, 11, 0], [0, 0, 1]]), "max")

    def bent(x):
        return xp.sum(xp.abs(x) + 100 * xp.clip(x, 0.0, 1.0))

    _, (gradient,) = xp.value_and_grad(bent, xp.asarray([-1.0, 0.0, 1.0, 2.0], like))
    assert_same(xp, gradient, np.float32([-1, 100, 101, 1]), "abs and clip")

    def halved(x):
        return xp.sum(xp.maximum(x, x[:1]) + 10 * xp.minimum(x, 2.0))

    _, (gradient,) = xp.value_and_grad(halved, xp.asarray([1.0, 2.0], like))
    assert_same(xp, gradient, np.float32([11, 6]), "maximum and minimum")


def test_gradients_of_extreme_logits(xp, like):
    """Enough of them for the frameworks' vector instructions, whose exponentials overflow in their own ways."""
    values = np.repeat(np.float32([-1e4, -200, -90, 0, 90, 200, 1e4]), 8)
    half = np.float32(values == 0) / 2

    def check(function, expected):
        _, (gradient,) = xp.value_and_grad(lambda x: xp.sum(function(x)), xp.asarray(values, like))
        np.testing.assert_allclose(xp.to_numpy(gradient), expected, atol=1e-4)

    check(xp.tanh, half * 2)
    check(xp.sigmoid, half / 2)
    check(lambda x: xp.binary_cross_entropy_with_logits(x, xp.full(values.shape, 0.5, like)), np.sign(values) / 2)
    check(lambda x: xp.logsumexp(xp.reshape(x, (7, 8)), 1), np.full(56, 0.125))
    check(lambda x: xp.softmax(xp.transpose(xp.reshape(x, (7, 8)), (1, 0)), 1)[:, 6], np.zeros(56))


def test_gradients_of_several_arrays(xp, like):
    def product(x, y, z):
        return xp.sum(x * xp.stop_gradient(x) + y)

    arrays = [xp.asarray(values, like) for values in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])]
    value, gradients = xp.value_and_grad(product, *arrays)
    assert xp.to_numpy(value).reshape(-1).tolist() == [12]
    expected = np.float32([[1, 2], [1, 1], [0, 0]])  # the last took no part
    for gradient, reference in zip(gradients, expected, strict=True):
        assert_same(xp, gradient, reference)


def test_nothing_has_no_gradient(xp, like):
    """A loss over no object at all: its value is 0 and so are the gradients of what it would have come from."""

    def loss(x):
        chosen = xp.take(x, xp.asarray(np.zeros(0, np.int32), like))
        return xp.sum(chosen) + xp.sum(xp.sum(chosen * chosen, axis=0))

    value, (gradient,) = xp.value_and_grad(loss, xp.asarray(X, like))
    assert xp.to_numpy(value).reshape(-1).tolist() == [0]
    assert_same(xp, gradient, np.zeros_like(X))
