"""A model over a whole data set: which images it is given, together with which, and what becomes of its answers."""

from itertools import chain
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from common.data.class_names import COCO, category_ids
from common.data.coco import resolve
from common.errors import UserError
from common.evaluation.inference import batches_alike, evaluated_positions, predict_dataset
from common.families import family_of
from common.families.yolact.detection import Detections, postprocess
from common.models import load_settings
from common.results import Instances
from tests.common.data.coco_files import annotation, image, write

YOLACT, PLUS = load_settings("yolact_tiny"), load_settings("yolact_plus_resnet50")
MASK_RCNN = load_settings("mask_rcnn_tiny")

# What YOLACT++'s own functions, from `postprocess` to its result writers, make of these detections at 100 x 120.
BOXES = [
    [0.1, 0.1, 0.3, 0.4],
    [0.5, 0.5, 0.5, 0.9],  # of no width
    [0.502, 0.2, 0.507, 0.9],  # of less than a pixel's
    [0.9, 0.8, 0.6, 0.7],  # its corners in the other order
    [-0.2, 0.9, 0.3, 1.4],
    [0.25, 0.333, 0.777, 0.888],
]
WRITTEN = {
    "box": [
        (90, [12, 10, 24, 30], 0.9),
        (14, [72, 70, 36, 10], 0.6),
        (44, [0, 90, 36, 10], 0.5),
        (46, [30, 33, 63, 55], 0.4),
    ],
    # category, area, box around the pixels, score
    "mask": [
        (90, 1388, [10, 5, 35, 40], 0.81),
        (14, 888, [70, 65, 45, 20], 0.1838),
        (44, 672, [0, 85, 45, 15], 0.2728),
        (46, 4863, [25, 30, 75, 65], 0.2218),
    ],
}


def write_images(root, sizes, with_objects):
    """Images of these sizes (H, W); those of `with_objects` have an annotation."""
    images = [image(n, width=width, height=height) for n, (height, width) in enumerate(sizes, start=1)]
    write(root, images, [annotation(n, n) for n in with_objects], draw=False)
    for record, (height, width) in zip(images, sizes, strict=True):
        cv2.imwrite(str(root / "images" / record["file_name"]), np.full((height, width, 3), record["id"], np.uint8))
    return resolve(root, "val")


class Recorder:
    """Finds in each image one object, whose score tells which image it was; keeps the batches it was given."""

    def __init__(self):
        self.batches = []

    def predict(self, batch, score_threshold):
        self.batches.append(batch)
        return [
            Instances(
                tuple(size),
                np.float32([[0, 0, 4, 4]]),
                np.float32([number / 8]),
                np.array([0]),
                np.ones((1, *size), bool),
            )
            for number, size in enumerate(batch["original_size"].tolist())
        ]


def predict(learner, settings, dataset, batch_size, workers=0, **options):
    family = family_of(settings)
    samples, kind = family.samples.Inference(dataset, settings), family.results(settings)
    return predict_dataset(learner, settings, dataset, samples, kind, batch_size, workers, **options)


SIZES = [(30, 40), (40, 30), (20, 50), (30, 30), (30, 44), (50, 20), (32, 40)]
LYING, STANDING = [1, 3, 5, 7], [2, 4, 6]  # as maskrcnn-benchmark's grouping has them: a square stands


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_of_images_of_alike_shape_and_results_in_the_data_sets_order(tmp_path, workers):
    dataset, learner = write_images(tmp_path, SIZES, [1]), Recorder()
    results = predict(learner, MASK_RCNN, dataset, 2, workers)
    for kind in ("box", "mask"):
        assert [entry["image_id"] for entry in results[kind]] == list(range(1, 8))
    # In its batch each image was where it should be; an image that fills up a batch counts once.
    assert [entry["score"] * 8 for entry in results["box"]] == [0, 0, 1, 1, 0, 0, 1]
    stands = [batch["original_size"][:, 0] >= batch["original_size"][:, 1] for batch in learner.batches]
    assert [rows.tolist() for rows in stands] == [[False] * 2] * 2 + [[True] * 2] * 2
    assert [entry["segmentation"]["size"] for entry in results["mask"]] == [list(size) for size in SIZES]


def test_shares_make_up_the_whole(tmp_path):
    """Of three processes, and of more than there are images."""
    dataset = write_images(tmp_path, SIZES, [1])
    positions = evaluated_positions(dataset, MASK_RCNN)
    whole = predict(Recorder(), MASK_RCNN, dataset, 1)["box"]
    for world in (3, 9):
        shares = [
            predict(Recorder(), MASK_RCNN, dataset, 1, positions=positions[rank::world])["box"] for rank in range(world)
        ]
        assert sorted(chain.from_iterable(shares), key=lambda entry: entry["image_id"]) == whole


def test_every_batch_is_full(tmp_path):
    dataset = write_images(tmp_path, SIZES, [1])
    positions = np.arange(len(SIZES))
    batches = batches_alike(dataset, MASK_RCNN, positions, 3)
    assert (batches + 1).tolist() == [[1, 3, 5], [7, 7, 7], [2, 4, 6]]
    # What is made one size needs no groups.
    assert (batches_alike(dataset, YOLACT, positions, 4) + 1).tolist() == [[1, 2, 3, 4], [5, 6, 7, 7]]


def test_yolact_is_rated_on_images_with_annotations(tmp_path):
    """Its own data set has, of these images, [9, 1]: a crowd is an annotation."""
    crowd = {"iscrowd": 1, "segmentation": {"counts": [0, 1200], "size": [30, 40]}}
    images, annotations = [image(n) for n in (4, 1, 9, 7, 3)], [annotation(1, 9), annotation(2, 1, **crowd)]
    write(tmp_path / "a", images, [*annotations, annotation(3, 9)])
    write(tmp_path / "b", images, [])
    dataset, unannotated = (resolve(tmp_path / name, "val") for name in "ab")
    every = load_settings("yolact_tiny", ["detection.empty_images=true"])
    for settings, ids in ((YOLACT, [1, 9]), (every, [4, 1, 9, 7, 3]), (MASK_RCNN, [4, 1, 9, 7, 3])):
        assert dataset.image_ids[evaluated_positions(dataset, settings)].tolist() == ids
    assert len(evaluated_positions(unannotated, YOLACT)) == 5
    results = predict(Recorder(), YOLACT, dataset, 2)
    assert [entry["image_id"] for entry in results["box"]] == [1, 9]


def test_yolact_writes_what_the_original_writes(tmp_path):
    labels, scores = np.array([79, 0, 11, 12, 39, 40]), np.float32([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    found = Detections(np.float32(BOXES), scores, labels, np.ones((6, 32), np.float32))
    predicted_iou = np.tile(np.linspace(0.2, 0.9, 80, dtype=np.float32), (6, 1))
    prototypes = np.full((20, 24, 32), 0.1, np.float32)
    instances = postprocess(found, prototypes, (100, 120), mask_iou_net=lambda masks: predicted_iou)
    assert len(instances) == 6
    learner = SimpleNamespace(predict=lambda batch, score_threshold: [instances])
    dataset = write_images(tmp_path, [(100, 120)], [1])
    results = predict(learner, PLUS, dataset, 1, category_ids=category_ids(COCO))
    boxes = [(entry["category_id"], entry["bbox"], round(entry["score"], 4)) for entry in results["box"]]
    assert boxes == WRITTEN["box"]
    masks = [
        (
            entry["category_id"],
            rle_tools.area(entry["segmentation"]),
            rle_tools.toBbox(entry["segmentation"]).tolist(),
            round(entry["score"], 4),
        )
        for entry in results["mask"]
    ]
    assert masks == WRITTEN["mask"]


def test_what_is_found_in_an_image_may_not_hang_on_its_batch():
    with pytest.raises(UserError, match=r"rpn\.inference\.over_batch: what is found in an image would depend on"):
        load_settings("mask_rcnn_r50_fpn", ["rpn.inference.over_batch=true"])
