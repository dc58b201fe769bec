"""What the page draws of an image: the image itself and maps of pixels as data URIs, and masks as outlines of SVG."""

import base64

import cv2
import numpy as np
from pycocotools import mask as rle_tools

LONGEST_SIDE = 640  # of an image in the page
QUALITY = 82  # of its JPEG
# The outline of a mask may lie so far from its pixels' borders, in parts of the image's longer side.
TOLERANCE = 1 / 640
DISAGREES = (230, 30, 30)  # RGB
LEAST_SEEN = 0.005  # where fewer pixels of the image are chosen they are hard to see, and have rings around them
MOST_RINGS = 40


def encode_photo(image: np.ndarray) -> str:
    """An image (H, W, 3) uint8 RGB as the address of a JPEG, made smaller where it is large."""
    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return _address("jpeg", encoded)


def encode_pixels(chosen: np.ndarray) -> str:
    """The chosen pixels (H, W) bool as the address of a PNG, in which the others are transparent."""
    pixels = np.zeros((*chosen.shape, 4), np.uint8)
    pixels[chosen] = (*DISAGREES[::-1], 255)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return _address("png", encoded)


def rings(chosen: np.ndarray) -> list[tuple[float, float, float]]:
    """Circles x, y, radius around the areas of chosen pixels (H, W) bool, where they are so few that none is seen."""
    if chosen.mean() >= LEAST_SEEN:
        return []
    count, _, boxes, centres = cv2.connectedComponentsWithStats(chosen.astype(np.uint8))
    least = max(chosen.shape) / 50
    found = []
    for box, (x, y) in zip(boxes[1:count], centres[1:count], strict=True):
        radius = max(box[cv2.CC_STAT_WIDTH], box[cv2.CC_STAT_HEIGHT]) / 2 + least
        found.append((round(x + 0.5, 1), round(y + 0.5, 1), round(radius, 1)))
    return found[:MOST_RINGS]


def outline(mask: dict) -> str:
    """A mask (pycocotools' RLE) as the path of an SVG whose unit is a pixel of the image."""
    decoded = rle_tools.decode(mask)
    # Contours run through the middles of pixels: of an image three times as large they are near the pixels' borders.
    large = cv2.resize(decoded, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    tolerance = 3 * max(0.5, TOLERANCE * max(decoded.shape))
    parts = []
    for contour in contours:
        points = (cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2) + 0.5) / 3
        if len(points) > 2:
            parts.append("M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in points.tolist()) + "Z")
    return "".join(parts)


def middle(mask: dict) -> tuple[float, float]:
    """A point x, y of a mask that is as far from its border as any, where its name can stand."""
    decoded = np.pad(rle_tools.decode(mask), 1)
    distance = cv2.distanceTransform(decoded, cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(x - 0.5), float(y - 0.5)


def _address(kind: str, encoded: np.ndarray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
