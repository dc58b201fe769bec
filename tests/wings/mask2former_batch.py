"""A training batch of Mask2Former made by hand: images of noise with rectangles for segments."""

from collections.abc import Sequence

import numpy as np

from common.families.mask2former.settings import Mask2FormerSettings
from common.training.drop_path import draw_branch_scales
from tests.goldens import golden

Batch = dict[str, np.ndarray]

PADDED = (64, 96)
COUNTS = (3, 0, 2)  # of segments in the images


def training_batch(
    settings: Mask2FormerSettings, images: Sequence[int] = (0, 1, 2), counts: Sequence[int] = COUNTS
) -> Batch:
    """The chosen ones of images that have so many segments; an image is the same in every batch."""
    masks, labels = zip(*(_segments(image, counts[image], settings.num_classes) for image in images), strict=True)
    masks, own = np.concatenate(masks), np.array([counts[image] for image in images], np.int32)
    batch = {
        "image": np.concatenate([golden.image(image, (1, 3, *PADDED)) for image in images]),
        "image_id": np.array(images),
        "masks": masks if len(masks) else np.zeros((1, *PADDED), np.uint8),
        "host.labels": np.concatenate(labels),
        "host.counts": own,
        "host.seed": 5 + np.array(images, np.int64),
        "normaliser.masks": np.float32(own.sum()),
        "normaliser.classes": np.float32(_weights(own, settings)),
    }
    network = settings.network
    if network.drop_path:
        batch["branch_scales"] = draw_branch_scales(batch["host.seed"], network.drop_path, network.backbone.blocks)
    return batch


def _weights(counts: np.ndarray, settings: Mask2FormerSettings) -> float:
    """The sum of the weights that an image's queries have in the classes' term."""
    used = np.minimum(counts, settings.network.queries)
    return (used + settings.losses.no_object_weight * (settings.network.queries - used)).sum()


def _segments(image: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (G, H, W) uint8 and labels (G,) int32; the second segment of an image is empty."""
    height, width = PADDED
    masks = np.zeros((count, height, width), np.uint8)
    for number, mask in enumerate(masks):
        if number != 1:
            top, left = 5 + 7 * number + image, 9 + 11 * number
            mask[top : top + 24, left : left + 30] = 1
    return masks, (np.arange(count, dtype=np.int32) + image) % classes
