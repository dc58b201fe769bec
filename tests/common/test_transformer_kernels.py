"""GELU, layer norm and attention, in windows and where queries see, as compiled kernels, against NumPy in float64.

What the gradients should be is measured: as differences of a loss, whose gradient is what the kernels are given.
"""

import math

import numpy as np
import pytest

from common import kernels
from tests.common.kernel_calls import as_jittor_compiles, call

EPS = 1e-5


@pytest.fixture(scope="module", params=["built", pytest.param("as Jittor compiles", marks=pytest.mark.slow)])
def library(request, tmp_path_factory):
    return kernels.library() if request.param == "built" else as_jittor_compiles(tmp_path_factory.mktemp("jittor"))


def slopes(losses, x, step=1e-5):
    """The gradient of each of losses(x) (B,) with respect to its own part of x (B, ...)."""
    found = np.empty_like(x)
    for place in np.ndindex(x.shape[1:]):
        move = np.zeros_like(x)
        move[(slice(None), *place)] = step
        found[(slice(None), *place)] = (losses(x + move) - losses(x - move)) / (2 * step)
    return found


def slopes_of_all(losses, parameter):
    """The gradient of the sum of losses(parameter) with respect to a parameter that they share."""
    return slopes(lambda x: losses(x[0]).sum()[None], parameter[None])[0]


def assert_close(answer, expected, error=2e-6):
    np.testing.assert_allclose(answer, expected, rtol=0, atol=error * (1 + abs(expected).max()))


def numbers(seed, *shapes):
    """Arrays of these shapes as kernels take them, and the same in float64."""
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    return arrays, [each.astype(np.float64) for each in arrays]


def gelu(x):
    return x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2


# Tails, where the normal distribution's function is 0 or 1, and numbers of elements that fill no vector.
@pytest.mark.parametrize("x", [[0.7], [-1e6, -30, -5.6, 0, 5.6, 30, 1e6], np.linspace(-7, 7, 1003)], ids=len)
def test_gelu(library, x):
    x = np.float32(x)
    (gradient,), (exact,) = numbers(1, len(x))
    assert_close(call(library, "gelu", [x], [x.shape])[0], gelu(x.astype(np.float64)), 1.5e-7)
    expected = slopes(lambda x: exact * gelu(x)[:, 0], x.astype(np.float64)[:, None])[:, 0]
    assert_close(call(library, "gelu_grad", [gradient, x], [x.shape])[0], expected, 5e-7)


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS) * weight + bias


@pytest.mark.parametrize("mean", [0, 50])
@pytest.mark.parametrize("shape", [(1, 17), (3, 5), (600, 9), (2, 3, 2, 96)])
def test_layer_norm(library, shape, mean):
    channels = shape[-1:]
    (x, gradient, weight, bias), _ = numbers(2, shape, shape, channels, channels)
    x += np.float32(mean)
    exact, slope, by, plus = (each.astype(np.float64).reshape(-1, *channels) for each in (x, gradient, weight, bias))
    by, plus, settings = by[0], plus[0], np.float32([EPS])

    def losses(x, weight, bias):
        return (layer_norm(x, weight, bias) * slope).sum(-1)

    (answer,) = call(library, "layer_norm", [x, weight, bias, settings], [shape])
    error = 2e-6 + 1e-7 * mean
    assert_close(answer.reshape(exact.shape), layer_norm(exact, by, plus), error)
    shapes = [shape, channels, channels]
    dx, dweight, dbias = call(library, "layer_norm_grad", [gradient, x, weight, settings], shapes)
    assert_close(dx.reshape(exact.shape), slopes(lambda x: losses(x, by, plus), exact), error)
    assert_close(dweight, slopes_of_all(lambda weight: losses(exact, weight, plus), by), error)
    assert_close(dbias, slopes_of_all(lambda bias: losses(exact, by, bias), plus), error)


def test_a_layer_norm_of_many_rows_adds_their_gradients_up_in_parts(library):
    x = np.random.default_rng(3).standard_normal((300_000, 8)).astype(np.float32)
    gradient, ones = np.full_like(x, 0.1), np.ones(8, np.float32)
    dbias = call(library, "layer_norm_grad", [gradient, x, ones, np.float32([EPS])], [x.shape, (8,), (8,)])[2]
    np.testing.assert_allclose(dbias, 30_000, rtol=5e-6)


def attention(qkv, bias, masks, kinds):
    """qkv (B, T, 3, heads, size), bias (heads, T, T), masks (M, T, T), kinds (B,) -> (B, T, heads, size)"""
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    logits = q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1]) + bias + masks[kinds][:, None]
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3)


def window_numbers(windows, tokens, heads, size):
    """qkv, bias, masks, kinds and the output's gradient; each token sees itself."""
    shapes = (windows, tokens, 3, heads, size), (heads, tokens, tokens), (windows, tokens, heads, size)
    (qkv, bias, gradient), _ = numbers(4, *shapes)
    random = np.random.default_rng(5)
    masks = np.where(random.random((3, tokens, tokens)) < 0.4, np.float32(-100), np.float32(0))
    masks[:, range(tokens), range(tokens)] = 0
    return qkv, bias, masks, random.integers(0, 3, windows).astype(np.int32), gradient


def attend(library, qkv, bias, masks, kinds, gradient):
    """The output and the gradients of qkv and bias, in the shapes of the arrays."""
    flat = qkv.reshape(*qkv.shape[:2], -1)
    shape = *qkv.shape[:2], flat.shape[2] // 3
    (answer,) = call(library, "window_attention", [flat, bias, masks, kinds], [shape])
    inputs = [gradient.reshape(shape), flat, bias, masks, kinds]
    dqkv, dbias = call(library, "window_attention_grad", inputs, [flat.shape, bias.shape])
    return answer.reshape(gradient.shape), dqkv.reshape(qkv.shape), dbias


# One token; sides that fill no vector and no block of rows; whole ones; more windows than are summed at a time.
SHAPES = [(1, 1, 1, 1), (3, 5, 2, 3), (2, 9, 1, 8), (1, 49, 2, 4), (2, 16, 3, 5), (130, 4, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_window_attention(library, shape):
    qkv, bias, masks, kinds, gradient = window_numbers(*shape)
    exact, by, slope = qkv.astype(np.float64), bias.astype(np.float64), gradient.astype(np.float64)

    def losses(qkv, bias):
        return (attention(qkv, bias, masks, kinds) * slope).sum((1, 2, 3))

    answer, dqkv, dbias = attend(library, qkv, bias, masks, kinds, gradient)
    assert_close(answer, attention(exact, by, masks, kinds))
    assert_close(dqkv, slopes(lambda qkv: losses(qkv, by), exact))
    assert_close(dbias, slopes_of_all(lambda bias: losses(exact, bias), by))


def test_attention_with_large_logits(library):
    qkv, bias, masks, kinds, gradient = window_numbers(3, 9, 2, 8)
    qkv[:, :, :2] *= 30  # logits of a few thousand
    answer, dqkv, dbias = attend(library, qkv, bias, masks, kinds, gradient)
    assert_close(answer, attention(qkv.astype(np.float64), bias.astype(np.float64), masks, kinds), 1e-3)
    assert np.isfinite(dqkv).all() and np.isfinite(dbias).all()


def masked_attention(q, k, v, hidden, heads):
    """q (N, Q, C), k, v (N, T, C), hidden (N, Q, T) -> (N, Q, C)"""
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in (q, k, v))
    logits = np.where(hidden[:, None], -np.inf, q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1]))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ v
    return mixed.transpose(0, 2, 1, 3).reshape(len(mixed), -1, mixed.shape[1] * mixed.shape[3])


def masked_numbers(images, queries, keys, heads, size, seen=0.5):
    """q, k, v, the output's gradient and `hidden`; each query sees at least one key, the first one the last alone."""
    channels = heads * size
    arrays, _ = numbers(9, *((images, tokens, channels) for tokens in (queries, keys, keys, queries)))
    random = np.random.default_rng(10)
    hidden = random.random((images, queries, keys)) >= seen
    np.put_along_axis(hidden, random.integers(0, keys, (images, queries, 1)), False, 2)
    hidden[:, 0] = np.arange(keys) < keys - 1
    return *arrays, hidden


def attend_masked(library, q, k, v, gradient, hidden, heads):
    """The output and the gradients of q, k and v."""
    settings = np.int32([heads])
    (answer,) = call(library, "masked_attention", [q, k, v, hidden, settings], [q.shape])
    inputs = [gradient, q, k, v, hidden, settings]
    return answer, *call(library, "masked_attention_grad", inputs, [q.shape, k.shape, v.shape])


# One of each; sides that fill no vector and no block of rows; whole ones; more keys than are taken at a time.
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 5, 7, 2, 3), (1, 12, 16, 2, 8), (1, 3, 600, 1, 4)])
def test_masked_attention(library, shape):
    heads = shape[3]
    q, k, v, gradient, hidden = masked_numbers(*shape)
    exact, slope = [x.astype(np.float64) for x in (q, k, v)], gradient.astype(np.float64)
    answers = attend_masked(library, q, k, v, gradient, hidden, heads)
    assert_close(answers[0], masked_attention(*exact, hidden, heads))
    for position, answer in enumerate(answers[1:]):

        def losses(x, position=position):
            given = [*exact[:position], x, *exact[position + 1 :]]
            return (masked_attention(*given, hidden, heads) * slope).sum((1, 2))

        assert_close(answer, slopes(losses, exact[position]))


def test_masked_attention_with_large_logits_that_grow_from_part_to_part(library):
    q, k, v, gradient, hidden = masked_numbers(1, 4, 700, 2, 8)
    k *= np.linspace(1, 60, 700, dtype=np.float32)[:, None]
    answers = attend_masked(library, q, k, v, gradient, hidden, 2)
    assert_close(answers[0], masked_attention(*(x.astype(np.float64) for x in (q, k, v)), hidden, 2), 1e-4)
    assert all(np.isfinite(answer).all() for answer in answers)


def test_keys_that_no_query_sees_change_nothing(library):
    """Whole parts of keys before, between and behind those that are seen, and numbers in them that are none."""
    q, k, v, gradient, hidden = masked_numbers(1, 3, 900, 2, 4)
    hidden[:, :, :300] = hidden[:, :, 500:] = True
    hidden[:, 0, 400] = False
    answers = attend_masked(library, q, k, v, gradient, hidden, 2)
    kept = slice(300, 500)
    expected = attend_masked(library, q, k[:, kept], v[:, kept], gradient, hidden[:, :, kept], 2)
    for answer, other in zip(answers[:2], expected[:2], strict=True):
        assert_close(answer, other)
    for answer, other in zip(answers[2:], expected[2:], strict=True):
        assert_close(answer[:, kept], other)
        assert not answer[:, :300].any() and not answer[:, 500:].any()
    k[0, 600] = np.nan
    assert_close(attend_masked(library, q, k, v, gradient, hidden, 2)[0], answers[0])


def test_nan_passes_through_masked_attention(library):
    """Of a query it reaches this query, of a key those that see it; in one image and head alone."""
    q, k, v, gradient, hidden = masked_numbers(2, 5, 300, 2, 4)
    hidden[1, :, 280] = [True, False, True, False, False]
    q[1, 1, 5] = k[1, 280, 5] = np.nan
    answer = attend_masked(library, q, k, v, gradient, hidden, 2)[0]
    reached = np.zeros(answer.shape, bool)
    reached[1, [1, 3, 4], 4:] = True
    np.testing.assert_array_equal(np.isnan(answer), reached)


def test_nan_passes_through_a_gelu(library):
    (x, gradient), _ = numbers(6, 21, 21)
    x[4] = np.nan
    for answer in (*call(library, "gelu", [x], [x.shape]), *call(library, "gelu_grad", [gradient, x], [x.shape])):
        assert np.flatnonzero(np.isnan(answer)).tolist() == [4]


def test_nan_passes_through_a_layer_norm(library):
    (x, gradient, weight), _ = numbers(7, (5, 21), (5, 21), 21)
    x[2, 4], settings = np.nan, np.float32([EPS])
    (answer,) = call(library, "layer_norm", [x, weight, weight, settings], [x.shape])
    dx, dweight, dbias = call(library, "layer_norm_grad", [gradient, x, weight, settings], [x.shape, (21,), (21,)])
    for rows in (answer, dx):
        np.testing.assert_array_equal(np.isnan(rows), np.broadcast_to(np.arange(5)[:, None] == 2, rows.shape))
    assert np.isnan(dweight).all() and not np.isnan(dbias).any()


@pytest.mark.parametrize("part", [0, 1, 2], ids=["query", "key", "value"])
def test_nan_passes_through_attention(library, part):
    """Of a query it reaches this token, of a key all tokens, of a value one channel; in one window and head alone."""
    qkv, bias, masks, kinds, gradient = window_numbers(3, 9, 2, 5)
    qkv[1, 6, part, 0, 3] = np.nan
    answer, dqkv, dbias = attend(library, qkv, bias, np.zeros_like(masks), kinds, gradient)
    reached = np.zeros(answer.shape, bool)
    reached[[np.s_[1, 6, 0], np.s_[1, :, 0], np.s_[1, :, 0, 3]][part]] = True
    np.testing.assert_array_equal(np.isnan(answer), reached)
    assert np.isnan(dqkv[1, :, :2, 0]).any((0, 2)).all() and np.isnan(dbias[0]).any()
    assert np.isfinite(dqkv[[0, 2]]).all() and np.isfinite(dqkv[1, :, :, 1]).all() and np.isfinite(dbias[1]).all()


def answers(library) -> dict[str, np.ndarray]:
    """These kernels' answers on one input, with more rows and windows than are summed at a time."""
    (x, gradient, weight, bias), _ = numbers(8, (1000, 21), (1000, 21), 21, 21)
    settings, found = np.float32([EPS]), {}
    found["gelu"], found["gelu's gradient"] = (
        *call(library, "gelu", [x], [x.shape]),
        *call(library, "gelu_grad", [gradient, x], [x.shape]),
    )
    (found["normed"],) = call(library, "layer_norm", [x, weight, bias, settings], [x.shape])
    outputs = call(library, "layer_norm_grad", [gradient, x, weight, settings], [x.shape, (21,), (21,)])
    found |= zip(("normed's gradient", "weight's gradient", "bias's gradient"), outputs, strict=True)
    names = "attended", "qkv's gradient", "positions' gradient"
    found |= dict(zip(names, attend(library, *window_numbers(200, 9, 2, 5)), strict=True))
    names = "seen", "queries' gradient", "keys' gradient", "values' gradient"
    return found | dict(zip(names, attend_masked(library, *masked_numbers(2, 9, 700, 3, 5), 3), strict=True))
