"""The order in which the entries of an array's axis stand, in words, and whether formats differ in such an order."""

from dataclasses import dataclass

import numpy as np

_EXCHANGED = (0, 2, 1, 3)  # four tokens row by row instead of column by column
_MOST_BLOCKS = 6


@dataclass(frozen=True)
class Order:
    """An order of an axis that is not the reference's.

    words: what is different. is_convention: whether formats differ in it; any other order is an error. condition: what
    the network that reads such an array must do; "" where the order is a matter of the format alone.
    """

    words: str
    is_convention: bool = True
    condition: str = ""


def describe_order(order: np.ndarray, axis: int, shape: tuple[int, ...]) -> Order:
    """An order in words.

    order: (n,), the places in the other array of what the reference has along the axis, from its first entry to its
    last. shape: the reference's.
    """
    explanations = (_backwards, _merged, _rolled, _neighbours, _exchanged_factors, _blocks)
    for explain in explanations:
        if (found := explain(order, axis, shape)) is not None:
            return found
    moved = np.count_nonzero(order != np.arange(len(order)))
    return Order(f"{moved} of {len(order)} entries of axis {axis} stand elsewhere, by no simple rule", False)


def _backwards(order: np.ndarray, axis: int, shape: tuple[int, ...]) -> Order | None:
    if not np.array_equal(order, np.arange(len(order))[::-1]):
        return None
    if len(shape) == 4 and shape[axis] == 3 and (axis == 1 or shape.count(3) == 1):
        words = "the image's channels stand in the reverse order (RGB, BGR)"
        return Order(words, condition="takes the image's channels in the reverse order")
    return Order(f"axis {axis} runs backwards", False)


def _merged(order: np.ndarray, axis: int, _: tuple[int, ...]) -> Order | None:
    """The two orders in which Swins join the channels of four tokens."""
    if len(order) % 4 or len(order) == 4:
        return None
    unfolded = np.arange(len(order)).reshape(-1, 4)[:, _EXCHANGED].T.reshape(-1)
    by_channel, by_token = "channel by channel, as unfolding gives it", "token by token"
    if np.array_equal(order, unfolded):
        return Order(f"merging: axis {axis} goes {by_channel}, the reference's {by_token}")
    if np.array_equal(order[unfolded], np.arange(len(order))):
        return Order(f"merging: axis {axis} goes {by_token}, the reference's {by_channel}")
    return None


def _rolled(order: np.ndarray, axis: int, _: tuple[int, ...]) -> Order | None:
    """An entry that went from one end to the other, as the background among the classes does."""
    entries = np.arange(len(order))
    if len(order) < 3:
        return None
    condition = "has the background, or what that entry is, at the other end"
    if np.array_equal(order, np.roll(entries, 1)):
        return Order(f"the first entry of axis {axis} stands last", condition=condition)
    if np.array_equal(order, np.roll(entries, -1)):
        return Order(f"the last entry of axis {axis} stands first", condition=condition)
    return None


def _neighbours(order: np.ndarray, axis: int, _: tuple[int, ...]) -> Order | None:
    """Pairs whose two entries are exchanged, as those of offsets and boxes are."""
    if len(order) % 2 or not np.array_equal(order, np.arange(len(order)).reshape(-1, 2)[:, ::-1].reshape(-1)):
        return None
    words = f"each two neighbours along axis {axis} are exchanged (x y, y x)"
    return Order(words, condition="takes x and y in the other order")


def _exchanged_factors(order: np.ndarray, axis: int, _: tuple[int, ...]) -> Order | None:
    """An axis that is (outer, inner, run), and (inner, outer, run) in the other array.

    So do channels and pixels of a flattened map change places, or heads and their queries, keys and values.
    """
    starts = _block_starts(order)
    if starts is None:
        return None
    inner = next((place for place in range(1, len(starts)) if starts[place] < starts[place - 1]), 0)
    if inner < 2 or len(starts) < 2 * inner or len(starts) % inner:
        return None
    outer, run = len(starts) // inner, len(order) // len(starts)
    if not np.array_equal(starts, np.arange(len(starts)).reshape(inner, outer).T.reshape(-1)):
        return None
    return Order(f"axis {axis} goes as {_factors(inner, outer, run)}, the reference's as {_factors(outer, inner, run)}")


def _blocks(order: np.ndarray, axis: int, _: tuple[int, ...]) -> Order | None:
    """A few blocks of one size, such as the queries, keys and values of an attention."""
    starts = _block_starts(order)
    if starts is None or len(starts) > _MOST_BLOCKS or len(starts) == len(order):
        return None
    numbers = ", ".join(str(start + 1) for start in starts)
    return Order(f"the reference's {len(starts)} blocks of axis {axis} stand in the places {numbers}", False)


def _block_starts(order: np.ndarray) -> np.ndarray | None:
    """The places of the blocks, counted in blocks, of an axis of several blocks of one length that are whole."""
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    if not len(breaks):
        return None
    length = int(np.gcd.reduce([*breaks, len(order)]))
    starts = order[::length]
    is_whole = np.array_equal((starts[:, None] + np.arange(length)).reshape(-1), order)
    return starts // length if is_whole and not np.any(starts % length) else None


def _factors(*factors: int) -> str:
    return f"({', '.join(str(factor) for factor in factors if factor > 1)})"
