"""Equal numbers under another shape: how a port's array is brought to the shape that the reference's has.

Unit axes, tokens (N, H * W, C) for a map (N, H, W, C), channels last for channels first, heads behind the tokens,
windows for a map: all of them see the array in one shape, exchange axes, and see what comes out in another shape. At
most one axis is moved past the others, so that height never changes places with width.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

Shape = tuple[int, ...]
PROBED = 512  # positions by which two forms are told apart


@dataclass(frozen=True)
class Form:
    """A way to bring an array, or several that are joined first, to another shape without changing a number.

    turned: the order in which the axes of each array are put before all else. joined_along: the axis along which
    several arrays are joined. part: (index, lengths, axis), where only one part of the array along an axis is taken.
    Then the array is seen in the shape `seen_as`, its axes are put in `order` as in `numpy.transpose`, and what comes
    out is seen in the shape that is wanted. words: the form as the report tells it, "" where the array is left as it
    is.
    """

    words: str = ""
    seen_as: Shape = ()  # () for the array's own shape
    order: tuple[int, ...] = ()  # () for the order that the axes have
    part: tuple[int, tuple[int, ...], int] | None = None
    joined_along: int | None = None
    turned: tuple[int, ...] = ()

    def bring(self, arrays: list[np.ndarray], shape: Shape) -> np.ndarray | None:
        """The arrays in the shape given; None where they do not fit it."""
        array = self.assemble(arrays)
        if array is None or array.size != math.prod(shape):
            return None
        if not self.seen_as and not self.order:
            return array.reshape(shape) if self.words or array.shape == shape else None
        if math.prod(self.seen_as or array.shape) != array.size:
            return None
        seen = array.reshape(self.seen_as or array.shape)
        if self.order and len(self.order) != seen.ndim:
            return None
        return (seen.transpose(self.order) if self.order else seen).reshape(shape)

    def assemble(self, arrays: list[np.ndarray]) -> np.ndarray | None:
        """The arrays joined, or the one array's part; None where their shapes do not allow that."""
        try:
            arrays = [array.transpose(self.turned) for array in arrays] if self.turned else arrays
            array = arrays[0] if self.joined_along is None else np.concatenate(arrays, self.joined_along)
            if self.part is None:
                return array
            index, lengths, axis = self.part
            if sum(lengths) != array.shape[axis]:
                return None
            return np.split(array, np.cumsum(lengths)[:-1], axis)[index]
        except (ValueError, IndexError):
            return None

    def after(self, first: "Form") -> "Form":
        """This form of what `first` has joined or taken a part of."""
        words = ", ".join(text for text in (first.words, self.words) if text)
        return replace(self, words=words, part=first.part, joined_along=first.joined_along)

    def sources(self, given: Shape, positions: np.ndarray) -> np.ndarray:
        """Where the values at these positions come from: positions in the flat array brought -> in the flat one given.

        given: the shape of the array once it is joined or its part taken.
        """
        if not self.order:
            return positions
        seen = self.seen_as or given
        moved = np.unravel_index(positions, [seen[axis] for axis in self.order])
        indices = [moved[self.order.index(axis)] for axis in range(len(seen))]
        return np.ravel_multi_index(indices, seen)


AS_IT_IS = Form()
CUBES = (Form("channels last", order=(0, 3, 1, 2)), Form("channels first", order=(0, 2, 3, 1)))


@cache
def forms_between(given: Shape, wanted: Shape) -> tuple[Form, ...]:
    """The forms that bring an array of one shape to another, the plainest first; none where no form does."""
    if given == wanted:
        is_cube = len(given) == 4 and given[1] == given[2] == given[3] > 1  # which shows no layout
        return (AS_IT_IS, *CUBES) if is_cube else (AS_IT_IS,)
    if math.prod(given) != math.prod(wanted) or 0 in given:
        return ()
    bare_given, bare_wanted = _without_units(given), _without_units(wanted)
    if bare_given == bare_wanted:
        return (Form("unit axes"),)
    forms, plain = [], _refines(bare_given, bare_wanted)
    if plain:
        forms.append(Form(_reshape_words(given, wanted)))
    for order in _moves(len(bare_given), plain):
        moved = tuple(bare_given[axis] for axis in order)
        if _refines(moved, bare_wanted):
            forms.append(Form(_words(order, given, wanted), bare_given, order))
    for inverse in _moves(len(bare_wanted), plain):
        before = tuple(bare_wanted[axis] for axis in inverse)  # theirs, before its axes change places
        order = tuple(int(axis) for axis in np.argsort(inverse))
        if _refines(bare_given, before):
            forms.append(Form(_words(order, given, wanted), before, order))
    forms += [*_from_windows(given, wanted), *_to_windows(given, wanted)]
    return tuple(_different(forms, given))


def _different(forms: list[Form], given: Shape) -> list[Form]:
    """The forms without those that do the same as one before them."""
    size = math.prod(given)
    positions = np.unique(np.linspace(0, size - 1, min(size, PROBED)).astype(np.int64))
    by_effect: dict[bytes, Form] = {}
    for form in forms:
        by_effect.setdefault(form.sources(given, positions).tobytes(), form)
    return list(by_effect.values())


def _without_units(shape: Shape) -> Shape:
    return tuple(length for length in shape if length != 1)


def _refines(one: Shape, other: Shape) -> bool:
    """Whether one shape splits axes of the other and changes nothing else, whichever of the two is the finer."""
    ends, other_ends = (set(np.cumprod(shape).tolist()) for shape in (one, other))
    return ends <= other_ends or other_ends <= ends


def _moves(axes: int, only_last: bool) -> list[tuple[int, ...]]:
    """Every order of the axes in which one of them has been moved past others, the channels' own moves first.

    only_last: whether the last axis moves, or another to its place, and nothing else: where the array could be left in
    its order, an exchange of height and width would be a fault and no form.
    """
    orders = []
    for source in (axes - 1, *range(axes - 1)):
        rest = [axis for axis in range(axes) if axis != source]
        for target in (1, axes - 1, *range(axes)):
            order = (*rest[:target], source, *rest[target:])
            stays = order[-1] == axes - 1
            if order != tuple(range(axes)) and order not in orders and not (only_last and stays):
                orders.append(order)
    return orders


def _reshape_words(given: Shape, wanted: Shape) -> str:
    if len(given) < len(wanted):
        return "flat tokens as a map"
    return "a map as flat tokens" if len(given) > len(wanted) else "another grouping of the axes"


def _words(order: tuple[int, ...], given: Shape, wanted: Shape) -> str:
    """The form in words: which axis has been moved, and whether tokens have become a map or the reverse."""
    last = len(order) - 1
    movable = [axis for axis in order if sorted(rest := [x for x in order if x != axis]) == rest]
    if len(movable) == 2 and last in movable:  # two neighbours exchanged: either may have been moved
        words = "channels last" if len(wanted) == 4 else "channels first" if len(given) == 4 else "two axes exchanged"
    elif movable == [last]:
        words = "channels last"
    else:
        words = "channels first" if order[last] in movable else "axes in another order"
    if len(given) == len(wanted):
        return words
    return f"{'flat tokens as a map' if len(given) < len(wanted) else 'a map as flat tokens'}, {words}"


def _from_windows(given: Shape, wanted: Shape) -> list[Form]:
    """Windows (N * rows * columns, side * side, C) as a map (N, H, W, C), (N, H * W, C) or (N, C, H, W)."""
    return [
        Form("windows as a map", (count, rows, columns, side, side, channels), order)
        for count, rows, columns, side, channels, kind in _windows(given, wanted)
        for order in [(0, 5, 1, 3, 2, 4) if kind == "channels first" else (0, 1, 3, 2, 4, 5)]
    ]


def _to_windows(given: Shape, wanted: Shape) -> list[Form]:
    """The reverse of `_from_windows`."""
    forms = []
    for count, rows, columns, side, channels, kind in _windows(wanted, given):
        if kind == "channels first":
            seen, order = (count, channels, rows, side, columns, side), (0, 2, 4, 3, 5, 1)
        else:
            seen, order = (count, rows, side, columns, side, channels), (0, 1, 3, 2, 4, 5)
        forms.append(Form("a map as windows", seen, order))
    return forms


def _windows(windows: Shape, whole: Shape) -> list[tuple[int, int, int, int, int, str]]:
    """(N, rows, columns, side, C, layout) of windows that make up a map; none where they do not."""
    if len(windows) == 4 and windows[1] == windows[2]:
        windows = (windows[0], windows[1] * windows[2], windows[3])
    if len(windows) != 3 or math.isqrt(windows[1]) ** 2 != windows[1] or windows[1] == 1:
        return []
    side, channels = math.isqrt(windows[1]), windows[2]
    maps = []
    if len(whole) == 4 and whole[3] == channels:
        maps.append((whole[0], whole[1], whole[2], "channels last"))
    if len(whole) == 4 and whole[1] == channels:
        maps.append((whole[0], whole[2], whole[3], "channels first"))
    if len(whole) == 3 and whole[2] == channels and math.isqrt(whole[1]) ** 2 == whole[1]:
        maps.append((whole[0], math.isqrt(whole[1]), math.isqrt(whole[1]), "tokens"))
    return [
        (count, height // side, width // side, side, channels, layout)
        for count, height, width, layout in maps
        if height % side == 0 and width % side == 0 and height * width > side * side
    ]
