"""The random points at which masks are compared: (x, y) in 0..1 of a padded image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.families.mask2former.settings import Mask2FormerLosses
from common.training.randomness import stream


@dataclass(frozen=True)
class Points:
    """Draws the points of a batch's images.

    They depend on an image's seed, on the number of the prediction, from 0, and on what they are for. So an image has
    the same ones in a batch of its own.
    """

    seeds: np.ndarray  # (N,)
    settings: Mask2FormerLosses

    def of_images(self, prediction: int) -> np.ndarray:
        """The points at which an image's queries are compared with its segments: (N, P, 2) float32."""
        return self._draw(prediction, "points of images", [1] * len(self.seeds), self.settings.points)

    def of_pairs(self, prediction: int, counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """The candidates (R, C, 2) and the points that are taken without a choice (R, F, 2) of pairs, float32.

        counts: how many of the R pairs each image has; they are those of one image after the other.
        """
        settings = self.settings
        candidates = self._draw(prediction, "candidates of pairs", counts, settings.candidates)
        return candidates, self._draw(prediction, "points of pairs", counts, settings.points - settings.unsure)

    def _draw(self, prediction: int, purpose: str, counts: Sequence[int], points: int) -> np.ndarray:
        drawn = np.empty((sum(counts), points, 2), np.float32)
        of_images = np.split(drawn, np.cumsum(counts)[:-1])
        for seed, of_image in zip(self.seeds.tolist(), of_images, strict=True):
            stream(seed, prediction, purpose).random(dtype=np.float32, out=of_image)
        return drawn
