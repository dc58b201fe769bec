"""The other forms in which a layer may be given an array: a picture as tokens, tokens as a picture or in windows."""

from collections.abc import Iterator

import numpy as np


def forms(x: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """x and what modules are given of it between layers that are dumped; shape: of the layer's answer."""
    yield x
    if x.ndim == 4 and len(shape) == 3 and x.shape[0] == shape[0]:
        yield x.reshape(*x.shape[:2], -1).swapaxes(1, 2)
    if x.ndim == 3 and len(shape) == 4 and (side := _side(x.shape[1])):
        yield x.swapaxes(1, 2).reshape(len(x), -1, side, side)
    if len(shape) == 4 and x.ndim == 4 and x.shape[0] == shape[0]:
        if x.shape[1] != shape[1] and x.shape[3] == shape[1]:
            yield x.transpose(0, 3, 1, 2)
        if x.shape[3] != shape[3] and x.shape[1] == shape[3]:
            yield x.transpose(0, 2, 3, 1)
    tokens = x.reshape(len(x), -1, x.shape[-1]) if x.ndim in (3, 4) and x.size else None
    if tokens is not None and len(shape) == 3 and len(tokens) < shape[0] and shape[0] % len(tokens) == 0:
        yield from _in_windows(tokens, shape[0] // len(tokens), shape[1])
    if tokens is not None and tokens.shape[1] % 4 == 0 and tuple(shape[1:]) == _merged_shape(tokens):
        yield _merge(tokens)
    if x.ndim == 3 and len(shape) == 3 and shape[0] < len(x) and len(x) % shape[0] == 0:
        yield from _from_windows(x, len(x) // shape[0])


def with_channels_as(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture of another size than `shape`, of which the axis of the channels shows that it is kept otherwise."""
    if not x.ndim == len(shape) == 4 or x.shape[1] == shape[1] or x.shape[3] == shape[3]:
        return x
    if x.shape[3] == shape[1]:
        return x.transpose(0, 3, 1, 2)
    return x.transpose(0, 2, 3, 1) if x.shape[1] == shape[3] else x


def split_in_windows(picture: np.ndarray, side: int) -> np.ndarray:
    """(N, H, W, C) -> (N * windows, side * side, C)."""
    count, height, width, channels = picture.shape
    parts = picture.reshape(count, height // side, side, width // side, side, channels)
    return parts.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * side, channels)


def join_windows(windows: np.ndarray, across: int) -> np.ndarray:
    """(N * across * across, side * side, C) -> (N, H, W, C)."""
    side, channels = _side(windows.shape[1]), windows.shape[-1]
    parts = windows.reshape(-1, across, across, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(-1, across * side, across * side, channels)


def _in_windows(tokens: np.ndarray, windows: int, size: int) -> Iterator[np.ndarray]:
    """Tokens (N, P, C) of a square picture in square windows, plain and rolled by half a window."""
    across, side, length = _side(windows), _side(size), _side(tokens.shape[1])
    if across and side and across * side == length:
        picture = tokens.reshape(len(tokens), length, length, -1)
        for shift in (0, side // 2):
            yield split_in_windows(np.roll(picture, (-shift, -shift), (1, 2)), side)


def _from_windows(windows: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The reverse: windows (N * windows, n, C), plain and rolled back, as tokens (N, P, C)."""
    across, side = _side(count), _side(windows.shape[1])
    if across and side:
        picture = join_windows(windows, across)
        for shift in (0, side // 2):
            yield np.roll(picture, (shift, shift), (1, 2)).reshape(len(picture), -1, windows.shape[-1])


def _merged_shape(tokens: np.ndarray) -> tuple[int, int]:
    return tokens.shape[1] // 4, 4 * tokens.shape[2]


def _merge(tokens: np.ndarray) -> np.ndarray:
    """Tokens (N, P, C) of a square picture, each two by two as one of 4 C channels: rows change before columns."""
    side = _side(tokens.shape[1])
    if side == 0 or side % 2:
        return tokens
    picture = tokens.reshape(len(tokens), side, side, -1)
    corners = [picture[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return np.concatenate(corners, axis=-1).reshape(len(tokens), *_merged_shape(tokens))


def _side(count: int) -> int:
    """The side of a square of so many; 0 where there is none."""
    side = round(count**0.5)
    return side if side * side == count else 0
