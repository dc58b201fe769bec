"""PointRend beyond its golden cases: the two variants agree, nothing is found, images do not touch each other."""

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from tests.goldens import golden
from tests.wings.golden_learner import golden_learner
from tests.wings.rcnn_batch import batch_of_bitmaps

FEW = ["rpn.inference.before_nms=30", "rpn.inference.total=10", "detection.max_detections=12"]
SMALL = ["schedule.batch_size=3", "losses.regions_per_image=32", "rpn.training.total=60", "network.frozen_norm=true"]
IMAGES = golden.image(2, (2, 3, 64, 96))
SIZES = np.array([[60, 90], [64, 80]])
VARIANTS = ("index", "mask")


def learner_for(wing, variant, *overrides, training=False):
    settings = load_settings("point_rend_tiny", [f"variant={variant}", *overrides])
    learner = wing("learner").Learner(settings, "cpu", training=training)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    return learner


@pytest.mark.compiled
def test_both_variants_train_alike(wing):
    learners = [learner_for(wing, variant, *SMALL, training=True) for variant in VARIANTS]
    (losses, gradients), (other_losses, other_gradients) = (
        learner.gradients(batch_of_bitmaps(learner.settings)) for learner in learners
    )
    assert list(losses) == ["objectness", "rpn_boxes", "classes", "boxes", "masks", "points"]
    assert losses["masks"] > 0 and losses["points"] > 0
    assert other_losses == pytest.approx(losses, rel=1e-5)
    for name, gradient in gradients.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(other_gradients[name], gradient, rtol=0, atol=1e-5 * max(scale, 1e-3), err_msg=name)


@pytest.mark.compiled
def test_gradients_are_the_same_after_a_prediction(wing):
    """What MindSpore has compiled for training serves no prediction, and the other way round."""
    learner = learner_for(wing, "mask", *SMALL, *FEW, training=True)
    batch = batch_of_bitmaps(learner.settings)
    inputs = {"image": IMAGES, "image_size": SIZES, "original_size": SIZES}
    (losses, before), masks = learner.gradients(batch), learner.predict(inputs)[0].probabilities
    again, after = learner.gradients(batch)
    assert again == pytest.approx(losses, rel=1e-6)
    for name, gradient in before.items():
        assert golden.distance(after[name], gradient) < 1e-5, name
    assert golden.distance(learner.predict(inputs)[0].probabilities, masks) < 1e-5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "images",
    [pytest.param((2,), id="no object"), pytest.param((2, 0), id="none in the first image", marks=pytest.mark.slow)],
)
def test_a_batch_without_objects(images, variant, wing):
    learner = learner_for(wing, variant, *SMALL, training=True)
    losses, gradients = learner.gradients(batch_of_bitmaps(learner.settings, images))
    assert np.isfinite(list(losses.values())).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    has_objects = 0 in images
    assert (losses["points"] > 0) == has_objects and (losses["masks"] > 0) == has_objects
    assert gradients["point_head.fc1.weight"].any() == has_objects


@pytest.mark.compiled
def test_both_variants_find_alike(wing):
    found = [learner_for(wing, variant, *FEW).trace({"image": IMAGES, "image_size": SIZES}) for variant in VARIANTS]
    assert len(found[0]["det_boxes"]) > 0
    for name in ("det_boxes", "det_labels", "det_masks"):
        assert golden.distance(found[1][name], found[0][name]) < 1e-4, name
    assert found[0]["det_masks"].shape[1:] == (224, 224)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_found_and_nothing_asked_for(variant, wing):
    learner = learner_for(wing, variant, *FEW, "detection.score_threshold=2")
    answers = learner.trace({"image": IMAGES, "rois": np.zeros((0, 5), np.float32), "image_size": SIZES})
    assert answers["det_boxes"].shape == (0, 4) and answers["det_masks"].shape == (0, 28, 28)
    assert answers["class_logits"].shape == (0, 5)


@pytest.mark.slow
def test_images_of_a_batch_do_not_touch_each_other(wing):
    learner = golden_learner(wing, "point_rend_tiny", FEW)
    together = learner.trace({"image": IMAGES, "image_size": SIZES})
    alone = [learner.trace({"image": IMAGES[i : i + 1], "image_size": SIZES[i : i + 1]}) for i in (0, 1)]
    boxes, masks = (np.concatenate([each[name] for each in alone]) for name in ("det_boxes", "det_masks"))
    assert golden.distance(together["det_boxes"], boxes) < 1e-3
    # Rounding chooses other cells where many are equally unsure: these differ by what a step makes of a cell.
    differs = np.abs(together["det_masks"] - masks) > 1e-3 * masks.std()
    assert len(masks) and differs.mean() < 2e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_instances_tell_at_which_points_their_masks_were_computed(variant, wing):
    learner = learner_for(wing, variant, *FEW)
    found = learner.predict({"image": IMAGES, "image_size": SIZES, "original_size": 2 * SIZES})
    assert sum(map(len, found)) > 0
    for each in found:
        assert each.points.shape == (len(each), 3 * 784, 3)
        assert np.all(each.points[:, ::784, 2] == [1, 2, 3])
        low, high = each.probability_boxes[:, None, :2], each.probability_boxes[:, None, 2:]
        assert np.all(each.points[..., :2] > low) and np.all(each.points[..., :2] < high)
        # The cells of one step differ, and lie at centres of its grid.
        cells = (each.points[..., :2] - low) / (high - low)
        for step, side in enumerate((56, 112, 224)):
            of_step = cells[:, 784 * step : 784 * (step + 1)] * side - 0.5
            np.testing.assert_allclose(of_step, np.rint(of_step), atol=2e-2)
            assert all(len(np.unique(np.rint(row), axis=0)) == 784 for row in of_step)


ZOO = ["convention=mindspore_zoo", "network.background=first", "network.top_down=corners", "network.sampling_ratio=2"]
ZOO += ["network.backbone.pool_padding=end", "network.aligned=false", "subdivision.measured_from=corners"]
ZOO += ["losses.masks_on_found_boxes=false", "preprocessing.short_side=64", "preprocessing.long_side=96"]


def test_the_variants_train_alike_by_the_zoos_conventions(wing):
    """Against float64 of NumPy stands its parity; here both variants have a background's channel."""
    learners = [learner_for(wing, variant, *SMALL, *ZOO, training=True) for variant in VARIANTS]
    (losses, gradients), (other_losses, _) = (
        learner.gradients(batch_of_bitmaps(learner.settings)) for learner in learners
    )
    assert other_losses == pytest.approx(losses, rel=1e-5) and losses["points"] > 0
    assert gradients["coarse_head.logits.bias"].shape == (5 * 49,)
    # No region is of the background, whose coarse logits the point head reads all the same.
    assert not gradients["point_head.logits.bias"][0].any() and gradients["coarse_head.logits.bias"][:49].any()


def test_the_zoos_detections_are_found_on_its_canvas(wing):
    learner = learner_for(wing, "mask", *FEW, *ZOO)
    originals = np.array([[128, 192], [40, 20]])
    found = learner.predict({"image": IMAGES, "image_size": np.array([[64, 96]] * 2), "original_size": originals})
    assert len(found[0].boxes) and [each.image_size for each in found] == [(128, 192), (40, 20)]
    # The second image covers 32 of the canvas' 96 columns: what lies behind them is no object of it.
    assert all((each.boxes[:, 0] < each.image_size[1]).all() for each in found)
    expected = learner.trace({"image": IMAGES[:1], "image_size": np.array([[64, 96]])})["det_boxes"]
    expected = expected[(expected[:, 2:] > expected[:, :2]).all(axis=1)]
    assert golden.distance(np.sort(found[0].boxes, axis=0), np.sort(2 * expected, axis=0)) < 1e-4


def test_the_masks_alone_train(wing):
    """As in MindSpore's zoo: what stands before the mask heads does not move, and has no loss."""
    learner = learner_for(wing, "index", *SMALL, "network.masks_alone=true", training=True)
    assert {name.partition(".")[0] for name in learner.trainable()} == {"coarse_head", "point_head"}
    batch = batch_of_bitmaps(learner.settings)
    everything = learner_for(wing, "index", *SMALL, training=True)
    (losses, gradients), (others, by_all) = learner.gradients(batch), everything.gradients(batch)
    assert list(losses) == ["masks", "points"]
    assert losses == pytest.approx({name: others[name] for name in losses}, rel=1e-5)
    for name, gradient in gradients.items():
        assert golden.distance(gradient, by_all[name]) < 1e-4, name
    before = learner.weights()
    learner.train_step(batch, 0.01)
    moved = {name for name, array in learner.weights().items() if not np.array_equal(array, before[name])}
    assert moved == set(learner.trainable())


def test_masks_alone_want_norms_that_stand_still():
    with pytest.raises(UserError, match=r"network\.masks_alone: the norms stand still, too"):
        load_settings("point_rend_tiny", ["network.masks_alone=true"])
