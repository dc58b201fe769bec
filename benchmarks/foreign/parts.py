"""Arrays that are one on one side and several on the other: joined, or split.

A layer for queries, keys and values in one has its numbers in three layers of another implementation.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import numpy as np

from benchmarks.foreign.content import EQUAL, Arrays, Content, Likeness, likeness
from benchmarks.foreign.reshaping import AS_IT_IS, Form, Shape, forms_between
from benchmarks.foreign.rules import Ruled, Rules, Shaping
from common.errors import UserError

MOST_PARTS = 3
# The parts in the order in which they make up a whole, and how near they come: all by one form, or each by its own.
Fitting = tuple[tuple[str, ...], tuple[Likeness, ...]]
# (whole, parts) -> how they come nearest to each other; None where no form brings the one to the other's shape.
Fit = Callable[[str, Sequence[str]], Fitting | None]
# The letter of a layer for queries, keys or values: of `q_proj`, `to_k`, `attention.value`, `value.weight`.
_LETTER = re.compile(r"(?:^|[._])([qkv])(?:uery|ey|alue)?(?=$|[._])(?!.*[._][qkv](?:$|[._]))")


def find_wholes(
    ones: Content, others: Content, names: Sequence[str], free: Sequence[str], fit: Fit
) -> list[tuple[str, tuple[str, ...], tuple[Form, ...]]]:
    """(whole, parts, forms) of each array of one dump that several of the other are equal to when they are joined.

    names: those of the first dump that may be such a whole; free: those of the second that may be parts. fit: by which
    order and forms a whole and parts come nearest to each other.
    """
    found, taken = [], set()
    for whole in names:
        size = math.prod(ones.arrays.shapes[whole])
        for parts in runs(others.arrays, [name for name in free if name not in taken], size):
            if not _norms_fit(ones.norms[whole], [others.norms[part] for part in parts]):
                continue
            best = fit(whole, parts)
            if best and all(near.equal for near in best[1]):
                found.append((whole, best[0], tuple(near.form for near in best[1])))
                taken |= set(parts)
                break
    return found


def runs(arrays: Arrays, names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Two or three neighbours among the names that have one shape and together so many values."""
    for length in range(MOST_PARTS, 1, -1):
        if size % length:
            continue
        fitting = [name for name in names if math.prod(arrays.shapes[name]) * length == size]
        for start in range(len(fitting) - length + 1):
            run = tuple(fitting[start : start + length])
            if len({tuple(arrays.shapes[name]) for name in run}) == 1:
                yield run


def runs_of_channels(
    arrays: Arrays, names: Sequence[str], among: Sequence[str], whole: Shape
) -> Iterator[tuple[str, ...]]:
    """The runs that have together as many channels, first or last, as an array of the shape `whole`.

    among: all layers with weights at that place; those of a run stand there side by side.
    """
    for run in runs(arrays, names, math.prod(whole)):
        start, part = among.index(run[0]), tuple(arrays.shapes[run[0]])
        # Tokens may have them last where a map has them first.
        axes = [(1, 1), (-1, -1), *([(1, -1), (-1, 1)] if len(part) != len(whole) else [])]
        fits = min(len(part), len(whole)) > 1 and any(len(run) * part[one] == whole[other] for one, other in axes)
        if fits and tuple(among[start : start + len(run)]) == run:
            yield run


def in_usual_order(parts: tuple[str, ...], names: Sequence[str]) -> tuple[str, ...]:
    """Queries, keys and values in this order, other parts in that of the computation; names: of the whole dump."""
    letters = [_LETTER.search(part) for part in parts]
    if all(letters) and len({found[1] for found in letters}) == len(parts):
        return tuple(sorted(parts, key=lambda part: "qkv".index(_LETTER.search(part)[1])))
    return tuple(sorted(parts, key=list(names).index))


def best_join(ours: Arrays, theirs: Arrays, name: str, parts: Sequence[str]) -> Fitting | None:
    """The order of the port's parts and the one form that bring them nearest to an array of the reference."""
    shape, reference = tuple(ours.shapes[name]), ours.array(name).reshape(-1)
    arrays = {part: theirs.array(part) for part in parts}
    found = []
    for order in permutations(parts):
        for axis in _axes_of_parts(tuple(theirs.shapes[parts[0]]), shape):
            joined = np.concatenate([arrays[part] for part in order], axis)
            near = likeness(reference, joined.reshape(-1), joined.shape, shape)
            if near:
                form = near.form.after(Form(f"joined along axis {axis}", joined_along=axis))
                found.append((order, (Likeness(near.distance, near.correlation, form),)))
    return min(found, key=lambda each: each[1][0].distance, default=None)


def best_split(ours: Arrays, theirs: Arrays, given: str, names: Sequence[str]) -> Fitting | None:
    """The order of the reference's arrays and the forms by which the parts of one of the port come nearest to them."""
    whole, lengths = theirs.array(given), len(names)
    references = {name: ours.array(name).reshape(-1) for name in names}
    shape = tuple(ours.shapes[names[0]])
    found = []
    for axis in range(whole.ndim):
        if whole.shape[axis] % lengths:
            continue
        pieces = np.split(whole, lengths, axis)
        if not forms_between(pieces[0].shape, shape):
            continue
        for order in permutations(names):
            near = []
            for index, (name, piece) in enumerate(zip(order, pieces, strict=True)):
                part = (index, (piece.shape[axis],) * lengths, axis)
                found_near = likeness(references[name], piece.reshape(-1), piece.shape, shape)
                form = found_near.form.after(Form(f"part {index + 1} of {lengths} along axis {axis}", part=part))
                near.append(Likeness(found_near.distance, found_near.correlation, form))
            found.append((order, tuple(near)))
    return min(found, key=lambda each: sum(near.distance for near in each[1]), default=None)


def ruled_form(ours: Arrays, theirs: Arrays, ruled: Ruled, part: int, rules: Rules) -> Form:
    """The form that a rule gives for the reference's array number `part` of those that it names.

    What the rule does not say is found: the axis of a join or split is the one by which the shapes fit, and the shape
    is brought to the reference's by the form that brings the numbers nearest.
    """
    name = ruled.ours[part]
    first = _assembling(ours, theirs, ruled, part, rules)
    array = first.assemble([theirs.array(given) for given in ruled.theirs])
    if array is None:
        shapes = " and ".join(str(tuple(theirs.shapes[given])) for given in ruled.theirs)
        raise UserError(f"{rules.path}: {' and '.join(ruled.theirs)} of {shapes} cannot be brought to {name!r}")
    shape = tuple(ours.shapes[name])
    if ruled.shaping.permute is None and ruled.shaping.reshape is None:
        near = likeness(ours.array(name).reshape(-1), array.reshape(-1), array.shape, shape)
        return (near.form if near else AS_IT_IS).after(first)
    return _said(array.shape, ruled.shaping, shape, name, rules).after(first)


def _assembling(ours: Arrays, theirs: Arrays, ruled: Ruled, part: int, rules: Rules) -> Form:
    """The joining or the taking of a part that comes first."""
    shape = tuple(theirs.shapes[ruled.theirs[0]])
    axis = ruled.shaping.axis
    if axis is not None and not -len(shape) <= axis < len(shape):
        raise UserError(f"{rules.path}: axis {axis} is none of {ruled.theirs[0]!r}, whose shape is {shape}")
    if len(ruled.theirs) > 1:
        fitting = _axes_of_join(
            [tuple(theirs.shapes[given]) for given in ruled.theirs], tuple(ours.shapes[ruled.ours[0]])
        )
        axis = axis if axis is not None else fitting
        return Form(f"joined along axis {axis}", joined_along=axis)
    if len(ruled.ours) > 1:
        wanted = [tuple(ours.shapes[name]) for name in ruled.ours]
        axis = axis if axis is not None else _axes_of_join(wanted, shape)
        each = [want[axis] if len(want) == len(shape) else shape[axis] // len(wanted) for want in wanted]
        return Form(f"part {part + 1} of {len(wanted)} along axis {axis}", part=(part, tuple(each), axis))
    return AS_IT_IS


def _said(given: Shape, shaping: Shaping, wanted: Shape, name: str, rules: Rules) -> Form:
    """The form that a rule spells out: axes permuted, then reshaped."""
    order = shaping.permute or ()
    if order and len(order) != len(given):
        raise UserError(
            f"{rules.path}: permute {list(order)} for {name!r} does not have the {len(given)} axes of {given}"
        )
    permuted = tuple(given[axis] for axis in order) if order else given
    reshaped = shaping.reshape or permuted
    if math.prod(reshaped) != math.prod(given) and -1 not in reshaped:
        raise UserError(f"{rules.path}: reshape {list(reshaped)} for {name!r} does not hold the values of {given}")
    if -1 not in reshaped and tuple(reshaped) != wanted:
        raise UserError(
            f"{rules.path}: what is made of the port's array for {name!r} has the shape {tuple(reshaped)}; "
            f"the reference's has {wanted}"
        )
    words = [f"axes {list(order)}"] if order else []
    words += [f"reshaped to {list(reshaped)}"] if shaping.reshape else []
    return Form(", ".join(words), given, order or tuple(range(len(given))))


def _axes_of_join(parts: Sequence[Shape], whole: Shape) -> int:
    """The axis along which the parts make up the whole; the last where none does."""
    for axis in range(len(whole)):
        if all(len(part) == len(whole) for part in parts):
            joined = list(parts[0])
            joined[axis] = sum(part[axis] for part in parts)
            if tuple(joined) == tuple(whole):
                return axis
    return len(parts[0]) - 1


def _axes_of_parts(part: Shape, whole: Shape) -> list[int]:
    """The axes along which parts of one shape may be joined so that a form brings them to the whole's."""
    count = math.prod(whole) // math.prod(part)
    axes = []
    for axis in reversed(range(len(part))):  # channels are the usual ones, and last in most layouts
        joined = (*part[:axis], part[axis] * count, *part[axis + 1 :])
        if forms_between(joined, whole):
            axes.append(axis)
    return axes


def _norms_fit(whole: float, parts: Sequence[float]) -> bool:
    """Whether the mean of the parts' squares is the whole's, as it has to be of equal numbers."""
    together = math.sqrt(sum(part * part for part in parts) / len(parts))
    return abs(together - whole) <= 2 * EQUAL * max(whole, 1e-300)
