"""Mask R-CNN beyond its golden cases: nothing found, nothing asked for, several images at once, its parts apart."""

import numpy as np
import pytest

from common.boxes import with_border
from common.families.mask_rcnn.geometry import map_names
from tests.goldens import golden
from tests.wings.golden_learner import golden_learner

FEW = ["rpn.inference.before_nms=30", "rpn.inference.total=10"]
SMALL = ["network.backbone.depths=[1,1,1,1]", "network.backbone.width=16", "network.channels=16", "num_classes=4"]
VARIANTS = {
    "a pyramid": ("mask_rcnn_tiny", FEW),
    "C4": ("mask_rcnn_r50_c4", FEW + SMALL),
    "the background last": ("mask_rcnn_r50_fpn_detectron2", [*FEW, *SMALL, "network.box_channels=32"]),
}
# Without near ties: noise of 1e-4 on them changes neither what is found nor its order.
IMAGES = golden.image(2, (2, 3, 64, 96))
SIZES = np.array([[60, 90], [64, 80]])


def learner_for(wing, variant, *overrides):
    model, own = VARIANTS[variant]
    return golden_learner(wing, model, [*own, *overrides])


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_found_and_nothing_asked_for(variant, wing):
    learner = learner_for(wing, variant, "detection.score_threshold=2")
    answers = learner.trace({"image": IMAGES, "rois": np.zeros((0, 5), np.float32), "image_size": SIZES})
    network = learner.settings.network
    shapes = {"proposals": (20, 4), "proposal_scores": (20,)}
    shapes |= {"det_boxes": (0, 4), "det_scores": (0,), "det_labels": (0,)}
    classes = 5 if network.background == "first" else 4
    shapes |= {"class_logits": (0, 5), "box_deltas": (0, 4 * classes)}
    if network.fpn:
        shapes |= {"box_pooled": (0, network.channels, 7, 7), "box_features": (0, network.box_channels)}
        shapes |= {"mask_pooled": (0, network.channels, 14, 14), "mask_features": (0, network.channels, 14, 14)}
        shapes |= {"mask_logits": (0, classes, 28, 28), "det_masks": (0, 28, 28)}
    else:
        shapes |= {"box_pooled": (0, 256, 14, 14), "box_features": (0, 512, 7, 7), "mask_features": (0, 512, 7, 7)}
        shapes |= {"mask_logits": (0, classes, 14, 14), "det_masks": (0, 14, 14)}
    assert {name: answers[name].shape for name in shapes} == shapes


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_of_a_batch_do_not_touch_each_other(variant, wing):
    learner = learner_for(wing, variant)
    together = learner.trace({"image": IMAGES, "image_size": SIZES})
    alone = [learner.trace({"image": IMAGES[i : i + 1], "image_size": SIZES[i : i + 1]}) for i in (0, 1)]
    assert len(alone[0]["det_boxes"]) > 0 and len(alone[1]["det_boxes"]) > 0
    for name in ("proposals", "proposal_scores", "det_boxes", "det_scores", "det_labels", "det_masks"):
        expected = np.concatenate([each[name] for each in alone])
        assert golden.distance(together[name], expected) < 1e-3, name


def test_the_parts_apart(wing, xp, like):
    """What other models stand on: maps, the heads' answers on them, and on regions that come from anywhere."""
    network = learner_for(wing, "a pyramid").network
    image = xp.asarray(IMAGES, like)
    outputs = network(image)
    maps, names = network.features(image), map_names(network.settings)
    logits, deltas = network.rpn(maps)
    for name, *found in zip(names, maps, logits, deltas, strict=True):
        for stage, value in zip((name, f"rpn_logits_{name}", f"rpn_deltas_{name}"), found, strict=True):
            assert golden.distance(xp.to_numpy(value), xp.to_numpy(outputs[stage])) < 1e-5
    features, classes, boxes = network.box_head(xp.asarray(golden.image(2, (3, 64, 7, 7)), like))
    assert [tuple(x.shape) for x in (features, classes, boxes)] == [(3, 128), (3, 5), (3, 20)]
    features, masks = network.mask_head(xp.asarray(golden.image(3, (3, 64, 14, 14)), like))
    assert [tuple(x.shape) for x in (features, masks)] == [(3, 64, 14, 14), (3, 5, 28, 28)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_instances_are_the_detections_in_the_images_own_pixels(variant, wing):
    learner = learner_for(wing, variant)
    inputs = {"image": IMAGES, "image_size": SIZES, "original_size": 3 * SIZES}
    traced = learner.trace(inputs)
    instances = learner.predict(inputs)
    assert [found.masks.shape[1:] for found in instances] == [(180, 270), (192, 240)]
    assert all((np.diff(found.scores) <= 0).all() for found in instances)
    # The originals put detections of one image in their own orders; sorted by everything they are the same.
    boxes = with_border(3 * traced["det_boxes"], learner.settings.rules.offset)
    there = np.concatenate([boxes, traced["det_scores"][:, None]], axis=1)
    there = np.concatenate([there, traced["det_labels"][:, None] - learner.settings.first_label], axis=1)
    here = [np.concatenate([x.boxes, x.scores[:, None], x.labels[:, None]], axis=1) for x in instances]
    here = np.concatenate(here)
    assert len(here) == len(there) > 0
    order = [np.lexsort(np.round(rows, 3).T) for rows in (here, there)]
    np.testing.assert_allclose(here[order[0]], there[order[1]], rtol=1e-3, atol=1e-3)
    above = learner.predict(inputs, float(np.median(instances[0].scores)))
    assert len(above[0]) == (instances[0].scores > np.median(instances[0].scores)).sum()
    none = learner.predict(inputs, 1.0)
    assert [found.masks.shape for found in none] == [(0, 180, 270), (0, 192, 240)]
