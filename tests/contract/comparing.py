"""Comparing a wing's operations with NumPy's: answers by value, gradients by finite differences of NumPy in float64.

A case is a function of (operations, *arrays) that gives a dict of named float arrays. They travel as one flat array,
for Jittor compiles each chain of operations that is asked for by itself.
"""

import inspect
from collections.abc import Callable

import numpy as np

from common import numpy_ops
from common.array import Array, Operations

Case = Callable[..., dict[str, Array]]


def contract_functions() -> dict[str, Callable]:
    """The functions of the contract by name, in its order; their first parameter is the protocol's `self`."""
    return {name: each for name, each in vars(Operations).items() if inspect.isfunction(each) and name[0] != "_"}


def shape_of(x: Array) -> tuple[int, ...]:
    return tuple(int(length) for length in x.shape)


def assert_same(xp: Operations, answer: Array, reference: np.ndarray, name: str = "answer") -> None:
    """The same shape, dtype and values; a whole reduction may have the shape (1,), as in Jittor."""
    reference = np.asarray(reference)
    answer = xp.to_numpy(answer)
    assert answer.dtype == reference.dtype, f"{name}: {answer.dtype}, not {reference.dtype}"
    assert answer.shape == reference.shape or (answer.shape, reference.shape) == ((1,), ()), f"{name}: {answer.shape}"
    np.testing.assert_array_equal(answer.reshape(reference.shape), reference, err_msg=name)


def assert_agrees(
    xp: Operations, like: Array, case: Case, *arrays: np.ndarray, tolerance: float = 1e-5, slack: float = 1e-4
) -> None:
    """The wing's answers lie within `tolerance` of NumPy's, relative to the larger of 1 and the value.

    The gradients of a weighted sum of all answers lie within `slack` of finite differences; of each array at most 40
    elements are tried.
    """
    references = case(numpy_ops, *arrays)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, _flat(numpy_ops, references).shape)
    fixed = xp.asarray(weights, like)
    seen = {}

    def weighted(*given: Array) -> Array:
        seen["answers"] = case(xp, *given)
        seen["flat"] = _flat(xp, seen["answers"])
        return xp.sum(seen["flat"] * fixed)

    _, gradients = xp.value_and_grad(weighted, *[xp.asarray(array, like) for array in arrays])
    assert seen["answers"].keys() == references.keys()
    for name, reference in references.items():
        shapes = shape_of(seen["answers"][name]), reference.shape
        assert shapes[0] == shapes[1] or shapes == ((1,), ()), f"{name}: shape {shapes[0]}, NumPy has {shapes[1]}"
    flat = xp.to_numpy(seen["flat"])
    assert flat.dtype == np.float32
    _assert_close(flat, references, tolerance)
    for index, (gradient, array) in enumerate(zip(gradients, arrays, strict=True)):
        assert shape_of(gradient) == array.shape
        positions = np.random.default_rng(index).permutation(array.size)[:40]
        reference = finite_differences(case, weights, arrays, index, positions)
        _assert_close(xp.to_numpy(gradient).reshape(-1)[positions], {f"gradient {index}": reference}, slack)


def finite_differences(
    case: Case,
    weights: np.ndarray,
    arrays: tuple[np.ndarray, ...],
    index: int,
    positions: np.ndarray,
    step: float = 1e-6,
) -> np.ndarray:
    """The derivatives of the weighted sum with respect to the elements `positions` of arrays[index], in float64."""
    exact = [np.array(array, np.float64) for array in arrays]
    moved = exact[index].reshape(-1)
    out = np.zeros(len(positions))
    for k, position in enumerate(positions):
        value = moved[position]
        sides = []
        for moved[position] in (value + step, value - step):
            sides.append(np.sum(_flat(numpy_ops, case(numpy_ops, *exact)) * weights))
        moved[position] = value
        out[k] = (sides[0] - sides[1]) / (2 * step)
    return out


def _flat(xp: Operations, named: dict[str, Array]) -> Array:
    return xp.concatenate([xp.reshape(array, (-1,)) for array in named.values()])


def _assert_close(flat: np.ndarray, references: dict[str, np.ndarray], tolerance: float) -> None:
    start, wrong = 0, []
    for name, reference in references.items():
        answer, reference = flat[start : start + reference.size], np.asarray(reference, np.float64).reshape(-1)
        start += reference.size
        distance = np.abs(answer - reference) / np.maximum(np.abs(reference), 1)
        if not (distance <= tolerance).all():
            wrong.append(f"{name}: {distance.max():.1e}")
    assert start == flat.size
    assert not wrong, "; ".join(wrong)
