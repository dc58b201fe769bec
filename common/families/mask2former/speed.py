"""What the speed of Mask2Former's models is measured on: made-up images whose segments are ellipses."""

import numpy as np

from common.data.made_up import IMAGE_SIZE, make_boxes, make_picture
from common.families.mask2former import samples
from common.families.mask2former.settings import Mask2FormerSettings
from common.families.speed import Arrays, Speed

SEGMENTS = 11  # in a training image, as many as in one of COCO's panoptic set
# Fresh class scores are nearly equal: with sharper ones queries are sure enough to take part in a panoptic result.
SHARPNESS = 20.0


def make_inputs(settings: Mask2FormerSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for prediction of so many made-up images of this size (height, width)."""
    rng = np.random.default_rng(seed)
    return samples.join([samples.prepare(make_picture(rng, size), settings) for _ in range(images)], settings)


def make_batch(settings: Mask2FormerSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for training of so many made-up images, which are as large as for prediction and not cut to squares."""
    rng = np.random.default_rng(seed)
    image = make_inputs(settings, images, seed, size)["image"]
    made = [
        {
            "image": each,
            "image_id": np.int64(number),
            "labels": rng.integers(0, settings.num_classes, SEGMENTS).astype(np.int32),
            "masks": _make_ellipses(make_boxes(rng, SEGMENTS), each.shape[1:]),
            "seed": np.int64(seed),
        }
        for number, each in enumerate(image)
    ]
    return samples.collate(made, settings)


def _make_ellipses(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The ellipses (G, H, W) uint8 that fill boxes (G, 4) xyxy, which are relative to the image's sides."""
    rows, columns = ((np.arange(length) + 0.5) / length for length in size)
    centres, radii = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    x = (columns - centres[:, :1]) / radii[:, :1]
    y = (rows - centres[:, 1:]) / radii[:, 1:]
    return (x[:, None, :] ** 2 + y[:, :, None] ** 2 < 1).astype(np.uint8)


def enliven(weights: Arrays, settings: Mask2FormerSettings) -> Arrays:
    """Sharpens the scores of initial weights."""
    name = "transformer_decoder.class_embed.weight"
    return weights | {name: weights[name] * np.float32(SHARPNESS)}


SPEED = Speed(
    inputs=make_inputs,
    batch=make_batch,
    enliven=enliven,
    # Called, the network would work out every layer's predictions, of which inference takes the last.
    forward=lambda network, image: network.predict(image),
)
