"""What every model predicts, whatever its framework."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass
class Instances:
    """The instances found in one image, in the image's own pixels, best score first.

    boxes: (N, 4) float32 xyxy, whose width is x2 - x1 whatever the model's own convention; scores: (N,) float32;
    labels: (N,) int64, positions in the list of class names; masks: (N, H, W) bool; image_size: (H, W).
    `mask_scores` (N,) is set where a model rates its masks apart. `probabilities` (N, h, w) float32 are what the masks
    were cut out of, as the network gives them: each lies in its row of `probability_boxes` (N, 4), which are as the
    model's own convention has them, or in the whole image where there are no such boxes.
    """

    image_size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    mask_scores: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    probability_boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, keep: np.ndarray | slice) -> "Instances":
        """The instances that a mask, a list of positions or a slice chooses."""
        boxes, scores, labels = self.boxes[keep], self.scores[keep], self.labels[keep]
        optional = (self.mask_scores, self.probabilities, self.probability_boxes)
        others = (None if values is None else values[keep] for values in optional)
        return Instances(self.image_size, boxes, scores, labels, self.masks[keep], *others)

    def ranked(self, score_threshold: float, top_k: int) -> "Instances":
        """The `top_k` best with a score of at least `score_threshold`, as they are shown and saved.

        Where the masks are rated apart, their scores count and become the scores: the instances are sorted by them,
        the first wins among equals, and those below the threshold go.
        """
        if self.mask_scores is None:
            return self[:top_k]
        order = np.argsort(-self.mask_scores, kind="stable")[:top_k]
        best = self[order[self.mask_scores[order] >= score_threshold]]
        return replace(best, scores=best.mask_scores, mask_scores=None)
