"""A small panoptic data set in memory, and a model's answers for it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from pycocotools import mask as rle_tools

from common.boxes import boxes_around
from common.results import Instances, Panoptic

CLASSES = ["person", "dog", "sky", "grass"]
IDS = [1, 18, 187, 193]
IS_THING = np.array([True, True, False, False])
# Of each image the segments' ids, labels and whether they are crowds.
SEGMENTS = ([(7, 0, False), (70000, 1, False), (300, 2, False), (9, 3, False)], [(1, 0, True), (5, 2, False)])


class Dataset:
    """Two images of 40 x 60 pixels: the sky over a person, a dog and grass, with void at the right; and a crowd."""

    annotations, faults, instances_file = "panoptic.json", (), None
    class_names, category_ids, is_thing = CLASSES, IDS, IS_THING
    image_ids, annotation_count = np.array([42, 7]), 6

    def image_size(self, position):
        return 40, 60

    def segments(self, position):
        ids = np.zeros((40, 60), np.int32)
        ids[:20, :55] = 300 if position == 0 else 5
        if position == 0:
            ids[20:, :55], ids[10:30, 5:20], ids[15:35, 30:50] = 9, 7, 70000
        else:
            ids[20:, :55] = 1
        return ids, [
            SimpleNamespace(
                id=number, label=label, category_id=IDS[label], crowd=crowd, area=int((ids == number).sum())
            )
            for number, label, crowd in SEGMENTS[position]
        ]

    def instances(self):
        return None

    def missing_maps(self):
        return np.array([], np.int64)

    def truth(self, position):
        return self.things(*self.segments(position))

    def things(self, ids, segments):
        encoded = [rle_tools.encode(np.asfortranarray(ids == each.id, np.uint8)) for each in segments]
        return [
            {
                "label": each.label,
                "iscrowd": int(each.crowd),
                "bbox": rle_tools.toBbox(rle).tolist(),
                "area": each.area,
                "segmentation": rle,
            }
            for each, rle in zip(segments, encoded, strict=True)
            if IS_THING[each.label]
        ]


def perfect(dataset, position):
    """The answer of a model that finds just what is annotated, and no class where nothing is but grass."""
    truth, segments = dataset.segments(position)
    segment_map, semantic = np.zeros_like(truth), np.full_like(truth, 3)
    for number, segment in enumerate(segments, start=1):
        segment_map[truth == segment.id] = number
        semantic[truth == segment.id] = segment.label
    labels = np.array([segment.label for segment in segments])
    things = np.flatnonzero(IS_THING[labels])
    masks = segment_map == (things + 1)[:, None, None]
    scores = np.linspace(0.9, 0.6, len(segments)).astype(np.float32)
    instances = Instances(truth.shape, boxes_around(masks), scores[things], labels[things], masks)
    ids = np.arange(1, len(segments) + 1, dtype=np.int32)
    return Panoptic(truth.shape, segment_map, ids, labels, scores, IS_THING[labels], instances, semantic)


def without(found, number):
    """The result without a segment."""
    kept = found.ids != number
    segments = {name: getattr(found, name)[kept] for name in ("ids", "labels", "scores", "is_thing")}
    return replace(found, segment_map=np.where(found.segment_map == number, 0, found.segment_map), **segments)


def collect(kind, results, image_ids, **how):
    """The entries of images' results, as `predict_dataset` gathers them."""
    parts = [kind.entries(int(image_id), each, IDS, **how) for image_id, each in zip(image_ids, results, strict=True)]
    return {name: [entry for part in parts for entry in part[name]] for name in kind.rated}
