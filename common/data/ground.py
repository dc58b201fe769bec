"""Draws the ground of synthetic images: regions of sky and of grass, and patches of neither; and their segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.data.panoptic_index import LARGEST_ID


@dataclass(frozen=True)
class Stuff:
    """A class of ground; it is paler than any object."""

    identity: int  # with gaps, as COCO's ids have
    name: str
    hue: float  # degrees
    brightness: float
    grains: tuple[int, int]  # of its texture, in the image's height and width


STUFF = (Stuff(11, "sky", 210.0, 0.85, (6, 2)), Stuff(17, "grass", 80.0, 0.45, (12, 64)))

_SINGLE_SHARE = 0.2  # of the images have ground of one class
_GAP_SHARE = 0.3  # of the images have a patch of neither


@dataclass(frozen=True)
class Ground:
    """What an image's objects stand on.

    regions: (H, W) uint8, 1 + the place in `STUFF` of what a pixel shows, or 0 for neither; rng: draws all the rest.
    """

    regions: np.ndarray
    rng: np.random.Generator

    @classmethod
    def draw(cls, size: tuple[int, int], rng: np.random.Generator) -> "Ground":
        """Draws sky above grass, with a wavy line between them, or one of both alone, and patches of neither."""
        height, width = size
        x, y = np.arange(width) / width, np.arange(height)[:, None] / height
        wave = rng.uniform(0.02, 0.08) * np.sin(2 * np.pi * (rng.uniform(0.5, 2.0) * x + rng.random()))
        line = rng.uniform(0.3, 0.7) + rng.uniform(-0.2, 0.2) * (x - 0.5) + wave
        regions = np.where(y < line, 1, 2).astype(np.uint8)
        if rng.random() < _SINGLE_SHARE:
            regions[:] = rng.integers(1, len(STUFF) + 1)
        if rng.random() < _GAP_SHARE:
            centre, axes = rng.uniform(0.1, 0.9, 2) * size[::-1], rng.uniform(0.08, 0.25, 2) * size[::-1]
            whole = centre.astype(int).tolist(), axes.astype(int).tolist()
            cv2.ellipse(regions, *whole, rng.uniform(0, 180), 0, 360, 0, cv2.FILLED)
        return cls(regions, rng)

    def paint(self, image: np.ndarray) -> None:
        """Paints an image (H, W, 3) float64; patches of neither class stay as they are."""
        rng, (height, width) = self.rng, self.regions.shape
        for number, stuff in enumerate(STUFF, start=1):
            hue, saturation = stuff.hue + rng.uniform(-15.0, 15.0), rng.uniform(0.15, 0.3)
            brightness = stuff.brightness * rng.uniform(0.85, 1.15)
            colour = np.array([[[hue, saturation, brightness]]], np.float32)
            grain = rng.normal(0.0, 14.0, stuff.grains).astype(np.float32)
            texture = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
            here = self.regions == number
            image[here] = (255.0 * cv2.cvtColor(colour, cv2.COLOR_HSV2RGB) + texture)[here]

    def segments(self, objects: Sequence[tuple[int, np.ndarray, bool]]) -> tuple[np.ndarray, list[dict]]:
        """The ids (H, W) int32 of an image's panoptic PNG, 0 where nothing is, and the segments as COCO lists them.

        objects: of each one in front of the ground its category, visible mask (H, W) bool, and whether it is a crowd.
        """
        uncovered = self.regions.copy()
        for _, mask, _ in objects:
            uncovered[mask] = 0
        ground = [(stuff.identity, uncovered == number, False) for number, stuff in enumerate(STUFF, start=1)]
        parts = [part for part in (*objects, *ground) if part[1].any()]
        ids, segments = np.zeros(uncovered.shape, np.int32), []
        drawn = (self.rng.choice(LARGEST_ID, len(parts), replace=False) + 1).tolist()
        for identity, (category, mask, crowd) in zip(drawn, parts, strict=True):
            ids[mask] = identity
            area, box = int(np.count_nonzero(mask)), cv2.boundingRect(mask.astype(np.uint8))
            segments.append(
                {"id": identity, "category_id": category, "area": area, "bbox": list(box), "iscrowd": int(crowd)}
            )
        return ids, segments
