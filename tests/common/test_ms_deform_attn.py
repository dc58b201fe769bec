"""Multi-scale deformable attention as a compiled kernel, against NumPy in float64.

Its arrays lie between others that it must neither read nor write.
"""

import numpy as np
import pytest

from common import kernels, numpy_ops
from tests.common.kernel_calls import as_jittor_compiles
from tests.contract import attention_cases
from tests.contract.attention_cases import SHAPES
from tests.contract.comparing import finite_differences

MARGIN = 1024


@pytest.fixture(scope="module", params=["built", pytest.param("as Jittor compiles", marks=pytest.mark.slow)])
def library(request, tmp_path_factory):
    return kernels.library() if request.param == "built" else as_jittor_compiles(tmp_path_factory.mktemp("jittor"))


def fenced(array: np.ndarray) -> np.ndarray:
    """The same within a longer array of NaN, its `base`: whoever reads beyond it finds no number."""
    wide = np.full(array.size + 2 * MARGIN, np.nan, array.dtype)
    wide[MARGIN:-MARGIN] = array.reshape(-1)
    return wide[MARGIN:-MARGIN].reshape(array.shape)


def call(library, name: str, arrays: list[np.ndarray], shapes: list[tuple[int, int]], outputs: list[tuple[int, ...]]):
    """Calls a kernel whose first outputs are NaN; `arrays` end in value, locations, attention."""
    value, _, attention = arrays[-3:]
    sizes = kernels.int64s(*value.shape, attention.shape[1], *attention.shape[3:])
    sides = kernels.sides_of_levels(shapes, value.shape[1])
    given, found = [fenced(array) for array in arrays], [fenced(np.full(o, np.nan, np.float32)) for o in outputs]
    addresses = [array.ctypes.data for array in given], [array.ctypes.data for array in found]
    getattr(library, name)(*addresses[0], sizes, sides.ctypes.data, *addresses[1])
    for array in found:
        assert np.isnan(array.base[:MARGIN]).all() and np.isnan(array.base[-MARGIN:]).all()
    return found


def attend(library, value, locations, attention, gradient, shapes=SHAPES) -> list[np.ndarray]:
    """The output, and the gradients of value, locations and attention of the sum of output times `gradient`."""
    arrays = [value, locations, attention]
    output = call(library, "triseg_ms_deform_attn", arrays, shapes, [gradient.shape])
    outputs = [array.shape for array in arrays]
    return output + call(library, "triseg_ms_deform_attn_grad", [gradient, *arrays], shapes, outputs)


def gradient_of(value, attention) -> np.ndarray:
    """Any gradient of the output for these arrays."""
    shape = len(value), attention.shape[1], value.shape[2] * value.shape[3]
    return np.random.default_rng(12).standard_normal(shape).astype(np.float32)


def assert_slopes(found: np.ndarray, arrays: list[np.ndarray], gradient: np.ndarray, shapes, index: int) -> None:
    """A gradient by arrays[index] is what differences in float64 make it, at up to 50 places."""

    def case(ops, value, locations, attention):
        return {"read": ops.ms_deform_attn(value, shapes, locations, attention)}

    positions = np.random.default_rng(index).permutation(found.size)[:50]
    expected = finite_differences(case, gradient.reshape(-1), arrays, index, positions)
    np.testing.assert_allclose(
        found.reshape(-1)[positions], expected, rtol=2e-5, atol=1e-4, err_msg=f"gradient {index}"
    )


# Heads of one number, that fill no vector, and of whole vectors with a rest; no map larger than a cell; no point.
@pytest.mark.parametrize(
    "sizes",
    [
        {"images": 2, "heads": 3, "size": 5, "queries": 7},
        {"images": 1, "heads": 1, "size": 1, "queries": 1},
        {"images": 1, "heads": 2, "size": 37, "queries": 2},
        {"images": 2, "heads": 2, "size": 3, "queries": 2, "shapes": [(1, 1)]},
    ],
    ids=["common", "ones", "long", "one cell"],
)
def test_values_and_gradients(library, sizes):
    arrays = attention_cases.arrays(**sizes)
    shapes, gradient = sizes.get("shapes", SHAPES), gradient_of(arrays[0], arrays[2])
    exact = [array.astype(np.float64) for array in arrays]
    output, *gradients = attend(library, *arrays, gradient, shapes)
    expected = numpy_ops.ms_deform_attn(exact[0], shapes, *exact[1:])
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    for index, found in enumerate(gradients):
        assert_slopes(found, arrays, gradient, shapes, index)


def test_exact_places(library):
    locations = attention_cases.exact_places()
    value, _, attention = attention_cases.arrays(images=1, heads=1, queries=locations.shape[1])
    arrays = [value, locations, attention[..., :1]]
    exact = [array.astype(np.float64) for array in arrays]
    gradient = gradient_of(value, attention)
    output, grad_value, grad_locations, grad_attention = attend(library, *arrays, gradient)
    expected = numpy_ops.ms_deform_attn(exact[0], SHAPES, *exact[1:])
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    for index, found in ((0, grad_value), (2, grad_attention)):
        assert_slopes(found, arrays, gradient, SHAPES, index)
    # In a map of four rows and of one cell a whole cell outside is said exactly: there and beyond nothing is read.
    pixels = exact[1] * np.array(SHAPES)[:, None, ::-1] - 0.5
    outside = ((pixels <= -1) | (pixels >= np.array(SHAPES)[:, None, ::-1])).any(-1)[:, :, :, [1]]
    assert 0 < outside.mean() < 1
    assert (grad_locations[:, :, :, [1]][outside] == 0).all() and (grad_attention[:, :, :, [1]][outside] == 0).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e19, -1e19, 2.0**31, -(2.0**31)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_location_that_is_nowhere_reads_nothing(library, odd, axis):
    value, locations, attention = attention_cases.arrays()
    gradient, far = gradient_of(value, attention), locations.copy()
    locations[0, 2, 1, :, 2, axis], far[0, 2, 1, :, 2, axis] = odd, 9
    found, expected = (attend(library, value, given, attention, gradient) for given in (locations, far))
    for answer, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(answer, reference)
    assert (found[2][0, 2, 1, :, 2] == 0).all() and (found[3][0, 2, 1, :, 2] == 0).all()


def test_a_value_that_is_no_number_is_read_where_it_lies_alone(library):
    """The first cell of a map is no number: what a location reads beyond the map's border is zero nonetheless."""
    value, locations, attention = attention_cases.arrays(images=1, heads=2, queries=40)
    value[0, 0, 0] = np.nan
    x, y = np.moveaxis(locations[0, :, 0, 0] * [6, 4] - 0.5, -1, 0)
    reads = ((np.abs(x) < 1) & (np.abs(y) < 1)).any(-1)
    output = attend(library, value, locations, attention, gradient_of(value, attention))[0].reshape(40, 2, 5)
    assert 0 < reads.sum() < 40
    np.testing.assert_array_equal(np.isnan(output[:, 0]), np.broadcast_to(reads[:, None], (40, 5)))
    assert not np.isnan(output[:, 1]).any()


def answers(library) -> dict[str, np.ndarray]:
    """This kernel's answers on one input, with more queries than a thread takes on at a time."""
    value, locations, attention = attention_cases.arrays(queries=700, size=19)
    names = "attended", "value's gradient", "locations' gradient", "attention's gradient"
    found = attend(library, value, locations, attention, gradient_of(value, attention))
    return {name: np.array(each) for name, each in zip(names, found, strict=True)}
