"""What every model predicts, whatever its framework."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Instances:
    """The instances found in one image, in the image's own pixels, best score first.

    boxes: (N, 4) float32 xyxy; scores: (N,) float32; labels: (N,) int64, positions in the list of class names;
    masks: (N, H, W) bool; image_size: (H, W). `mask_scores` (N,) is set where a model rates its masks apart.
    `probabilities` (N, h, w) float32 are what the masks were cut out of, as the network gives them: a two-stage model's
    lie each in its box, others in the whole image.
    """

    image_size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    mask_scores: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, keep: np.ndarray | slice) -> "Instances":
        """The instances that a mask, a list of positions or a slice chooses."""
        boxes, scores, labels = self.boxes[keep], self.scores[keep], self.labels[keep]
        others = (None if values is None else values[keep] for values in (self.mask_scores, self.probabilities))
        return Instances(self.image_size, boxes, scores, labels, self.masks[keep], *others)
