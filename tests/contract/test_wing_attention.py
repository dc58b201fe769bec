"""ms_deform_attn: each wing against NumPy, forward and backward."""

import numpy as np
import pytest

from common import numpy_ops
from tests.contract import attention_cases
from tests.contract.attention_cases import SHAPES
from tests.contract.comparing import assert_agrees, assert_same


def attend(xp, value, locations, attention):
    return {"read": xp.ms_deform_attn(value, SHAPES, locations, attention)}


def test_ms_deform_attn(xp, like):
    assert_agrees(xp, like, attend, *attention_cases.arrays(), slack=2e-4)


def test_of_many_queries_and_a_long_head(xp, like):
    """More queries than a thread takes on at a time, and heads that fill a vector and leave a rest."""
    arrays = attention_cases.arrays(images=1, heads=2, size=37, queries=300)
    assert_agrees(xp, like, attend, *arrays, slack=2e-4)


def test_exact_places(xp, like):
    """At the middles of cells the gradient of a location jumps; those of the value and of the attention do not."""
    locations = attention_cases.exact_places()
    value, _, attention = attention_cases.arrays(images=1, heads=1, queries=locations.shape[1])

    def case(ops, value, attention):
        return attend(ops, value, ops.asarray(locations, value), attention)

    assert_agrees(xp, like, case, value, attention[..., :1])


def test_arrays_that_do_not_lie_in_order(xp, like):
    """Parts of arrays whose axes lie in the other order in memory."""

    def case(ops, *turned):
        value, locations, attention = (ops.transpose(array, range(len(array.shape))[::-1]) for array in turned)
        return {"read": ops.ms_deform_attn(value, SHAPES, locations[:, 1:], attention[:, 1:])}

    turned = [np.ascontiguousarray(array.T) for array in attention_cases.arrays()]
    assert_agrees(xp, like, case, *turned, slack=2e-4)


def test_places_that_are_no_numbers(xp, like):
    """They read nothing, or give a query that is no number; those of other heads and queries read as ever."""
    value, locations, attention = attention_cases.arrays()
    expected = numpy_ops.ms_deform_attn(value, SHAPES, locations, attention)
    odd = [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -5e18]
    locations[0, np.arange(7), 1, 0, 2, np.arange(7) % 2] = odd
    given = [xp.asarray(array, like) for array in (value, locations, attention)]
    weights = xp.asarray(np.ones_like(expected), like)
    _, gradients = xp.value_and_grad(lambda *x: xp.sum(xp.ms_deform_attn(x[0], SHAPES, *x[1:]) * weights), *given)
    read = xp.to_numpy(xp.ms_deform_attn(given[0], SHAPES, *given[1:])).reshape(2, 7, 3, 5)
    others = np.ones((2, 7, 3), bool)
    others[0, :, 1] = False
    np.testing.assert_allclose(read[others], expected.reshape(2, 7, 3, 5)[others], rtol=1e-5, atol=1e-5)
    nothing = numpy_ops.ms_deform_attn(value, SHAPES, np.where(np.isfinite(locations), locations, 9), attention)
    nothing = nothing.reshape(2, 7, 3, 5)
    assert (np.isnan(read) | (np.abs(read - nothing) < 1e-5)).all()
    assert [np.isfinite(xp.to_numpy(x)[1]).all() for x in gradients] == [True] * 3


def test_of_no_queries_and_of_no_images(xp, like):
    value, locations, attention = (xp.asarray(array, like) for array in attention_cases.arrays())
    answer = xp.ms_deform_attn(value, SHAPES, locations[:, :0], attention[:, :0])
    assert_same(xp, answer, np.zeros((2, 0, 15), np.float32), "of no queries")
    answer = xp.ms_deform_attn(value[:0], SHAPES, locations[:0], attention[:0])
    assert_same(xp, answer, np.zeros((0, 7, 15), np.float32), "of no images")


@pytest.mark.parametrize("shapes", [[(4, 6), (1, 1), (1, 5), (4, 1)], [(4, 5), (1, 1), (1, 5), (3, 1)]])
def test_maps_that_are_not_the_values(xp, like, shapes):
    value, locations, attention = (xp.asarray(array, like) for array in attention_cases.arrays())
    with pytest.raises(ValueError, match="do not have 33 cells together"):
        xp.ms_deform_attn(value, shapes, locations, attention)
