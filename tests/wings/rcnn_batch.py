"""A training batch of Mask R-CNN made by hand: images of noise with two, one and no objects."""

import numpy as np

from common.families.mask_rcnn.outlines import Outline, pack_outlines
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnSettings
from tests.goldens import golden

PADDED = (96, 128)
SIZES = np.array([[96, 128], [80, 120], [64, 128]])
BOXES = [
    np.array([[10, 12, 60, 70], [50, 30, 110, 90]], np.float32),
    np.array([[20, 8, 90, 72]], np.float32),
    np.zeros((0, 4), np.float32),
]


def diamond(box: np.ndarray) -> np.ndarray:
    """A polygon through the middles of a box's sides."""
    x1, y1, x2, y2 = map(float, box)
    return np.array([(x1 + x2) / 2, y1, x2, (y1 + y2) / 2, (x1 + x2) / 2, y2, x1, (y1 + y2) / 2])


def bitmap(box: np.ndarray) -> Outline:
    """The box's left half, with an edge of zeros."""
    x1, y1, x2, y2 = map(int, box)
    pixels = np.zeros((y2 - y1 + 2, x2 - x1 + 2), np.uint8)
    pixels[1:-1, 1 : (x2 - x1) // 2] = 1
    return Outline(bitmap=pixels, corner=(x1 - 1, y1 - 1))


def training_batch(settings: MaskRcnnSettings, images: tuple[int, ...] = (0, 1, 2)) -> dict[str, np.ndarray]:
    """The chosen images; the first object of each is a polygon where the convention has any, the others are bitmaps."""
    boxes, sizes = [BOXES[i] for i in images], SIZES[list(images)]
    targets = [
        make_anchor_targets(each, tuple(size), PADDED, settings, seed)
        for seed, (each, size) in enumerate(zip(boxes, sizes.tolist(), strict=True), start=5)
    ]
    draws = settings.rules.mask_source == "polygons"
    outlines = [
        Outline((diamond(box),)) if k == 0 and draws else bitmap(box) for each in boxes for k, box in enumerate(each)
    ]
    counts = np.array([len(each) for each in boxes])
    return {
        "image": golden.image(4, (3, 3, *PADDED))[list(images)],
        "image_id": np.array(images),
        **{name: np.stack([each[name] for each in targets]) for name in targets[0]},
        "normaliser.ranks": np.ones(1, np.float32),
        "host.image_size": sizes,
        "host.boxes": np.concatenate(boxes),
        "host.labels": settings.first_label + np.arange(counts.sum(), dtype=np.int32) % settings.num_classes,
        "host.counts": counts,
        "host.seed": 5 + np.arange(len(images)),
        **pack_outlines(outlines),
    }
