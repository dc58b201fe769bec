"""A training batch of Mask R-CNN made by hand: images of noise with two, one and no objects."""

from collections.abc import Callable

import numpy as np

from common.families.mask_rcnn.losses import count_anchors
from common.families.mask_rcnn.outlines import Outline, draw_outline, pack_outlines, unpack_outlines
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.training.ranks import SumOverRanks
from tests.goldens import golden

Batch = dict[str, np.ndarray]
Terms = dict[str, np.ndarray]

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
        make_anchor_targets(each, tuple(size), PADDED, settings, 5 + image)
        for image, each, size in zip(images, boxes, sizes.tolist(), strict=True)
    ]
    draws = settings.rules.mask_source == "polygons"
    outlines = [
        Outline((diamond(box),)) if k == 0 and draws else bitmap(box) for each in boxes for k, box in enumerate(each)
    ]
    counts = np.array([len(each) for each in boxes])
    anchors = {name: np.stack([each[name] for each in targets]) for name in targets[0]}
    return {
        "image": golden.image(4, (3, 3, *PADDED))[list(images)],
        "image_id": np.array(images),
        **anchors,
        "host.anchors": np.array(count_anchors(anchors["anchor_labels"], len(images), settings)),
        "host.image_size": sizes,
        "host.boxes": np.concatenate(boxes),
        "host.labels": settings.first_label + np.arange(counts.sum(), dtype=np.int32) % settings.num_classes,
        "host.counts": counts,
        "host.seed": 5 + np.array(images),
        **pack_outlines(outlines),
    }


def batch_of_bitmaps(settings: MaskRcnnSettings, images: tuple[int, ...] = (0, 1, 2)) -> dict[str, np.ndarray]:
    """The batch of `training_batch`, whose objects are bitmaps."""
    batch = training_batch(settings, images)
    sizes = np.repeat(batch["host.image_size"], batch["host.counts"], axis=0)
    drawn = [draw_outline(each, tuple(size)) for each, size in zip(unpack_outlines(batch), sizes.tolist(), strict=True)]
    return batch | pack_outlines(drawn)


def on_ranks(step: Callable[[Batch, SumOverRanks], Terms], batches: list[Batch]) -> list[Terms]:
    """What a step with a rank's part of a batch, and with the sum over the ranks, gives on each of them.

    One process plays all ranks, twice: the first time it only hears what each would have summed.
    """
    given: list[list[np.ndarray]] = [[] for _ in batches]
    for batch, own in zip(batches, given, strict=True):
        step(batch, lambda array, own=own: own.append(array) or array)
    assert len({len(own) for own in given}) == 1
    totals = [np.sum(arrays, axis=0) for arrays in zip(*given, strict=True)]
    answers = [iter(totals) for _ in batches]
    return [step(batch, lambda _, own=own: next(own)) for batch, own in zip(batches, answers, strict=True)]
