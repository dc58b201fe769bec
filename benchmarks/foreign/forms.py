"""Equal numbers under another shape: how a port's array is brought to the shape that the reference's has."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Form:
    """A way to bring an array to another shape without changing a number.

    The array is seen in the shape `seen_as`, its axes are put in `order` (as in `numpy.transpose`), and what comes out
    is seen in the shape that is wanted. part: (index, lengths, axis), where only one part of the array along an axis is
    taken first. words: the form as the report tells it, "" where the array is left as it is.
    """

    words: str = ""
    seen_as: tuple[int, ...] = ()  # () for the array's own shape
    order: tuple[int, ...] = ()  # () for the order that the axes have
    part: tuple[int, tuple[int, ...], int] | None = None
    joined_along: int | None = None  # the axis along which several arrays are joined first

    def bring(self, arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray | None:
        """The arrays, joined where they are several, in the shape given; None where they do not fit it."""
        array = arrays[0] if self.joined_along is None else np.concatenate(arrays, self.joined_along)
        if self.part is not None:
            index, lengths, axis = self.part
            array = np.split(array, np.cumsum(lengths)[:-1], axis)[index]
        if self.seen_as:
            array = array.reshape(self.seen_as)
        if self.order:
            array = array.transpose(self.order)
        return array.reshape(shape) if self.words and array.size == np.prod(shape) else _as_it_is(array, shape)


AS_IT_IS = Form()


def _as_it_is(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    return array if array.shape == tuple(shape) else None
