"""Reads from an image and what it became how it was prepared: resized, cut out, ordered, normalised and padded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.parity.channels import channels_of, fit_lines, remaining_energy
from common.errors import UserError

_Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]

# The short side to which an image is scaled before its middle is cut out, as multiples of what is cut out.
_SHARES = (1.0, 256 / 224, 1 / 0.9, 1 / 0.95, 232 / 224, 236 / 224, 248 / 224)
# A recipe explains the picture when this share of its energy is left: a resize by another library leaves a percent.
_UNEXPLAINED = 1e-4


@dataclass(frozen=True)
class Recipe:
    """How an image was prepared. error: the share of the picture's energy that this does not explain.

    padding: what lies around the picture, (top, left, bottom, right) in pixels, and its value in each channel.
    """

    layout: str
    resize: str
    order: str
    mean: np.ndarray  # of red, green and blue, on 0..255
    deviation: np.ndarray
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    padding_values: np.ndarray = field(default_factory=lambda: np.zeros(3))
    error: float = 0.0

    @property
    def is_found(self) -> bool:
        return self.error <= _UNEXPLAINED


def read_recipe(image: Path, prepared: np.ndarray) -> Recipe | None:
    """The recipe that explains best what an image became; None where that is no picture of three channels.

    prepared: (1, 3, H, W), (3, H, W) or the same with the channels last.
    """
    found = _as_picture(np.asarray(prepared, np.float64))
    pixels = _decode(image)
    if found is None:
        return None
    picture, layout = found
    padding = _padding(picture)
    top, left, bottom, right = padding
    height, width = picture.shape[:2]
    content = picture[top : height - bottom, left : width - right]
    best = min(_fits(pixels, content), key=lambda fit: fit[0])
    error, resize, order, scale, shift = best
    corner = picture[0, 0] if top or left else picture[-1, -1]
    colours = slice(None, None, 1 if order == "rgb" else -1)
    mean, deviation = (-shift / scale)[colours], (1 / scale)[colours]
    return Recipe(layout, resize, order, mean, deviation, padding, corner[colours], error)


def differences(ours: Recipe, theirs: Recipe) -> list[str]:
    """What differs between two recipes, in words, the reference's second."""
    found = []
    for what in ("layout", "resize", "order"):
        one, other = getattr(ours, what), getattr(theirs, what)
        if one != other:
            found.append(f"{what}: {other}, the reference has {one}")
    if ours.padding != theirs.padding:
        found.append(f"padding: {_sides(theirs.padding)}, the reference has {_sides(ours.padding)}")
    elif any(ours.padding) and not _near(ours.padding_values, theirs.padding_values):
        values = _numbers(theirs.padding_values), _numbers(ours.padding_values)
        found.append(f"padding: of value {values[0]}, the reference's is {values[1]}")
    for what in ("mean", "deviation"):
        one, other = getattr(ours, what), getattr(theirs, what)
        if not _near(one, other):
            found.append(f"{what}: {_numbers(other)}, the reference has {_numbers(one)}")
    return found


def describe(recipe: Recipe) -> str:
    padding = "no padding" if not any(recipe.padding) else f"padding {_sides(recipe.padding)}"
    numbers = f"mean {_numbers(recipe.mean)}, deviation {_numbers(recipe.deviation)}"
    return f"{recipe.resize}, {recipe.order}, {numbers}, {padding}, {recipe.layout}"


def _as_picture(prepared: np.ndarray) -> tuple[np.ndarray, str] | None:
    """(H, W, 3) and the layout of an array that has the channels first or last."""
    array = prepared[0] if prepared.ndim == 4 else prepared
    if array.ndim != 3:
        return None
    if array.shape[0] == 3:
        return array.transpose(1, 2, 0), "channels first"
    return (array, "channels last") if array.shape[2] == 3 else None


def _decode(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UserError(f"{path}: not an image that can be read")
    return pixels[:, :, ::-1]


def _padding(picture: np.ndarray) -> tuple[int, int, int, int]:
    """The rows and columns around the content that have one value, (top, left, bottom, right)."""
    counts = []
    for corner in ((0, 0), (-1, -1)):
        flat = np.all(picture == picture[corner], axis=2)
        rows, columns = flat.all(axis=1), flat.all(axis=0)
        step = 1 if corner == (0, 0) else -1
        counts += [_leading(rows[::step]), _leading(columns[::step])]
    top, left, bottom, right = counts
    whole = top == picture.shape[0]
    return (0, 0, 0, 0) if whole else (top, left, bottom, right)


def _leading(truths: np.ndarray) -> int:
    return int(truths.size if truths.all() else np.argmin(truths))


def _fits(pixels: np.ndarray, content: np.ndarray) -> Iterator[tuple[float, str, str, np.ndarray, np.ndarray]]:
    """(error, resize, order, scale, shift) of every way to resize and to order."""
    height, width = content.shape[:2]
    for name, resized in _resized(pixels, (height, width)):
        for order in ("rgb", "bgr"):
            planes = (resized if order == "rgb" else resized[:, :, ::-1]).astype(np.float64)
            reference, other = channels_of(planes, 2), channels_of(content, 2)
            scale, shift = fit_lines(reference, other)
            if np.all(scale > 0):
                spread = float(np.square(other - other.mean(axis=(0, 2), keepdims=True)).sum()) or 1.0
                yield remaining_energy(reference, other, scale, shift) / spread, name, order, scale, shift
    yield np.inf, "a resize that is not known", "unknown", np.ones(3), np.zeros(3)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """The image in this size by every known way, and its middle in this size after it was scaled to a longer side."""
    if pixels.shape[:2] == size:
        yield "not resized", pixels
    for share in _SHARES:
        short = round(min(size) * share)
        scale = short / min(pixels.shape[:2])
        scaled = tuple(max(short, int(side * scale)) for side in pixels.shape[:2])
        top, left = ((long - side) // 2 for long, side in zip(scaled, size, strict=True))
        if min(top, left) < 0 or scaled == size:
            continue
        for name, resize in _RESIZES.items():
            cut = resize(pixels, scaled)[top : top + size[0], left : left + size[1]]
            yield f"{name} to a short side of {short}, the middle cut out", cut
    for name, resize in _RESIZES.items():
        yield f"{name} to {size[1]} x {size[0]}", resize(pixels, size)


def _by_opencv(pixels: np.ndarray, size: tuple[int, int], way: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(pixels), size[::-1], interpolation=way)


def _by_opencv_float(pixels: np.ndarray, size: tuple[int, int], way: int) -> np.ndarray:
    return _by_opencv(pixels.astype(np.float32), size, way)


def _by_pillow(pixels: np.ndarray, size: tuple[int, int], way: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size[::-1], way))


_OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "Lanczos": cv2.INTER_LANCZOS4,
}
_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
_RESIZES: dict[str, _Resize] = {
    **{f"OpenCV's {name}": partial(_by_opencv, way=way) for name, way in _OPENCV.items()},
    "OpenCV's bilinear on floats": partial(_by_opencv_float, way=cv2.INTER_LINEAR),
    **{f"Pillow's {name}": partial(_by_pillow, way=way) for name, way in _PILLOW.items()},
}


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=2e-3, atol=2e-2))


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _sides(padding: tuple[int, int, int, int]) -> str:
    named = zip(("above", "left", "below", "right"), padding, strict=True)
    return ", ".join(f"{count} {side}" for side, count in named if count) or "none"
