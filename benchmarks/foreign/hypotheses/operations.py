"""Convolution, pooling and standardising in NumPy, with every choice that ports make differently as an argument."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Sides = tuple[int, int, int, int]  # top, bottom, left, right


@dataclass(frozen=True)
class Window:
    """How a kernel moves over a picture.

    kernel: height and width. padding: rows and columns added on each side. mode: what they hold, as np.pad calls it.
    ceil: whether a last window is taken that hangs over the bottom or right side.
    """

    kernel: tuple[int, int]
    stride: int = 1
    padding: Sides = (0, 0, 0, 0)
    dilation: int = 1
    mode: str = "constant"
    ceil: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width of the result; 0 or less where the kernel does not fit."""
        top, bottom, left, right = self.padding
        return self._length(height, self.kernel[0], top, bottom), self._length(width, self.kernel[1], left, right)

    def _length(self, length: int, kernel: int, before: int, after: int) -> int:
        free = length + before + after - self.dilation * (kernel - 1) - 1
        count = (-(-free // self.stride) if self.ceil else free // self.stride) + 1
        # A window has to begin in the picture or the padding before it.
        return count - 1 if self.ceil and (count - 1) * self.stride >= length + before else count

    def taps(self, x: np.ndarray, value: float = 0.0, beyond: float = 0.0) -> Iterator[tuple[int, int, np.ndarray]]:
        """(row, column, what that place of the kernel sees of x (N, C, H, W)), each (N, C, H', W').

        value: of padding. beyond: of what the last window sees below and right of the padding.
        """
        height, width = self.size(*x.shape[2:])
        top, bottom, left, right = self.padding
        pads = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(x, pads, self.mode, **({"constant_values": value} if self.mode == "constant" else {}))
        reach = self.dilation * (self.kernel[0] - 1), self.dilation * (self.kernel[1] - 1)
        ends = [(count - 1) * self.stride + far + 1 for count, far in zip((height, width), reach, strict=True)]
        over = [max(0, end - length) for end, length in zip(ends, padded.shape[2:], strict=True)]
        padded = np.pad(padded, ((0, 0), (0, 0), (0, over[0]), (0, over[1])), constant_values=beyond)
        for row, column in np.ndindex(self.kernel):
            y, x0 = row * self.dilation, column * self.dilation
            rows = slice(y, y + (height - 1) * self.stride + 1, self.stride)
            columns = slice(x0, x0 + (width - 1) * self.stride + 1, self.stride)
            yield row, column, padded[:, :, rows, columns]


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | float, window: Window) -> np.ndarray:
    """x (N, C, H, W) with weight (O, C / groups, h, w) and bias (O,) -> (N, O, H', W')."""
    groups = x.shape[1] // weight.shape[1]
    kernels = np.split(weight, groups)
    totals: list[np.ndarray | float] = [0.0] * groups
    for row, column, seen in window.taps(x):
        for part, channels in enumerate(np.split(seen, groups, axis=1)):
            totals[part] = totals[part] + np.tensordot(kernels[part][..., row, column], channels, (1, 1))
    return np.moveaxis(np.concatenate(totals), 0, 1) + np.reshape(bias, (-1, 1, 1))


def pool_largest(x: np.ndarray, window: Window, value: float = -np.inf) -> np.ndarray:
    """The largest of each window of x (N, C, H, W); value: of padding, which a right max pool never takes."""
    largest: np.ndarray | None = None
    for _, _, seen in window.taps(x, value, -np.inf):
        largest = seen if largest is None else np.maximum(largest, seen)
    return largest


def pool_mean(x: np.ndarray, window: Window, counts_padding: bool = True) -> np.ndarray:
    """The mean of each window of x (N, C, H, W), with the padding's zeros counted or not."""
    ones = np.ones((1, 1, *x.shape[2:]))
    total = sum(seen for _, _, seen in window.taps(x))
    return total / sum(seen for _, _, seen in window.taps(ones, 1.0 if counts_padding else 0.0))


def standardise(
    x: np.ndarray, axes: tuple[int, ...], epsilon: float, ddof: int = 0, centred: bool = True
) -> np.ndarray:
    """x less its mean over the axes, divided by the root of its variance plus epsilon."""
    mean = x.mean(axis=axes, keepdims=True) if centred else 0.0
    count = int(np.prod([x.shape[axis] for axis in axes]))
    variance = np.square(x - mean).sum(axis=axes, keepdims=True) / max(count - ddof, 1)
    return (x - mean) / np.sqrt(variance + epsilon)
